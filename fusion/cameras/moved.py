"""Has a camera moved? The running median of where the parts' edges lie, against where they usually do.

A part that lies askew is one part; a camera that was knocked shifts them all. Under a normal spread of single parts the
median of MEDIAN_OF leaves SPREADS of them with a probability under 1e-15; what is guarded against is the heavy tail
of parts badly laid in, of which it would take a majority.
"""

from __future__ import annotations

import math
from statistics import median

import msgspec

MEDIAN_OF = 9  # parts: a camera that moved is known five parts later
USUAL_PARTS = 50  # the first so many parts of an eye tell the usual place and spread; they then stay
USUAL_LEAST = (
    30  # fewer tell nothing: the usual place is then the one the eye learned, the spread the latest parts' own
)
SPREADS = 4.0
LEAST_PX = 3.0  # less than that no box notices, and the estimate of one part is hardly better
BACK = 0.7  # of the limit: it must come well back, or an incident would flicker
SIGMA_OF_MAD = 1.4826  # standard deviation over median absolute deviation, normal distribution
CONFIDENCE_MIN = 0.5


class CameraPose(msgspec.Struct):
    """Shifts (x, y) of parts against the eye's reference, in pixels of the frame. `since`: when the first of `recent`
    was captured that is beyond the limit."""

    usual: list[tuple[float, float]] = []
    recent: list[tuple[float, float, int]] = []
    has_moved: bool = False
    off_x: float = 0.0
    off_y: float = 0.0

    def step(self, x: float, y: float, at: int) -> None:
        """One more part."""
        self.recent.append((x, y, at))
        if len(self.recent) <= MEDIAN_OF:
            if len(self.recent) == MEDIAN_OF:
                self._judge()
            return
        old_x, old_y, _ = self.recent.pop(0)
        if not self.has_moved and len(self.usual) < USUAL_PARTS:
            self.usual.append((old_x, old_y))
        self._judge()

    def since(self) -> int:
        """When the oldest part was captured that speaks for a move: of the latest parts, the older half was before."""
        return self.recent[len(self.recent) // 2][2]

    @property
    def off(self) -> float:
        """How far, in pixels of the frame."""
        return math.hypot(self.off_x, self.off_y)

    def _judge(self) -> None:
        limits = []
        for axis in (0, 1):
            usual = [(shift[0], shift[1])[axis] for shift in self.usual]
            recent = [(shift[0], shift[1])[axis] for shift in self.recent]
            known = len(usual) >= USUAL_LEAST
            middle = median(usual) if known else 0.0
            off = median(recent) - middle
            limits.append(abs(off) / max(LEAST_PX, SPREADS * _spread(usual if known else recent)))
            if axis == 0:
                self.off_x = off
            else:
                self.off_y = off
        self.has_moved = max(limits) > (BACK if self.has_moved else 1.0)


def _spread(values: list[float]) -> float:
    middle = median(values)
    return SIGMA_OF_MAD * median(abs(value - middle) for value in values)
