"""Where an eye fails, as far as training can tell: painted defects and labelled ones that its cut lets pass.

Every frame is looked at by the eye that has not seen its fold. Painted defects flatter it a little: its painted scorer
has learned the same kinds, on other frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vision.image import Grey
from vision.inspect import Sight
from vision.training.folds import TrainingFrame, assign_folds, draw_evenly
from vision.training.held_out import HeldOutEyes
from vision.training.pictures import TrainingPictures
from vision.training.synthetic import KINDS, paint

_PAINTED = 12 * len(KINDS)  # a second of training; a recall of twelve is known to about a seventh
_SEED = 1  # not the one that painted what the eye learned from
_CLASS_MIN = 5  # painted defects of a size, for it to be spoken of
_FOUND_MIN = 0.5

Flags = Callable[[Sight], bool]


@dataclass(frozen=True, slots=True)
class PaintedDefect:
    """One that was painted on a good frame. `side`: of a square of its area, in pixels of the frame as it came."""

    kind: str
    side: float
    found: bool


@dataclass(frozen=True, slots=True)
class WeakSpots:
    """`labelled`: of the frames of parts labelled as defective, whether each was flagged, by `defect_code` ("" where
    nobody said)."""

    painted: Sequence[PaintedDefect]
    labelled: Mapping[str, Sequence[bool]]

    def recalls(self) -> dict[str, float]:
        """Kind -> share of its painted defects that were found, the least found first."""
        found: dict[str, list[bool]] = defaultdict(list)
        for defect in self.painted:
            found[defect.kind].append(defect.found)
        return dict(sorted(((kind, float(np.mean(of))) for kind, of in found.items()), key=lambda item: item[1]))

    def smallest_side(self) -> float | None:
        """The size from which on at least half of the painted defects are found: the lower end of its octave of sides,
        in pixels. None where there is none."""
        octaves: dict[int, list[bool]] = defaultdict(list)
        for defect in self.painted:
            octaves[int(np.floor(np.log2(max(defect.side, 1.0))))].append(defect.found)
        smallest = None
        for octave in sorted((key for key, of in octaves.items() if len(of) >= _CLASS_MIN), reverse=True):
            if np.mean(octaves[octave]) < _FOUND_MIN:
                break
            smallest = float(2**octave)
        return smallest


def find_weak_spots(
    frames: Sequence[TrainingFrame],
    good: Sequence[bool],
    pictures: TrainingPictures,
    eyes: HeldOutEyes,
    sights: Mapping[int, Sight],
    flags: Flags,
) -> WeakSpots:
    """Paint on some good frames and look. sights: of every frame out of fold; flags: whether one is above the cut."""
    rng = np.random.default_rng(_SEED)
    folds, _ = assign_folds(frames, good)
    drawn = draw_evenly(frames, [i for i, is_good in enumerate(good) if is_good], _PAINTED)
    painted = []
    donors: dict[int, Grey | None] = {}  # at working size: whole pictures of many megapixels would be too much to keep
    for number in range(_PAINTED):
        index, kind = drawn[int(rng.integers(len(drawn)))], KINDS[number % len(KINDS)]
        loaded, donor = pictures.load(frames[index]), drawn[int(rng.integers(len(drawn)))]
        if donor not in donors:
            other = pictures.load(frames[donor])
            donors[donor] = None if other is None else other[1].frame
        given = donors[donor]
        if loaded is None or given is None:
            continue
        picture, feed = loaded
        changed, mask = paint(rng, feed.frame, given, kind)
        if mask.any():
            sight = eyes.see(index, folds[index], picture, replace(feed, frame=changed))
            scale = (picture.width * picture.height / changed.size) ** 0.5
            painted.append(PaintedDefect(kind, scale * float(mask.sum()) ** 0.5, flags(sight)))
    labelled: dict[str, list[bool]] = defaultdict(list)
    for i, frame in enumerate(frames):
        if frame.good is False and i in sights:
            labelled[frame.defect_code].append(flags(sights[i]))
    return WeakSpots(painted, labelled)


def weak_lines(spots: WeakSpots) -> str:
    """Lines of the card, Markdown."""
    lines = []
    if recalls := spots.recalls():
        each = ", ".join(f"{kind} {recall:.0%}" for kind, recall in recalls.items())
        lines.append(
            f"- Where it fails: of {len(spots.painted)} defects painted on held-out good frames its threshold finds "
            f"{np.mean([defect.found for defect in spots.painted]):.0%}, by kind, the least first: {each}."
        )
        smallest = spots.smallest_side()
        lines.append(
            "- No size of painted defects was found half of the time."
            if smallest is None
            else f"- From about {smallest:.0f} pixels of the frame a side (of a square of its area) on, a painted "
            "defect is found at least half of the time."
        )
    if spots.labelled:
        every = [found for of_code in spots.labelled.values() for found in of_code]
        lines.append(
            f"- Of {len(every)} training frames of parts labelled as defective, which it did not learn as good, it "
            f"flags {sum(every)}; whether the defect shows in them is not known. {_by_code(spots.labelled)}"
        )
    return "".join(f"{line}\n" for line in lines)


def _by_code(labelled: Mapping[str, Sequence[bool]]) -> str:
    """Flagged of labelled by defect code, the least found first."""
    by_share = sorted(labelled.items(), key=lambda item: (np.mean(item[1]), item[0]))
    return "By code: " + ", ".join(f"{code or 'without'} {sum(of)} of {len(of)}" for code, of in by_share) + "."
