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

from fusion.scan.lent import lent_to_windows
from fusion.scan.rates import ALL, NONE, RATE_MAX, Numbers, weights_of
from fusion.scan.rows import Mask, Rows
from fusion.scan.sums import windowed

WINDOW_MIN = 64  # parts of the shortest window
WINDOW_STEP = 2**0.5  # the next window is longer by this: an onset between two costs at most a tenth of the statistic
OBSERVED_MIN = 4  # fewer defects or flags are nothing to call people for
EXPECTED_LONG = 20.0  # a window of which fewer are expected is one of the more, the shorter it is
ALIKE = 2.0  # neighbouring stretches of a line that wanders are alike: they count half
RATIO_MIN = 1.5  # a smaller excess is not worth an incident, and no natural rate is known better
ADDED = (1.0, 3.0, 7.0)  # times the natural rate, each tried: what lies between loses little
RAISES = tuple(2.0 ** (step / 3) for step in range(-4, 16))  # .4 to 32 times the natural rate


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
    segment = np.searchsorted(sizes, np.arange(m, 0, -1))
    weights = weights_of(rows.expected, rows.natural)
    mean_of, variance_of = weights * rows.expected, weights**2 * rows.expected * (1.0 - rows.expected)
    columns = [gains(rows, ADDED), rows.observed, rows.natural, rows.expected, mean_of, variance_of]
    sums = windowed(rows.levels, segment, len(sizes), count, np.column_stack(columns))
    observed, natural, expected, mean, variance = sums[len(ADDED) :]
    ratio = sums[: len(ADDED)].max(axis=0)
    ratio[~raised_enough(observed, observed - expected, natural)] = 0.0
    own = own_variance(rows)
    statistic = ratio / (1.0 + own[None, :] * mean**2 / np.maximum(variance, 1e-12))
    if rows.flags is not None:
        lent = lent_to_windows(rows.flags, rows.position[m - sizes], own_variance(rows.flags))
        statistic += np.where(ratio > 0.0, lent, 0.0)
    statistic -= many_windows(natural)
    statistic[:, NONE] = 0.0
    best = statistic.argmax(axis=0)
    return Screened(statistic[best, np.arange(count)], sizes[best])


def gains(rows: Rows, added: Sequence[float]) -> Numbers:
    """Log likelihood ratio of each part, for so many times its natural rate added to what is expected of it: float64[m,
    len(added)], nats."""
    expected = rows.expected[:, None]
    raised = np.minimum(expected + rows.natural[:, None] * np.asarray(added), np.maximum(expected, RATE_MAX))
    ratios: Numbers = np.log1p(-raised) - np.log1p(-expected)
    ratios[rows.observed] = np.log(raised[rows.observed] / expected[rows.observed])
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


def own_variance(rows: Rows) -> Numbers:
    """Variance of the log rate of parts that each level brings alone, and the line's: float64[levels]."""
    own: Numbers = rows.doubts * (1.0 - rows.shares) ** 2 + rows.doubts[ALL]
    own[ALL] -= rows.doubts[ALL]
    return own


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
    it is, apart from what something else explains: causes add up; `heaviest`: nats of the defect that adds most;
    `lent`: nats of the statistic that flags lend."""

    row: int
    log_ratio: float
    statistic: float
    observed: int
    expected: float
    natural: float
    parts: int
    ratio: float = 1.0
    heaviest: float = 0.0
    lent: float = 0.0

    @property
    def own(self) -> float:
        """The statistic without what flags lend."""
        return self.statistic - self.lent


def best_since(rows: Rows, lent: Numbers | None = None) -> Since:
    """The onset that maximises the likelihood ratio over every row (all of `rows` carry the level). `lent`: nats, by
    the flags of such parts from each row on."""
    if not len(rows.observed):
        return Since(0, 0.0, 0.0, 0, 0.0, 0.0, 0)
    observed, expected, natural = (_since(one) for one in (rows.observed.astype(float), rows.expected, rows.natural))
    ratios = _since(gains(rows, ADDED)).max(axis=1)
    ratios[~raised_enough(observed, observed - expected, natural)] = 0.0
    more_told = np.zeros(len(ratios)) if lent is None else np.where(ratios > 0.0, lent, 0.0)
    at = int((ratios + more_told - many_windows(natural)).argmax())
    late = rows.only(np.arange(len(observed)) >= at)
    nats, more = likeliest_raise(late) if ratios[at] > 0.0 else (0.0, 0.0)
    adds = gains(late, [more])[late.observed]
    return Since(
        row=at,
        log_ratio=nats + float(more_told[at]),
        statistic=nats / overdispersion(late, natural_variance(late))
        + float(more_told[at] - many_windows(natural[at : at + 1])[0]),
        observed=int(observed[at]),
        expected=float(expected[at]),
        natural=float(natural[at]),
        parts=len(observed) - at,
        ratio=1.0 + more,
        heaviest=float(adds.max(initial=0.0)),
        lent=float(more_told[at]),
    )


def _since(values: Numbers) -> Numbers:
    """Sums from each row to the last."""
    return values[::-1].cumsum(axis=0)[::-1]


def likeliest_raise(rows: Rows) -> tuple[float, float]:
    """Log likelihood ratio of the likeliest of RAISES, and which it is, in times the natural rate."""
    ratios = gains(rows, RAISES).sum(axis=0)
    best = int(ratios.argmax())
    return float(ratios[best]), RAISES[best]
