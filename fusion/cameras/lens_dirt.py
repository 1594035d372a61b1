"""Dirt on a lens: a box that stays where it is in the frame while the parts go by.

How many parts it takes is decided by the false alarms that would be borne. Each place where a box was seen runs Page's
CUSUM (Page 1954) of the log likelihood that it shows up on nearly every part (dirt) against showing up as often as it
always did (the place's own rate before the run, by Laplace's rule, so that little history means slow to judge). Were
the boxes of a place independent from part to part, false alarms would be at least exp(limit) parts apart on average
(Lorden 1971). With the limit below that is FALSE_ALARM_PARTS over all PLACES that a frame has: five parts in a row
for a place with a box on one good part in 50, 27 for a camera of which nothing is known yet.

Defects are not independent: a broken tool leaves the same mark at the same place. No arithmetic tells that from dirt
by one camera, so the parts become `cannot_tell`, never a pass, and the incident asks to look at both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from fusion.incidents import PARTS_NAMED
from ingest.messages import Box

FALSE_ALARM_PARTS = 1e6  # at least so many parts, on average, between two false alarms of a camera
PLACES = 100  # places of a frame that can hold a box of their own: boxes are a tenth of a side and more
LIMIT = math.log(FALSE_ALARM_PARTS * PLACES)
RATE_LEAST = (
    0.02  # of a place: a rarer one may have been forgotten (MARKS_MAX), and fewer than five parts are an accident
)
DIRT_RATE = 0.95  # dirt shows up on so many parts; on the others the part behind it hides it
ABSENT_PARTS = 5  # dirt hides so often in a row once in 3 million times: it is gone
HISTORY_PARTS = 2000.0  # what was seen fades by a factor e over so many parts
MARKS_MAX = 32  # places remembered of a camera; beyond it the rarest go
GROWN = 0.25  # of its size, on either side: a box on dirt may be a cell larger than the mark


class Mark(msgspec.Struct):
    """A place that had boxes, in pixels of the frame. `hits`: parts with a box here before the run that is on now.

    `evidence`: the CUSUM; `rate`: share of parts with a box here when the run began; `run`: parts with a box since, of
    which `parts` are the latest."""

    x: float
    y: float
    width: float
    height: float
    hits: float = 0.0
    evidence: float = 0.0
    rate: float = 0.5
    since: int = 0
    run: int = 0
    parts: list[str] = []
    absent: int = 0
    is_dirt: bool = False

    def same_place(self, box: Box) -> bool:
        """Centres within half of the smaller of the two, areas within a factor of four."""
        off_x = abs(self.x + self.width / 2 - box.x - box.width / 2)
        off_y = abs(self.y + self.height / 2 - box.y - box.height / 2)
        area, other = self.width * self.height, box.width * box.height
        near = off_x <= min(self.width, box.width) / 2 and off_y <= min(self.height, box.height) / 2
        return near and area <= 4 * other and other <= 4 * area

    def holds(self, box: Box) -> bool:
        """Does at least half of the box lie on this mark?"""
        left, top = self.x - GROWN * self.width, self.y - GROWN * self.height
        right, bottom = self.x + (1 + GROWN) * self.width, self.y + (1 + GROWN) * self.height
        across = min(right, box.x + box.width) - max(left, box.x)
        down = min(bottom, box.y + box.height) - max(top, box.y)
        return across > 0 and down > 0 and across * down >= 0.5 * box.width * box.height

    def follow(self, box: Box) -> None:
        self.x += 0.2 * (box.x - self.x)
        self.y += 0.2 * (box.y - self.y)
        self.width += 0.2 * (box.width - self.width)
        self.height += 0.2 * (box.height - self.height)


class LensDirt(msgspec.Struct):
    """The places of one camera. `seen`: parts looked at, faded."""

    marks: list[Mark] = []
    seen: float = 0.0

    def step(self, part_id: str, at: int, boxes: Sequence[Box]) -> None:
        """One more part, looked at by a fit frame."""
        left = list(boxes)
        for mark in self.marks:
            mine = [box for box in left if mark.same_place(box)]
            left = [box for box in left if box not in mine]
            self._count(mark, part_id, at, mine[0] if mine else None)
        for box in left:
            if not any(mark.same_place(box) for mark in self.marks):
                mark = Mark(float(box.x), float(box.y), float(box.width), float(box.height))
                self._count(mark, part_id, at, box)
                self.marks.append(mark)
        fade = math.exp(-1.0 / HISTORY_PARTS)
        self.seen = self.seen * fade + 1.0
        for mark in self.marks:
            mark.hits *= fade
        if len(self.marks) > MARKS_MAX:
            self.marks = sorted(self.marks, key=_weight, reverse=True)[:MARKS_MAX]

    def dirt(self) -> list[Mark]:
        return [mark for mark in self.marks if mark.is_dirt]

    def explains(self, boxes: Sequence[Box]) -> bool:
        """Do all boxes, one at least, lie on dirt?"""
        dirt = self.dirt()
        return bool(boxes) and bool(dirt) and all(any(mark.holds(box) for mark in dirt) for box in boxes)

    def _count(self, mark: Mark, part_id: str, at: int, box: Box | None) -> None:
        if box is not None:
            mark.follow(box)
        if mark.is_dirt:
            mark.absent = 0 if box is not None else mark.absent + 1
            if mark.absent >= ABSENT_PARTS:  # what dirt did says nothing of how often the parts do it
                mark.is_dirt, mark.evidence, mark.run, mark.parts, mark.absent = False, 0.0, 0, [], 0
            return
        if box is not None and mark.evidence == 0.0:
            mark.rate, mark.since = max(RATE_LEAST, (mark.hits + 1.0) / (self.seen + 2.0)), at
        if box is not None:
            mark.run += 1
            mark.parts = [*mark.parts, part_id][-PARTS_NAMED:]
        ratio = DIRT_RATE / mark.rate if box is not None else (1.0 - DIRT_RATE) / (1.0 - mark.rate)
        mark.evidence = max(0.0, mark.evidence + math.log(ratio))
        mark.is_dirt = mark.evidence >= LIMIT
        if mark.evidence == 0.0:
            mark.hits += mark.run
            mark.run, mark.parts = 0, []


def _weight(mark: Mark) -> tuple[bool, float, float]:
    return mark.is_dirt, mark.evidence, mark.hits
