"""Whether a trained network joins an eye: only where it helps, told without labels or, better, with them.

Painted defects of kinds a network was taught say nothing; of kinds it was *not* taught, a little. So the candidates are
networks taught on some kinds and judged on the others, on good frames of parts they never saw. Even that chose wrongly
before (a network can tell paint from metal), hence three cautions: it must help by more than chance, it must not have a
heavier tail of false alarms on batches it does not know, and it never has more than a small share of the score. Ten
labelled defects overrule all painted ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from vision.training.synthetic import KINDS, Kind

Floats = npt.NDArray[np.float64]

LABELS_MIN = 10  # fewer labelled defects than that decide nothing
GOOD_MIN = 30  # held-out good frames: below, a cut of a few per cent is one frame
RATES = (0.02, 0.05)  # false-alarm rates at which recall is compared, and averaged
SHARE = 0.25  # of the network in the score: on the magnetic tiles half cost 7 points of recall on one of two splits
_DRAWS = 400  # bootstrap
_CHANCE = 0.1  # that the gain is none, at most
_TAIL_SPREADS = 2.0  # of a binomial share: more false alarms than that on unknown batches is a heavier tail
_GAIN_MIN = 0.005  # of recall: below, the milliseconds are not worth it

#: Two halves of the kinds, alike in mixture: each half is judged by a network taught on the other.
HALVES: tuple[tuple[Kind, ...], tuple[Kind, ...]] = (KINDS[0::2], KINDS[1::2])


@dataclass(frozen=True, slots=True)
class Pair:
    """Scores of the same frames: `eye` without the network, `net` the network's own. float64[n] each."""

    eye: Floats
    net: Floats


def _none() -> Pair:
    return Pair(np.zeros(0), np.zeros(0))


@dataclass(frozen=True, slots=True)
class Trial:
    """A network taught on one half of the kinds, on held-out frames: plain, painted with the other half, and of
    labelled defects."""

    good: Pair
    painted: Pair
    labelled: Pair = field(default_factory=_none)


def pooled(trials: Sequence[Trial]) -> Trial:
    """All trials as one; the networks differ, so each is brought to its own spread on good frames first."""
    return Trial(
        _joined([_in_spreads(trial.good, trial.good) for trial in trials]),
        _joined([_in_spreads(trial.painted, trial.good) for trial in trials]),
        _joined([_in_spreads(trial.labelled, trial.good) for trial in trials]),
    )


def _in_spreads(pair: Pair, good: Pair) -> Pair:
    return Pair(_scaled(pair.eye, good.eye), _scaled(pair.net, good.net))


def _joined(pairs: Sequence[Pair]) -> Pair:
    return Pair(np.concatenate([pair.eye for pair in pairs]), np.concatenate([pair.net for pair in pairs]))


@dataclass(frozen=True, slots=True)
class NetDecision:
    """`kept`, and why in a sentence for the card. `gain`: of recall at equal false alarms with the network, and its
    lower bound; `by` what. `false_alarms`: shares of good frames of unknown batches, without and with it, where the
    highest of RATES was asked."""

    kept: bool
    why: str
    by: Literal["labels", "painted", "nothing"]
    gain: float
    gain_low: float
    false_alarms: tuple[float, float]


def decide_net(
    good: Pair, batches: Sequence[str], painted: Pair, labelled: Pair | None = None, share: float = SHARE, seed: int = 0
) -> NetDecision:
    """Whether `(1 - share) * eye + share * net` is better than `eye`, each in units of its spread on good frames.

    good: held-out good frames, of `batches`. painted: held-out good frames painted with kinds the network was not
    taught. labelled: defects no part of the eye has seen. Pure: equal arguments, equal decision.
    """
    if len(good.eye) < GOOD_MIN:
        why = f"{len(good.eye)} held-out good frames are too few to tell; at least {GOOD_MIN} are needed"
        return NetDecision(False, why, "nothing", 0.0, 0.0, (0.0, 0.0))
    by_labels = labelled is not None and len(labelled.eye) >= LABELS_MIN
    defects = labelled if labelled is not None and by_labels else painted
    ways = _Ways.of(good, defects, share)
    gain, low = ways.gain(), ways.gain_low(batches, np.random.default_rng(seed))
    alarms = _unknown_batch_alarms(ways.good[0], batches), _unknown_batch_alarms(ways.good[1], batches)
    allowed = alarms[0] + _TAIL_SPREADS * float(np.sqrt(RATES[-1] * (1 - RATES[-1]) / len(good.eye)))
    judged = f"{len(defects.eye)} " + ("labelled defects" if by_labels else "painted defects of kinds it never saw")
    said = f"recall {gain:+.1%} (at least {low:+.1%}) on {judged}"
    if alarms[1] > allowed:
        kept, why = (
            False,
            f"false alarms on batches it does not know: {alarms[1]:.1%} against {alarms[0]:.1%} without it",
        )
    elif gain < _GAIN_MIN or low < 0:
        kept, why = False, f"no sure help: {said}"
    else:
        kept, why = True, f"helps: {said}"
    return NetDecision(kept, why, "labels" if by_labels else "painted", gain, low, alarms)


@dataclass(frozen=True, slots=True)
class _Ways:
    """Scores without and with the network: float64[n] each."""

    good: tuple[Floats, Floats]
    defects: tuple[Floats, Floats]

    @classmethod
    def of(cls, good: Pair, defects: Pair, share: float) -> _Ways:
        eye, net = _scaled(good.eye, good.eye), _scaled(good.net, good.net)
        bad_eye, bad_net = _scaled(defects.eye, good.eye), _scaled(defects.net, good.net)
        return cls((eye, (1 - share) * eye + share * net), (bad_eye, (1 - share) * bad_eye + share * bad_net))

    def gain(self) -> float:
        return _recall(self.good[1], self.defects[1]) - _recall(self.good[0], self.defects[0])

    def gain_low(self, batches: Sequence[str], rng: np.random.Generator) -> float:
        """Lower bound of the gain: whole batches of good frames and single defects drawn again (Efron 1979)."""
        names = np.array(batches)
        members = [np.flatnonzero(names == name) for name in sorted(set(batches))]
        gains = []
        for _ in range(_DRAWS):
            drawn = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
            chosen = rng.integers(0, len(self.defects[0]), len(self.defects[0]))
            again = _Ways(
                (self.good[0][drawn], self.good[1][drawn]), (self.defects[0][chosen], self.defects[1][chosen])
            )
            gains.append(again.gain())
        return float(np.quantile(gains, _CHANCE))


def _scaled(scores: Floats, good: Floats) -> Floats:
    return np.asarray((scores - good.mean()) / max(float(good.std()), 1e-9), np.float64)


def _cut(good: Floats, rate: float) -> float:
    """Split conformal: the ceil((n + 1)(1 - rate))-th smallest, or the greatest where there are too few."""
    rank = min(int(np.ceil((len(good) + 1) * (1 - rate))), len(good))
    return float(np.sort(good)[rank - 1])


def _recall(good: Floats, defects: Floats) -> float:
    """Share of defects over the cut, mean over RATES."""
    return float(np.mean([(defects > _cut(good, rate)).mean() for rate in RATES]))


def _unknown_batch_alarms(good: Floats, batches: Sequence[str]) -> float:
    """Share of good frames over a cut taken from all other batches. Of one batch nothing can be said: 0."""
    names = np.array(batches)
    over = 0
    for name in sorted(set(batches)):
        mine = names == name
        if mine.all():
            return 0.0
        over += int((good[mine] > _cut(good[~mine], RATES[-1])).sum())
    return over / len(good)
