"""The statistic: of every level, over many windows up to now, how much likelier a raised rate is than the natural one.

Binomial likelihood ratio (Kulldorff, A spatial scan statistic, 1997; Poisson where rates are small), divided by the
overdispersion that natural spread brings: var(O) = E (1 - p) + v E^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fusion.scan_rates import ALL, NONE, RATE_MAX, RATE_MIN, Levels, Numbers, Wander

Mask = npt.NDArray[np.bool_]

WINDOW_MIN = 64  # parts of the shortest window
WINDOW_STEP = 2**0.5  # the next window is longer by this: an onset between two costs at most a tenth of the statistic
OBSERVED_MIN = 4  # fewer defects or flags are nothing to call people for
EXPECTED_LONG = 20.0  # a window of which fewer are expected is one of the more, the shorter it is
ALIKE = 2.0  # neighbouring stretches of a line that wanders are alike: they count half
RATIO_MIN = 1.5  # a smaller excess is not worth an incident, and no natural rate is known better


STEADY = Wander()


@dataclass(frozen=True, slots=True)
class Rows:
    """Parts that are counted, the oldest first. `levels`: int32[m, 1 + a], column 0 ALL, NONE in empty places;
    `observed`: bool[m]; `expected`: float64[m], rate by nature and by what explains more; `natural`: by nature alone;
    `position`: int64[m] in the line's order; `doubts`: float64[levels], variance of the natural log rate; `shares`: of
    parts that usually carry a level; `wander`: of the line's log rate."""

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
    flat = segment[:, None] * np.int32(count) + rows.levels
    shape, places = (len(sizes), count), len(sizes) * count
    weights = np.broadcast_to(rows.expected[:, None], flat.shape).ravel()
    parts = np.bincount(flat.ravel(), minlength=places).reshape(shape).cumsum(axis=0).astype(np.float64)
    observed = np.bincount(flat[rows.observed].ravel(), minlength=places).reshape(shape).cumsum(axis=0).astype(float)
    expected = np.bincount(flat.ravel(), weights, places).reshape(shape).cumsum(axis=0)
    own = rows.doubts * (1.0 - rows.shares) ** 2
    statistic = log_ratio(observed, expected, parts) / overdispersion(
        expected, parts, own[None, :] + np.where(np.arange(count) == ALL, 0.0, rows.doubts[ALL])
    )
    statistic -= many_windows(expected)
    statistic[:, NONE] = 0.0
    best = statistic.argmax(axis=0)
    return Screened(statistic[best, np.arange(count)], sizes[best])


def log_ratio(observed: Numbers, expected: Numbers, parts: Numbers) -> Numbers:
    """Log likelihood ratio of the rate seen against the rate expected, in nats; 0 where the excess is too small to
    matter (RATIO_MIN, OBSERVED_MIN). All of one shape."""
    mean = np.clip(expected / np.maximum(parts, 1.0), RATE_MIN, RATE_MAX)
    seen = np.clip(observed / np.maximum(parts, 1.0), 0.0, 1.0)
    raised = (seen >= RATIO_MIN * mean) & (observed >= OBSERVED_MIN)
    if not raised.any():
        return np.zeros_like(expected)
    out = np.zeros_like(expected)
    o, n, p, q = observed[raised], parts[raised], mean[raised], seen[raised]
    rest = np.where(q < 1.0, np.log1p(-np.minimum(q, 1.0 - 1e-12)) - np.log1p(-p), 0.0)
    out[raised] = o * np.log(q / p) + (n - o) * rest
    return out


def many_windows(expected: Numbers) -> Numbers:
    """Nats a short window owes for the number of its like: there are twice as many of half the length (the scale
    penalty of Walther, Optimal and fast detection of spatial clusters with scan statistics, 2010)."""
    owed: Numbers = np.log(EXPECTED_LONG / np.clip(expected, 1e-6, EXPECTED_LONG))
    return owed


def overdispersion(expected: Numbers, parts: Numbers, variance: Numbers) -> Numbers:
    """How many times the binomial's the variance of a count is, where log rates vary by `variance`."""
    mean = np.clip(expected / np.maximum(parts, 1.0), 0.0, RATE_MAX)
    return 1.0 + variance * expected / (1.0 - mean)


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
    """The best onset of one set of parts. `row`: the first of them; `statistic`: its `log_ratio` for natural spread;
    `natural`: of `expected`, by nature."""

    row: int
    log_ratio: float
    statistic: float
    observed: int
    expected: float
    natural: float
    parts: int

    @property
    def ratio(self) -> float:
        """How many times the natural rate, apart from what something else explains: causes add up."""
        return 1.0 + (self.observed - self.expected) / max(self.natural, 1e-9)


def best_since(rows: Rows) -> Since:
    """The onset that maximises the likelihood ratio over every row (all of `rows` carry the level)."""
    if not len(rows.observed):
        return Since(0, 0.0, 0.0, 0, 0.0, 0.0, 0)
    observed = rows.observed[::-1].cumsum()[::-1].astype(np.float64)
    expected = rows.expected[::-1].cumsum()[::-1]
    parts = np.arange(len(observed), 0, -1, dtype=np.float64)
    ratios = log_ratio(observed, expected, parts)
    at = int((ratios - many_windows(expected)).argmax())
    late = rows.only(np.arange(len(observed)) >= at)
    owed = float(many_windows(expected[at : at + 1])[0])
    spread = float(overdispersion(expected[at : at + 1], parts[at : at + 1], np.array([natural_variance(late)]))[0])
    nats = added_ratio(late) if ratios[at] > 0.0 else 0.0
    return Since(
        row=at,
        log_ratio=nats,
        statistic=nats / spread - owed,
        observed=int(observed[at]),
        expected=float(expected[at]),
        natural=float(late.natural.sum()),
        parts=int(parts[at]),
    )


def added_ratio(rows: Rows) -> float:
    """Log likelihood ratio, part by part, of so many times the natural rate added to what is expected already."""
    more = (float(rows.observed.sum()) - float(rows.expected.sum())) / max(float(rows.natural.sum()), 1e-9)
    raised = np.minimum(rows.expected + more * rows.natural, np.maximum(rows.expected, RATE_MAX))
    ratios = np.where(
        rows.observed,
        np.log(raised / rows.expected),
        np.log1p(-raised) - np.log1p(-np.minimum(rows.expected, RATE_MAX)),
    )
    return float(ratios.sum())
