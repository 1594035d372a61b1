"""The incidents of a camera in plain words, with the figures behind them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fusion.cameras.false_alarms import Tally
from fusion.cameras.lens_dirt import Mark
from fusion.cameras.moved import CameraPose
from fusion.incidents import Incident


def say_frozen(incident: Incident) -> Incident:
    what = (
        f"Camera {incident.camera_id} gives the same picture for different parts ({incident.parts_count} so far): "
        "it, its cable or its driver hangs. Restart it; these parts cannot be judged by it."
    )
    return msgspec.structs.replace(incident, what=what, measure={"parts": float(incident.parts_count)})


def say_dirt(incident: Incident, dirt: Sequence[Mark]) -> Incident:
    mark = min(dirt, key=lambda one: one.since)
    box = {name: float(round(getattr(mark, name))) for name in ("x", "y", "width", "height")}
    where = f"x {box['x']:.0f}, y {box['y']:.0f}, {box['width']:.0f} x {box['height']:.0f} pixels"
    more = f" and at {len(dirt) - 1} more" if len(dirt) > 1 else ""
    what = (
        f"Camera {incident.camera_id} sees a mark that stays at one place ({where}){more} on {incident.parts_count} "
        "parts: dirt on its lens or window, or the same damage on every part. Wipe it, and look at these parts."
    )
    return msgspec.structs.replace(incident, what=what, measure={**box, "marks": float(len(dirt))})


def say_moved(incident: Incident, pose: CameraPose) -> Incident:
    right = f"{abs(pose.off_x):.0f} {'right' if pose.off_x >= 0 else 'left'}"
    down = f"{abs(pose.off_y):.0f} {'down' if pose.off_y >= 0 else 'up'}"
    what = (
        f"Camera {incident.camera_id} sees its parts {pose.off:.0f} pixels ({right}, {down}) from where they usually "
        "are: it or the fixture moved. Put it back, or train its eye again."
    )
    measure = {"off_px": pose.off, "off_x_px": pose.off_x, "off_y_px": pose.off_y}
    return msgspec.structs.replace(incident, what=what, measure={k: round(v, 1) for k, v in measure.items()})


def say_false_alarms(incident: Incident, tally: Tally) -> Incident:
    whose = "good parts" if tally.labelled else "parts, none of them labelled (some may be defects),"
    share, promised = 100 * tally.share, 100 * tally.promised
    what = (
        f"Camera {incident.camera_id} flags {share:.1f} % of {whose} ({tally.alarms} of {tally.parts}); its eye "
        f"promised {promised:.1f} %. Train it again, or at least cut its threshold anew."
    )
    measure = {"measured": round(tally.share, 4), "at_least": round(tally.low, 4), "promised": tally.promised}
    figures = {**measure, "alarms": float(tally.alarms), "n": float(tally.parts)}
    return msgspec.structs.replace(incident, what=what, measure=figures)
