"""What people marked makes an eye better at once: a head taught on the marked cells, one class for each kind of defect.

It only ever adds: the score is the higher of the good-only score and the taught one, so what nobody marked stays as
visible as it was. Whether it counts in the score, frames of other lots decide: it must find more of the marked defects
at the same false-alarm rate than the good-only score alone, by eyes that had seen neither. It names what is found in
either case.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.errors import BadRecord
from vision.eye.graph import PAINTED_SCORER, Scales, TaughtPart
from vision.eye.heads import LayersHead
from vision.eye.painted import fit_layers
from vision.feed import Feed
from vision.image import moved
from vision.inspect import Sight
from vision.marks import MARKS_TO_TEACH, Covered, covered, kinds_of
from vision.training.conformal import conformal_cut
from vision.training.folds import TrainingFrame
from vision.training.pictures import TrainingPictures
from vision.training.samples import Cells, Samples, cell_shares

_COVERED_MIN = 0.3  # share of a cell under the brush for it to be defect
_CELLS_PER_MARK = 120
RATES = (0.01, 0.02, 0.05)  # false-alarm rates at which recall is compared
_REPEATS = 6  # of each defect cell: a few hundred of them stand against tens of thousands of good ones


@dataclass(frozen=True, slots=True)
class MarkedFrame:
    """A frame with marks: its scaled cells, and of which kind each is (0: not marked, else 1 + index into kinds)."""

    index: int
    fold: int
    cells: Cells
    kinds: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Taught:
    """A head for `kinds`, and its twins that have not seen one fold. `marked`: frames marked with each kind."""

    kinds: tuple[str, ...]
    head: LayersHead
    fold_heads: Sequence[LayersHead]
    marked: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TaughtDecision:
    """Recall of marked defects at the same false-alarm rate, out of fold, without and with what was taught."""

    kept: bool
    recall_before: float
    recall_after: float
    defects: int

    @property
    def sentence(self) -> str:
        what = (
            f"{self.recall_before:.0%} of {self.defects} marked frames found without them, {self.recall_after:.0%} with"
        )
        rates = ", ".join(f"{rate:.0%}" for rate in RATES)
        return f"{what}, mean over {rates} false alarms: {'they count in the score' if self.kept else 'they only name'}"


def learn_marks(
    frames: Sequence[TrainingFrame], folds: Sequence[int], number: int, samples: Samples, pictures: TrainingPictures
) -> Taught | None:
    """A head for every kind that was marked on at least MARKS_TO_TEACH frames; None without such a kind."""
    marked = {
        kind: [i for i, frame in enumerate(frames) if any(mark.kind == kind for mark in frame.marks)]
        for kind in kinds_of([mark for frame in frames for mark in frame.marks])
    }
    kinds = tuple(kind for kind, which in marked.items() if len(which) >= MARKS_TO_TEACH)
    if not kinds:
        return None
    chosen = sorted({i for kind in kinds for i in marked[kind]})
    seen = [one for i in chosen if (one := _look(frames[i], i, folds[i], kinds, samples, pictures)) is not None]
    if len(seen) < MARKS_TO_TEACH:
        return None
    fold_heads = [_fit(seen, samples, fold) for fold in range(number)]
    return Taught(kinds, _fit(seen, samples, None), fold_heads, {kind: len(marked[kind]) for kind in kinds})


@dataclass(frozen=True, slots=True)
class Scoring:
    """How the parts of a sight become its score: the good-only score, or the taught one where that is higher."""

    scales: Scales
    taught: TaughtPart | None
    decision: TaughtDecision | None

    def score(self, sight: Sight) -> float:
        """The final graph's own arithmetic, for frames that were looked at before it could be written."""
        alone = self.scales.score(sight.tops)
        if self.taught is None or not self.taught.scores or sight.taught is None:
            return alone
        return max(alone, (sight.taught - self.taught.mean) / self.taught.spread)


def decide_scoring(
    scales: Scales, taught: Taught | None, of_good: Sequence[Sight], of_marked: Sequence[Sight]
) -> Scoring:
    """What was taught is used when, out of fold and at equal false alarms, it finds more of the marked defects."""
    alone = Scoring(scales, None, None)
    if taught is None or not of_marked or not of_good:
        return alone
    tops = [sight.taught or 0.0 for sight in of_good]
    unit = float(np.std([scales.score(sight.tops) for sight in of_good]))
    part = TaughtPart(taught.head, float(np.mean(tops)), max(float(np.std(tops)) / max(unit, 1e-6), 1e-3))
    both = Scoring(scales, part, None)
    found = [_recall(scoring, of_good, of_marked) for scoring in (alone, both)]
    decision = TaughtDecision(found[1] > found[0], found[0], found[1], len(of_marked))
    return Scoring(scales, dataclasses.replace(part, scores=decision.kept), decision)


def _recall(scoring: Scoring, of_good: Sequence[Sight], of_marked: Sequence[Sight]) -> float:
    """The share of marked defects above the cut, averaged over cuts of RATES: of ten frames one rate tells little."""
    good = [scoring.score(sight) for sight in of_good]
    marked = np.array([scoring.score(sight) for sight in of_marked])
    return float(np.mean([np.mean(marked > conformal_cut(good, rate).threshold) for rate in RATES]))


def _look(
    frame: TrainingFrame, index: int, fold: int, kinds: tuple[str, ...], samples: Samples, pictures: TrainingPictures
) -> MarkedFrame | None:
    """None when the frame or all of its marks cannot be read."""
    loaded = pictures.load(frame)
    if loaded is None:
        return None
    picture, feed = loaded
    cells = samples.features.run_named(feed.inputs)[PAINTED_SCORER]
    of_kind = np.zeros(len(cells), np.int64)
    for number, kind in enumerate(kinds, start=1):
        try:
            marks = [mark for mark in frame.marks if mark.kind == kind]
            mask = _straight(covered(marks, picture.width, picture.height, *feed.frame.shape), feed)
        except BadRecord:
            continue  # a bad mask is counted where marks are read; here it only teaches nothing
        shares = cell_shares(mask, len(cells), feed)
        of_kind[shares >= min(_COVERED_MIN, float(shares.max()) or 1.0)] = number
    return MarkedFrame(index, fold, cells, of_kind) if of_kind.any() else None


def _straight(mask: Covered, feed: Feed) -> Covered:
    """Marks are drawn on the frame as it came, cells may be of the frame laid straight."""
    if not feed.straightened or feed.pose is None:
        return mask
    shift = (feed.pose.shift_x, feed.pose.shift_y)
    return np.asarray(moved(mask.astype(np.float32), feed.pose.angle_deg, shift) > 0.5)


def _fit(seen: Sequence[MarkedFrame], samples: Samples, without_fold: int | None) -> LayersHead:
    rng = np.random.default_rng(0)
    cells = [sample.cells[PAINTED_SCORER] for sample in samples.good if sample.fold != without_fold]
    classes = [np.zeros(len(some), np.int64) for some in cells]
    for one in seen:
        if one.fold == without_fold:
            continue
        for number in np.unique(one.kinds[one.kinds > 0]):
            inside = np.flatnonzero(one.kinds == number)
            inside = rng.choice(inside, min(len(inside), _CELLS_PER_MARK), replace=False)
            cells += [one.cells[inside]] * _REPEATS
            classes += [np.full(len(inside), number, np.int64)] * _REPEATS
    return fit_layers(np.concatenate(cells), np.concatenate(classes))
