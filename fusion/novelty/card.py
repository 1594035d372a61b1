"""What the card says of the novelty gate and of attributes whose values are all known."""

from __future__ import annotations

from collections.abc import Sequence

from fusion.novelty.gate import NoveltyNotes
from fusion.novelty.limit import SHARE
from fusion.novelty.values import ClosedAttribute


def novelty_lines(novelty: NoveltyNotes | None, closed: Sequence[ClosedAttribute]) -> list[str]:
    """Markdown lines of one gate."""
    if novelty is None:
        lines = ["Novelty: single values out of range only; too few parts, lots or values to judge combinations."]
    else:
        most = novelty.limits[0]
        lines = [
            f"Novelty: the limit of unusual combinations is where {SHARE:g} of parts of held-out lots lie or further "
            f"({most.beyond:.4f} of {most.parts} parts in {most.lots} lots were beyond it). {most.lots} lots can "
            f"promise a new lot no rarer than 1 in {most.lots + 1}."
        ]
    if closed:
        named = ", ".join(
            f"{one.name}{f' at {one.station_id}' if one.station_id else ''} ({len(one.values)})" for one in closed
        )
        lots = min(one.lots for one in closed)
        lines.append(f"Attributes whose values are all known (nothing new in the last {lots} lots): {named}.")
    return ["", *lines]
