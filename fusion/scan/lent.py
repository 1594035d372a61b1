"""What flags lend to labels: a part is flagged as it is made, its label comes later.

By the chain rule p(flag, defect | cause) = p(flag | cause) p(defect | flag, cause): what flags say of a cause may be
added to what labels say given the risk, and no part counts twice. Flags are held against those of the other parts of
the same time, so that a model that drifts lends nothing; and they lend little: labels must speak for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fusion.scan.rates import ALL, NONE, Numbers
from fusion.scan.rows import Rows
from fusion.scan.sums import windowed

LENT_MAX = 5.0  # nats, about half of what is asked for: flags alone have a search and a limit of their own
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Contrast:
    """Flags of some parts against those of the others. `expected`: of these, at the rate of the others; `nats`: of the
    raise; `doubt`: variance of the others' log rate."""

    ratio: Numbers
    expected: Numbers
    nats: Numbers
    doubt: Numbers

    def lent(self, variance: Numbers | float) -> Numbers:
        """Nats, for natural spread of this variance of log rate."""
        nats: Numbers = np.minimum(self.nats / (1.0 + (variance + self.doubt) * self.expected), LENT_MAX)
        return nats


def contrast(observed: Numbers, expected: Numbers, all_observed: Numbers, all_expected: Numbers) -> Contrast:
    """Poisson likelihood ratio of some parts' flags against those of all others, never below the natural rate."""
    others = np.maximum(all_expected - expected, 1e-9)
    fair = np.maximum(expected, 1e-9) * np.maximum(1.0, (all_observed - observed) / others)
    ratio = np.maximum(observed / fair, 1.0)
    nats = np.where(ratio > 1.0, observed * np.log(ratio) - (observed - fair), 0.0)
    return Contrast(ratio, fair, nats, 1.0 / others)


def contrasts(flags: Rows, sides: tuple[int, ...], since: Positions) -> Contrast:
    """Of the parts that carry `sides`, from each of these positions on."""
    carrying = flags.carrying(*sides)
    first = np.searchsorted(flags.position, since)
    observed = flags.observed.astype(np.float64)
    sums = (_since(one)[first] for one in (observed * carrying, flags.expected * carrying, observed, flags.expected))
    return contrast(*sums)


def lent_to_windows(flags: Rows, starts: Positions, own: Numbers) -> Numbers:
    """Nats lent to every level over windows from `starts` (the latest first) up to now: float64[windows, levels].
    `own`: natural variance of each level."""
    segment = np.searchsorted(-starts, -flags.position)
    oldest = int(np.searchsorted(flags.position, starts[-1]))
    values = np.column_stack([flags.observed, flags.expected])[oldest:]
    observed, expected = windowed(flags.levels[oldest:], segment[oldest:], len(starts), len(own), values)
    nats = contrast(observed, expected, observed[:, [ALL]], expected[:, [ALL]]).lent(own[None, :])
    nats[:, [ALL, NONE]] = 0.0
    return nats


def _since(values: Numbers) -> Numbers:
    """Sums from each row to the last, and 0 after it."""
    return np.append(values[::-1].cumsum()[::-1], 0.0)
