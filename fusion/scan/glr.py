"""The statistic: of every level, over many windows up to now, how much likelier a raised rate is than the natural one.

Binomial likelihood ratio (Kulldorff, A spatial scan statistic, 1997), part by part: a cause adds the same to the rate
of every part that carries it, so that a defect of a part of which none was expected speaks louder than one of a part
that was doubtful anyway. It is divided by the overdispersion that natural spread brings, which multiplies rates: of a
sum with weights w, var = sum w^2 p (1 - p) + v (sum w p)^2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fusion.scan.rates import ALL, NONE, RATE_MAX, Levels, Numbers, Wander, weights_of

Mask = npt.NDArray[np.bool_]

WINDOW_MIN = 64  # parts of the shortest window
WINDOW_STEP = 2**0.5  # the next window is longer by this: an onset between two costs at most a tenth of the statistic
OBSERVED_MIN = 4  # fewer defects or flags are nothing to call people for
EXPECTED_LONG = 20.0  # a window of which fewer are expected is one of the more, the shorter it is
ALIKE = 2.0  # neighbouring stretches of a line that wanders are alike: they count half
RATIO_MIN = 1.5  # a smaller excess is not worth an incident, and no natural rate is known better
ADDED = (1.0, 3.0, 7.0)  # times the natural rate, each tried: what lies between loses little
RAISES = tuple(2.0 ** (step / 3) for step in range(-4, 16))  # .4 to 32 times the natural rate


STEADY = Wander()


@dataclass(frozen=True, slots=True)
class Rows:
    """Parts that are counted, the oldest first. `levels`: int32[m, 1 + a], column 0 ALL, NONE in empty places;
    `observed`: bool[m]; `expected`: float64[m], rate by nature, by the part's risk and by what explains more;
    `natural`: by nature alone, of which a cause adds so many times; `position`: int64[m] in the line's order;
    `doubts`: float64[levels], variance of the natural log rate; `shares`: of parts that usually carry a level;
    `wander`: of the line's log rate."""

    levels: Levels
    observed: Mask
    expected: Numbers
    natural: Numbers
    position: npt.NDArray[np.int64]
    doubts: Numbers
    shares: Numbers
    wander: Wander = STEADY

    def only(self, mask: Mask) -> Rows:
        return Rows(self.levels[mask], self.observed[mask], self.expected[mask], self.natural[mask],
                    self.position[mask], self.doubts, self.shares, self.wander)  # fmt: skip

    def expecting(self, expected: Numbers) -> Rows:
        """The same parts with other rates expected of them."""
        return Rows(self.levels, self.observed, expected, self.natural, self.position, self.doubts, self.shares,
                    self.wander)  # fmt: skip

    def carrying(self, *sides: int) -> Mask:
        """Which parts carry all of these levels."""
        mask = np.ones(len(self.observed), dtype=np.bool_)
        for side in sides:
            if side != ALL:
                mask &= (self.levels == side).any(axis=1)
        return mask


@dataclass(frozen=True, slots=True)
class Screened:
    """Per level, its best window: `statistic` in nats, `window` as how many of the latest rows."""

    statistic: Numbers
    window: npt.NDArray[np.int64]


def window_sizes(rows: int) -> npt.NDArray[np.int64]:
    """Windows of the latest 64, 91, 128 ... rows, and of all."""
    sizes, size = [], float(WINDOW_MIN)
    while size < rows:
        sizes.append(round(size))
        size *= WINDOW_STEP
    return np.array([*sizes, rows], dtype=np.int64)


def screen(rows: Rows) -> Screened:
    """The best window of every level, by the spread of the level alone (others add to it: `natural_variance`)."""
    count, m = len(rows.doubts), len(rows.observed)
    if m == 0:
        return Screened(np.zeros(count), np.zeros(count, dtype=np.int64))
    sizes = window_sizes(m)
    segment = np.searchsorted(sizes, np.arange(m, 0, -1)).astype(np.int32)
    flat = (segment[:, None] * np.int32(count) + rows.levels).astype(np.intp).ravel()  # as bincount counts
    width, places = rows.levels.shape[1], len(sizes) * count

    def summed(of_rows: Numbers) -> Numbers:
        sums = np.bincount(flat, np.repeat(of_rows, width), places).reshape(len(sizes), count)
        return sums.cumsum(axis=0)

    told = flat.reshape(m, width)[rows.observed].ravel()
    observed = np.bincount(told, minlength=places).reshape(len(sizes), count).cumsum(axis=0).astype(np.float64)
    natural = summed(rows.natural)
    ratio = np.max([summed(gain) for gain in gains(rows, ADDED).T], axis=0)
    excess = observed - (natural if rows.expected is rows.natural else summed(rows.expected))
    ratio[~raised_enough(observed, excess, natural)] = 0.0
    weights = weights_of(rows.expected, rows.natural)
    mean, variance = summed(weights * rows.expected), summed(weights**2 * rows.expected * (1.0 - rows.expected))
    own = rows.doubts * (1.0 - rows.shares) ** 2 + np.where(np.arange(count) == ALL, 0.0, rows.doubts[ALL])
    statistic = ratio / (1.0 + own[None, :] * mean**2 / np.maximum(variance, 1e-12)) - many_windows(natural)
    statistic[:, NONE] = 0.0
    best = statistic.argmax(axis=0)
    return Screened(statistic[best, np.arange(count)], sizes[best])


def gains(rows: Rows, added: Sequence[float]) -> Numbers:
    """Log likelihood ratio of each part, for so many times its natural rate added to what is expected of it: float64[m,
    len(added)], nats."""
    expected = rows.expected[:, None]
    raised = np.minimum(expected + rows.natural[:, None] * np.asarray(added), np.maximum(expected, RATE_MAX))
    ratios: Numbers = np.where(
        rows.observed[:, None], np.log(raised / expected), np.log1p(-raised) - np.log1p(-expected)
    )
    return ratios


def raised_enough(observed: Numbers, excess: Numbers, natural: Numbers) -> Mask:
    """Is a count worth an incident by its size?"""
    enough: Mask = (observed >= OBSERVED_MIN) & (excess >= (RATIO_MIN - 1.0) * natural)
    return enough


def overdispersion(rows: Rows, variance: float) -> float:
    """How many times the binomial's the variance of the statistic of these parts is, where their log rates vary
    together by `variance`."""
    weights = weights_of(rows.expected, rows.natural)
    own = float((weights**2 * rows.expected * (1.0 - rows.expected)).sum())
    return 1.0 + variance * float((weights * rows.expected).sum()) ** 2 / max(own, 1e-12)


def many_windows(expected: Numbers) -> Numbers:
    """Nats a short window owes for the number of its like: there are twice as many of half the length (the scale
    penalty of Walther, Optimal and fast detection of spatial clusters with scan statistics, 2010)."""
    owed: Numbers = np.log(EXPECTED_LONG / np.clip(expected, 1e-6, EXPECTED_LONG))
    return owed


def natural_variance(rows: Rows) -> float:
    """Variance of the mean log rate of these parts: each value they carry adds its own by the square of how far its
    share is from the usual one (the usual mix is in the rate already), so that a window of few lots, or of one
    campaign, must stand out more. So does each stretch of the line."""
    if not len(rows.observed):
        return 0.0
    share = np.bincount(rows.levels.ravel(), minlength=len(rows.doubts)) / len(rows.observed)
    share -= rows.shares
    share[NONE] = 0.0
    stretch = rows.position // rows.wander.parts
    stretches = np.bincount(stretch - stretch.min()) / len(stretch)
    slow = min(1.0, ALIKE * float((stretches**2).sum()))
    return float((share**2 * rows.doubts).sum()) + rows.wander.variance * slow


@dataclass(frozen=True, slots=True)
class Since:
    """The best onset of one set of parts. `row`: the first of them; `log_ratio`: nats of the likeliest raise;
    `statistic`: that for natural spread; `natural`: of `expected`, by nature; `ratio`: how many times the natural rate
    it is, apart from what something else explains: causes add up; `heaviest`: nats of the defect that adds most."""

    row: int
    log_ratio: float
    statistic: float
    observed: int
    expected: float
    natural: float
    parts: int
    ratio: float = 1.0
    heaviest: float = 0.0


def best_since(rows: Rows) -> Since:
    """The onset that maximises the likelihood ratio over every row (all of `rows` carry the level)."""
    if not len(rows.observed):
        return Since(0, 0.0, 0.0, 0, 0.0, 0.0, 0)
    observed, expected, natural = (_since(one) for one in (rows.observed.astype(float), rows.expected, rows.natural))
    ratios = _since(gains(rows, ADDED)).max(axis=1)
    ratios[~raised_enough(observed, observed - expected, natural)] = 0.0
    at = int((ratios - many_windows(natural)).argmax())
    late = rows.only(np.arange(len(observed)) >= at)
    nats, more = likeliest_raise(late) if ratios[at] > 0.0 else (0.0, 0.0)
    adds = gains(late, [more])[late.observed]
    return Since(
        row=at,
        log_ratio=nats,
        statistic=nats / overdispersion(late, natural_variance(late)) - float(many_windows(natural[at : at + 1])[0]),
        observed=int(observed[at]),
        expected=float(expected[at]),
        natural=float(natural[at]),
        parts=len(observed) - at,
        ratio=1.0 + more,
        heaviest=float(adds.max(initial=0.0)),
    )


def _since(values: Numbers) -> Numbers:
    """Sums from each row to the last."""
    return values[::-1].cumsum(axis=0)[::-1]


def likeliest_raise(rows: Rows) -> tuple[float, float]:
    """Log likelihood ratio of the likeliest of RAISES, and which it is, in times the natural rate."""
    ratios = gains(rows, RAISES).sum(axis=0)
    best = int(ratios.argmax())
    return float(ratios[best]), RAISES[best]
