"""One frame looked at closely, for a person who asks why: the findings, and the picture that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingest.messages import Findings, Frame, Instant
from vision.eye.notes import EYE_FILE
from vision.fitness import Limit
from vision.image import decode
from vision.inspect import Eyes, eye_feed, see
from vision.overlay import draw_overlay
from vision.patches import Comparison, compare


@dataclass(frozen=True, slots=True)
class CloserLook:
    """`png`: vision/overlay.py's. `compared`: of each box, where the eye keeps good patches. `limits`: of the measures
    in `findings.fitness`."""

    findings: Findings
    compared: Sequence[Comparison]
    limits: Mapping[str, Limit]
    png: bytes = field(repr=False)


def look_closer(eyes: Eyes, frame: Frame, inspected_at: Instant) -> CloserLook:
    """The same findings as on the road. Raises BadRecord when the frame cannot be read; a camera without an eye gives
    findings that say so."""
    look = eyes.inspect(frame, inspected_at)
    if look.trouble is not None:
        raise look.trouble
    compared: Sequence[Comparison] = []
    limits: Mapping[str, Limit] = {}
    if (opened := eyes.opened(frame)) is not None:
        model, notes = opened
        limits = notes.limits
        if look.findings.boxes:
            picture = decode(frame.body, eyes.pixels_max, notes.colour)
            feed = eye_feed(picture, model, notes)
            sight = see(picture, feed, model.run(EYE_FILE, feed.inputs))
            compared = compare(model, picture, feed, sight, look.findings.boxes)
    png = draw_overlay(frame.body, look.findings, look.heatmap, eyes.pixels_max, compared)
    return CloserLook(look.findings, compared, limits, png)
