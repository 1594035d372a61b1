"""One eye for all products of a camera, or one of its own for a product: decided without labels, by painted defects.

An eye shared by products knows each of them less sharply: what is a defect on one may be the usual look of another, and
one cut serves them all. A product gets its own where that finds more of what was painted on held-out frames, by more
than the luck of the lots, and only with frames enough to keep what an eye promises. It is only tried where the shared
cut costs the product something: on drawn and simulated products that was where the difference came from, the memory of
an eye holds several products as well as one. In doubt the shared eye serves it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import t as t_distribution

from ingest.errors import BadInput
from models.places import model_folder
from vision.eye.graph import Scales
from vision.eye.notes import eye_name
from vision.eye.scales import fit_scales
from vision.feed import Feed
from vision.image import Picture
from vision.training.conformal import ALPHA, conformal_cut
from vision.training.folds import TrainingFrame, assign_folds, draw_evenly
from vision.training.held_out import HeldOutEyes, learn_held_out
from vision.training.pictures import TrainingPictures
from vision.training.synthetic import KINDS, paint

PRODUCTS_MIN = 2
GOOD_FRAMES_OF_PRODUCT = 30  # fewer are not worth asking about
PROMISE_FRAMES = 49  # held-out good frames without which no eye can promise 2 %
_TRIAL_FRAMES, _TRIAL_FOLDS = 96, 2  # of a product: its trial costs a third of an eye's training
_GAIN_MIN = 0.03  # of separation: another model to train, watch and audit is worth no less
_CUT_COST_MIN = 2 * _GAIN_MIN  # of recall, which is half of separation
_LOTS_MIN, _RUNS = 4, 4  # of fewer lots each is cut into runs of time, as folds are
_RESAMPLES = 200
_LUCK = 0.01  # one-sided: of a hundred products that gain nothing one gets its own eye
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
    """The eye of all products. `tops`: index -> what its score of a good frame is made of, out of fold."""

    eyes: HeldOutEyes
    folds: Sequence[int]
    tops: Mapping[int, Tops]
    scales: Scales
    cut: float

    @classmethod
    def of(cls, eyes: HeldOutEyes, folds: Sequence[int], tops: Mapping[int, Tops]) -> SharedEye:
        scales = fit_scales(list(tops.values()), eyes.final.optics.detail > 0)
        return cls(eyes, folds, tops, scales, conformal_cut([scales.score(one) for one in tops.values()]).threshold)


@dataclass(frozen=True, slots=True)
class Looked:
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
    try:
        model_folder(Path(), eye_name(frames[0].camera_id, product))
    except BadInput:
        return ProductDecision(product, False, "its name is too long for a folder of the shelf")
    readable = [index for index in drawn if index in shared.tops]
    if len(readable) < PROMISE_FRAMES:
        promised = f"{len(readable)} good frames promise no less than {1 / (len(readable) + 1):.1%} false alarms"
        return ProductDecision(product, False, f"{promised}, {PROMISE_FRAMES} are needed for {ALPHA:.0%}")
    plain = [shared.tops[index] for index in readable]
    common = _look(frames, readable, shared.eyes, shared.folds, pictures, plain, shared.scales, shared.cut)
    every = np.arange(len(readable))
    served, alone_cut = common.separation(every), replace(common, cut=float("-inf")).separation(every)
    if alone_cut.recall - served.recall < _CUT_COST_MIN:
        found = f"finds {served.recall:.0%} of painted defects, {alone_cut.recall:.0%} with a cut for it alone"
        return ProductDecision(product, False, found)
    members = [frames[index] for index in readable]
    alone = _learn_alone(members, pictures)
    if alone is None:
        return ProductDecision(product, False, "too few of its good frames can be read")
    return compare(product, common, alone, _groups(members))


def _learn_alone(members: Sequence[TrainingFrame], pictures: TrainingPictures) -> Looked | None:
    """A small eye from some of a product's frames, and what it says of them out of fold. None: too few can be read."""
    folds, number = assign_folds(members, [True] * len(members))
    folds = [fold % _TRIAL_FOLDS for fold in folds]
    eyes = learn_held_out(members, [True] * len(members), folds, min(number, _TRIAL_FOLDS), pictures)
    if eyes is None:
        return None
    plain = [eyes.see(i, folds[i], *_load(frame, pictures)).tops for i, frame in enumerate(members)]
    scales = fit_scales(plain, pictures.optics.detail > 0)
    return _look(members, range(len(members)), eyes, folds, pictures, plain, scales, float("-inf"))


def compare(product: str, common: Looked, alone: Looked, groups: npt.NDArray[np.int64]) -> ProductDecision:
    """groups: int64[frames], the lot each frame is of. Its own eye must be better by _GAIN_MIN, and in nearly all
    draws of other lots."""
    every = np.arange(len(groups))
    before, after = common.separation(every), alone.separation(every)
    gain = after.mean - before.mean
    least = gain - _doubt(common, alone, groups)
    found = (
        f"AUROC of painted defects {before.auroc:.3f} shared, {after.auroc:.3f} alone; "
        f"found at {ALPHA:.0%} false alarms {before.recall:.0%} and {after.recall:.0%}"
    )
    lots = f"gain {gain:+.3f}, at least {least:+.3f} over {len(np.unique(groups))} lots or runs of time"
    return ProductDecision(product, gain >= _GAIN_MIN and least > 0, f"{found} ({lots}, {len(every)} frames)")


def _doubt(common: Looked, alone: Looked, groups: npt.NDArray[np.int64]) -> float:
    """How much of a gain may be luck: bootstrap over whole lots (Efron & Tibshirani 1993, section 8.2), with Student's
    t for there being few of them."""
    rng = np.random.default_rng(_SEED)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    lots = len(members)
    if lots < 2:
        return float("inf")
    gains = np.empty(_RESAMPLES)
    for turn in range(_RESAMPLES):
        chosen = np.concatenate([members[k] for k in rng.integers(lots, size=lots)])
        gains[turn] = alone.separation(chosen).mean - common.separation(chosen).mean
    return float(gains.std() * np.sqrt(lots / (lots - 1)) * t_distribution.ppf(1 - _LUCK, lots - 1))


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
    plain: Sequence[Tops],
    scales: Scales,
    cut: float,
) -> Looked:
    """What the eye that has not seen a frame's fold says of it with a defect painted on, beside what it said of it
    plain. The same frames are painted the same for every eye."""
    marred = np.full(len(drawn), np.nan)
    for place, index in enumerate(drawn):
        picture, feed = _load(frames[index], pictures)
        rng = np.random.default_rng([_SEED, place])
        painted, mask = paint(rng, feed.frame, feed.frame[::-1, ::-1].copy(), KINDS[int(rng.integers(len(KINDS)))])
        if mask.any():
            seen = eyes.see(index, folds[index], picture, replace(feed, frame=painted))
            marred[place] = scales.score(seen.tops)
    return Looked(np.array([scales.score(tops) for tops in plain]), marred, cut)


def _load(frame: TrainingFrame, pictures: TrainingPictures) -> tuple[Picture, Feed]:
    loaded = pictures.load(frame)
    assert loaded is not None  # it was read a moment ago
    return loaded


def card_lines(decisions: Sequence[ProductDecision]) -> str:
    """What the card of an eye says of the products of its camera."""
    return "".join(f"- {decision.sentence[0].upper()}{decision.sentence[1:]}.\n" for decision in decisions)
