"""Training frames: which count as good, which are held out together, which are drawn when there are too many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ingest.folder.marks import MaskFile
from ingest.messages import Instant, Mark

FOLDS_MAX = 4  # each fold's eye learns from three quarters; more folds cost time and move nothing
GOOD_FRAMES_MIN = 8  # an eye from fewer would call "unusual" whatever those few parts happen not to show
_UNLABELLED_SHARE = 0.5  # above it nearly nothing is labelled yet (cold start) and frames without a label count as good


@dataclass(frozen=True, slots=True)
class TrainingFrame:
    """A frame to learn from. `load` gives the encoded image, and may raise BadRecord or OSError.

    `good`: True or False where the part was labelled, None where not. `marks`: where people saw defects in it.
    `product`: as the part was booked in the end; `named_product`: as the frame itself said, which is all that serving
    will know. `defect_code`: what the defect of a part labelled as defective was called.
    """

    frame_id: str
    line_id: str
    station_id: str
    camera_id: str
    part_id: str
    batch_id: str
    product: str
    captured_at: Instant
    load: Callable[[], bytes] = field(repr=False)
    good: bool | None
    marks: tuple[Mark | MaskFile, ...] = ()
    named_product: str = ""
    defect_code: str = ""


def usable_as_good(frames: Sequence[TrainingFrame]) -> list[bool]:
    """Which frames of a camera teach what good looks like."""
    unlabelled = sum(frame.good is None for frame in frames)
    cold_start = unlabelled > _UNLABELLED_SHARE * len(frames)
    return [frame.good is True or (cold_start and frame.good is None) for frame in frames]


def assign_folds(frames: Sequence[TrainingFrame], good: Sequence[bool]) -> tuple[list[int], int]:
    """The fold of each frame and their number. A lot stays together, largest lots first, each into the fold with fewest
    good frames. One lot only: its parts in the order of time, cut into equal runs (neighbours share light and dirt)."""
    lots: dict[str, int] = defaultdict(int)
    for frame, is_good in zip(frames, good, strict=True):
        lots[frame.batch_id] += is_good
    with_good = [lot for lot, count in lots.items() if count]
    if len(with_good) < 2:
        return _runs_in_time(frames, good)
    folds = min(FOLDS_MAX, len(with_good))
    others: dict[str, int] = defaultdict(int)
    for frame, is_good in zip(frames, good, strict=True):
        others[frame.batch_id] += not is_good
    filled, beside = [0] * folds, [0] * folds
    fold_of: dict[str, int] = {}
    for lot in sorted(lots, key=lambda lot: (-lots[lot], -others[lot], lot)):
        weight = filled if lots[lot] else beside  # lots of defects alone are spread too: marks learn from other folds
        fold_of[lot] = min(range(folds), key=lambda fold: (weight[fold], fold))
        filled[fold_of[lot]] += lots[lot]
        beside[fold_of[lot]] += others[lot]
    return [fold_of[frame.batch_id] for frame in frames], folds


def draw_evenly(frames: Sequence[TrainingFrame], candidates: Sequence[int], most: int) -> list[int]:
    """At most `most` of the candidates (indices into frames): every product and lot in turn, spread evenly in time."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index in sorted(candidates, key=lambda i: (frames[i].captured_at, frames[i].frame_id)):
        groups[frames[index].product, frames[index].batch_id].append(index)
    drawn: list[int] = []
    waiting = sorted(groups.items(), key=lambda item: len(item[1]))  # small groups leave their share to larger ones
    for done, (_, members) in enumerate(waiting):
        share = (most - len(drawn)) / (len(waiting) - done)
        count = min(len(members), max(int(share), 0))
        drawn += [members[int((k + 0.5) * len(members) / count)] for k in range(count)]
    return sorted(drawn)


def _runs_in_time(frames: Sequence[TrainingFrame], good: Sequence[bool]) -> tuple[list[int], int]:
    first_seen: dict[str, tuple[int, str]] = {}
    for frame in frames:
        key = (int(frame.captured_at), frame.part_id)
        first_seen[frame.part_id] = min(first_seen.get(frame.part_id, key), key)
    order = sorted(range(len(frames)), key=lambda i: (first_seen[frames[i].part_id], frames[i].frame_id))
    parts = {part: None for i in order if good[i] for part in (frames[i].part_id,)}
    folds = min(FOLDS_MAX, len(parts))
    if folds < 2:  # one part only: nothing better than its frames in time
        return _split(order, folds=2, total=len(frames))
    place = {part: min(folds - 1, k * folds // len(parts)) for k, part in enumerate(parts)}
    return [place.get(frame.part_id, 0) for frame in frames], folds


def _split(order: Sequence[int], folds: int, total: int) -> tuple[list[int], int]:
    fold = [0] * total
    for place, index in enumerate(order):
        fold[index] = place * folds // total
    return fold, folds
