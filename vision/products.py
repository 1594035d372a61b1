"""One eye for all products of a camera, or one of its own for a product: decided without labels, by painted defects.

An eye shared by products knows each of them less sharply: what is a defect on one may be the usual look of another, and
one cut serves them all. A product gets its own where that finds more of what was painted on held-out frames, by more
than the luck of the lots, and only with frames enough to keep what an eye promises. In doubt the shared eye serves it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vision.conformal import ALPHA, conformal_cut
from vision.eye_graph import Scales
from vision.folds import TrainingFrame, assign_folds, draw_evenly
from vision.held_out import HeldOutEyes, learn_held_out
from vision.scales import fit_scales
from vision.synthetic import KINDS, paint
from vision.training_pictures import TrainingPictures

PRODUCTS_MIN = 2
GOOD_FRAMES_OF_PRODUCT = 30  # fewer are not worth asking about
PROMISE_FRAMES = 49  # held-out good frames without which no eye can promise 2 %
_TRIAL_FRAMES = 160  # of a product: its trial costs a fifth of an eye's training
_ENOUGH = 0.98  # separation of the shared eye from which on nothing is left to gain
_GAIN_MIN = 0.02  # of separation: another model to train, watch and audit is worth no less
_LOTS_MIN, _RUNS = 4, 4  # of fewer lots each is cut into runs of time, as folds are
_RESAMPLES = 400
_LUCK = 0.05  # one-sided
_SEED = 0

Scores = npt.NDArray[np.float64]
Tops = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Separation:
    """Of painted from good frames. `recall`: at 2 % of the product's good frames flagged."""

    auroc: float
    recall: float

    @property
    def mean(self) -> float:
        return (self.auroc + self.recall) / 2


@dataclass(frozen=True, slots=True)
class ProductDecision:
    """Whether a product has its own eye, and why."""

    product: str
    own: bool
    why: str

    @property
    def sentence(self) -> str:
        return f"product {self.product}: {'an eye of its own' if self.own else 'the shared eye'}: {self.why}"


@dataclass(frozen=True, slots=True)
class SharedEye:
    """The eye of all products, with what it said of the camera's good frames."""

    eyes: HeldOutEyes
    folds: Sequence[int]
    scales: Scales
    cut: float

    @classmethod
    def of(cls, eyes: HeldOutEyes, folds: Sequence[int], of_good: Sequence[Tops]) -> SharedEye:
        """`of_good`: what the scores are made of, of every good frame looked at out of fold."""
        scales = fit_scales(of_good, eyes.final.optics.detail > 0)
        return cls(eyes, folds, scales, conformal_cut([scales.score(tops) for tops in of_good]).threshold)


@dataclass(frozen=True, slots=True)
class _Looked:
    """Scores of the same frames by one eye, good and painted; `cut`: no lower one can be served."""

    good: Scores
    painted: Scores
    cut: float

    def separation(self, chosen: npt.NDArray[np.int64]) -> Separation:
        """Over some of the frames, each as often as it was chosen. NaN: nothing to be seen was painted there."""
        good, painted = self.good[chosen], self.painted[chosen]
        painted = painted[~np.isnan(painted)]
        if not len(painted):
            return Separation(0.5, 0.0)
        ordered = np.sort(good)
        below = np.searchsorted(ordered, painted, "left") + np.searchsorted(ordered, painted, "right")
        cut = max(self.cut, conformal_cut(good.tolist()).threshold)
        return Separation(float(below.mean()) / (2 * len(good)), float(np.mean(painted > cut)))


def products_named(frames: Sequence[TrainingFrame], good: Sequence[bool]) -> dict[str, list[int]]:
    """product -> its good frames, of the products that enough good frames name; empty where there is no choice."""
    named: dict[str, list[int]] = defaultdict(list)
    for index, frame in enumerate(frames):
        if good[index] and frame.named_product:
            named[frame.named_product].append(index)
    enough = {product: which for product, which in sorted(named.items()) if len(which) >= GOOD_FRAMES_OF_PRODUCT}
    return enough if len(enough) >= PRODUCTS_MIN else {}


def decide_products(
    frames: Sequence[TrainingFrame], good: Sequence[bool], shared: SharedEye, pictures: TrainingPictures
) -> list[ProductDecision]:
    """For each product that the frames of a camera name often enough; deterministic."""
    return [
        _decide(product, frames, draw_evenly(frames, which, _TRIAL_FRAMES), shared, pictures)
        for product, which in products_named(frames, good).items()
    ]


def _decide(
    product: str, frames: Sequence[TrainingFrame], drawn: Sequence[int], shared: SharedEye, pictures: TrainingPictures
) -> ProductDecision:
    readable = [index for index in drawn if pictures.load(frames[index]) is not None]
    if len(readable) < PROMISE_FRAMES:
        promised = f"{len(readable)} good frames promise no less than {1 / (len(readable) + 1):.1%} false alarms"
        return ProductDecision(product, False, f"{promised}, {PROMISE_FRAMES} are needed for {ALPHA:.0%}")
    common = _look(frames, readable, shared.eyes, shared.folds, pictures, shared.scales, shared.cut)
    before = common.separation(np.arange(len(readable)))
    if before.mean >= _ENOUGH:
        return ProductDecision(product, False, f"it finds {before.recall:.0%} of painted defects already")
    members = [frames[index] for index in readable]
    folds, number = assign_folds(members, [True] * len(members))
    eyes = learn_held_out(members, [True] * len(members), folds, number, pictures)
    if eyes is None:
        return ProductDecision(product, False, "too few of its good frames can be read")
    alone = _look(members, range(len(members)), eyes, folds, pictures, None, float("-inf"))
    return _compare(product, common, alone, _groups(members))


def _compare(product: str, common: _Looked, alone: _Looked, groups: npt.NDArray[np.int64]) -> ProductDecision:
    every = np.arange(len(groups))
    before, after = common.separation(every), alone.separation(every)
    gain = after.mean - before.mean
    least = float(np.quantile(_resampled_gains(common, alone, groups), _LUCK))
    found = (
        f"AUROC of painted defects {before.auroc:.3f} shared, {after.auroc:.3f} alone; "
        f"found at {ALPHA:.0%} false alarms {before.recall:.0%} and {after.recall:.0%}"
    )
    lots = f"gain {gain:+.3f}, at least {least:+.3f} over {len(np.unique(groups))} lots or runs of time"
    return ProductDecision(product, gain >= _GAIN_MIN and least > 0, f"{found} ({lots}, {len(every)} frames)")


def _resampled_gains(common: _Looked, alone: _Looked, groups: npt.NDArray[np.int64]) -> Scores:
    """The gain if other lots had come: bootstrap over whole lots (Efron & Tibshirani 1993, section 8.2)."""
    rng = np.random.default_rng(_SEED)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    gains = np.empty(_RESAMPLES)
    for turn in range(_RESAMPLES):
        chosen = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        gains[turn] = alone.separation(chosen).mean - common.separation(chosen).mean
    return gains


def _groups(frames: Sequence[TrainingFrame]) -> npt.NDArray[np.int64]:
    """The lot of each frame as a number; of few lots, runs of time within them."""
    lots = {lot: number for number, lot in enumerate(sorted({frame.batch_id for frame in frames}))}
    of_lot = np.array([lots[frame.batch_id] for frame in frames])
    if len(lots) >= _LOTS_MIN:
        return of_lot
    groups = np.zeros(len(frames), np.int64)
    for lot in range(len(lots)):
        members = np.flatnonzero(of_lot == lot)  # the frames come in the order of time
        groups[members] = lot * _RUNS + np.arange(len(members)) * _RUNS // len(members)
    return groups


def _look(
    frames: Sequence[TrainingFrame],
    drawn: Sequence[int],
    eyes: HeldOutEyes,
    folds: Sequence[int],
    pictures: TrainingPictures,
    scales: Scales | None,
    cut: float,
) -> _Looked:
    """What the eye that has not seen a frame's fold says of the frame, and of the same with a defect painted on.

    The same frames are painted the same for every eye. `scales`: None where they are to be taken from these frames.
    """
    plain: list[Tops] = []
    marred: list[Tops | None] = []
    for place, index in enumerate(drawn):
        loaded = pictures.load(frames[index])
        assert loaded is not None  # the caller keeps what can be read
        picture, feed = loaded
        rng = np.random.default_rng([_SEED, place])
        painted, mask = paint(rng, feed.frame, feed.frame[::-1, ::-1].copy(), KINDS[int(rng.integers(len(KINDS)))])
        plain.append(eyes.see(index, folds[index], picture, feed).tops)
        seen = eyes.see(index, folds[index], picture, replace(feed, frame=painted)) if mask.any() else None
        marred.append(seen.tops if seen is not None else None)
    scales = scales or fit_scales(plain, pictures.optics.detail > 0)
    good = [scales.score(tops) for tops in plain]
    return _Looked(np.array(good), np.array([np.nan if tops is None else scales.score(tops) for tops in marred]), cut)


def card_lines(decisions: Sequence[ProductDecision]) -> str:
    """What the card of an eye says of the products of its camera."""
    return "".join(f"- {decision.sentence[0].upper()}{decision.sentence[1:]}.\n" for decision in decisions)
