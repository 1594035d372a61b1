"""The network in the training of an eye: tried on what neither has seen, and where it helps, one more scorer.

Two networks decide: each is taught on half of the kinds of paint and on the frames of half of the folds, and judged on
the other half of both, beside the eyes that have not seen those folds. Where the rule keeps it, three more are taught,
on all kinds: one per half of the folds, for scores out of fold, and the final one on all frames. In the score it is an
equal part: beside four scorers that agree in part that is about the share which the rule judged (net_rule.SHARE); 27 %
on the magnetic tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from vision.eye.graph import Scales
from vision.eye.scales import fit_scales
from vision.feed import Feed
from vision.image import Grey
from vision.network.model import Nets, TrainedNet, half_of
from vision.network.rule import HALVES, NetDecision, Trial, decide_net, pooled
from vision.network.train import PICTURES_MIN, train_net
from vision.network.trial import HeldOutFeed, try_net
from vision.training.folds import TrainingFrame, draw_evenly
from vision.training.held_out import HeldOutEyes, learn_held_out
from vision.training.pictures import TrainingPictures

Say = Callable[[str], None]

NET_FILE = "net.npz"  # the weights beside the eye that holds them, for the record
FRAMES_MAX = 400  # good frames taught and judged: more cost memory, not steps
_LABELLED_MAX = 200
_SEEDS = (0, 1), (2, 3), 4  # of the networks that decide, of those out of fold, of the final one


@dataclass(frozen=True, slots=True)
class Held:
    """A frame as the eyes take it, its fold, and its batch."""

    feed: Feed
    fold: int
    batch: str

    @property
    def half(self) -> int:
        return half_of(self.fold)


def try_network(
    eyes: HeldOutEyes,
    frames: Sequence[TrainingFrame],
    good: Sequence[bool],
    folds: Sequence[int],
    pictures: TrainingPictures,
    say: Say,
) -> HeldOutEyes:
    """The eyes with the network where it helps them; else the same eyes, and in both cases the decision.

    eyes: learned without it. Takes minutes and needs torch (BadInput without); equal frames, equal eyes.
    """
    shown = hold(eyes, frames, [i for i, is_good in enumerate(good) if is_good], FRAMES_MAX, folds, pictures)
    fewest = min(sum(one.half == half for one in shown) for half in (0, 1))
    if fewest < PICTURES_MIN:
        why = f"{fewest} good frames in half of the folds are too few to teach one, {PICTURES_MIN} are needed"
        decision = NetDecision(False, why, "nothing", 0.0, 0.0, (0.0, 0.0))
    else:
        defects = [i for i, frame in enumerate(frames) if frame.good is False and not good[i]]
        decision = try_halves(eyes, shown, hold(eyes, frames, defects, _LABELLED_MAX, folds, pictures), say).decision
    say(f"network {'kept' if decision.kept else 'left out'}: {decision.why}")
    if decision.kept:
        with_net = learn_held_out(frames, good, folds, eyes.folds, pictures, _teach(shown, say))
        assert with_net is not None  # as many frames as without it
        eyes = with_net
    return replace(eyes, net=decision)


def hold(
    eyes: HeldOutEyes,
    frames: Sequence[TrainingFrame],
    candidates: Sequence[int],
    most: int,
    folds: Sequence[int],
    pictures: TrainingPictures,
) -> list[Held]:
    """At most `most` of the candidates (indices into frames), of those that can be read."""
    held = []
    for index in draw_evenly(frames, candidates, most):
        if (loaded := pictures.load(frames[index])) is not None:
            feed = eyes.fed(index, folds[index], *loaded)
            held.append(Held(feed, folds[index], frames[index].batch_id))
    return held


@dataclass(frozen=True, slots=True)
class Tried:
    """What the rule says, and the two networks that it says it by: each taught on HALVES of the kinds."""

    decision: NetDecision
    nets: tuple[TrainedNet, ...]


def try_halves(eyes: HeldOutEyes, good: Sequence[Held], labelled: Sequence[Held], say: Say) -> Tried:
    """Teach the two that decide, and judge them. good: PICTURES_MIN of each half at least."""
    scales = fit_scales([eyes.tops(one.fold, one.feed) for one in good], eyes.final.optics.detail > 0)
    nets: list[TrainedNet] = []
    trials: list[Trial] = []
    judged: list[Held] = []
    for half, kinds in enumerate(HALVES):
        say(f"network {half + 1} of the two that decide: taught {', '.join(kinds)}, judged on the other kinds and lots")
        nets.append(train_net(_pictures(good, half), _SEEDS[0][half], say, kinds=kinds))
        others = [one for one in good if one.half != half]
        to_judge = [_scored(eyes, scales, one) for one in others]
        defects = [_scored(eyes, scales, one) for one in labelled if one.half != half]
        trials.append(try_net(nets[half], HALVES[1 - half], to_judge, half, defects))
        judged += others
    both = pooled(trials)
    batches = [one.batch for one in judged]
    if len(set(batches)) == 1:
        batches = [f"run {one.fold}" for one in judged]  # as the folds of one lot are cut
    return Tried(decide_net(both.good, batches, both.painted, both.labelled), tuple(nets))


def _scored(eyes: HeldOutEyes, scales: Scales, one: Held) -> HeldOutFeed:
    return HeldOutFeed(one.feed, partial(_eye_score, eyes, scales, one.fold))


def _eye_score(eyes: HeldOutEyes, scales: Scales, fold: int, feed: Feed) -> float:
    """By the eye that has not seen the fold."""
    return scales.score(eyes.tops(fold, feed))


def _teach(good: Sequence[Held], say: Say) -> Nets:
    halves = []
    for half, seed in enumerate(_SEEDS[1]):
        say(f"network {half + 1} of the two for scores out of fold")
        halves.append(train_net(_pictures(good, half), seed, say))
    say("network of the eye, on all frames")
    return Nets(train_net([one.feed.frame for one in good], _SEEDS[2], say), (halves[0], halves[1]))


def _pictures(good: Sequence[Held], half: int) -> list[Grey]:
    return [one.feed.frame for one in good if one.half == half]


def card_line(decision: NetDecision | None) -> str:
    """What the card of an eye says of the network; nothing where none was asked for."""
    if decision is None:
        return ""
    if not decision.kept:
        return f"- A network on painted defects was tried and left out: {decision.why}.\n"
    return f"- A network on painted defects is one of the scorers: {decision.why}. Its weights are in {NET_FILE}.\n"
