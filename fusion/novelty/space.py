"""The space in which one part's values are compared with those of all others: robust units, per product.

What both the novelty gate and the cold start stand on: the summary columns of every channel (and how alarmed each
camera is), centred on their product's median, in units of a robust spread, with the correlations of the bulk of parts.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fusion.risk.features import Column, Floats

Doubles = npt.NDArray[np.float64]

CHANNEL_SUMMARIES = ("mean", "std", "slope", "golden_rms", "golden_mean")  # level, spread, trend, shape, side
CAMERA_SUMMARIES = ("ratio",)
CLIP = 8.0  # robust units; further out a value is beyond its range, which is judged on its own


@dataclass(frozen=True, slots=True)
class Space:
    """`columns`: intp[d], the features that span it. `centre`: float32[products + 1, d], the last of any product.
    `scale`: float32[d] robust spreads. `mean`: float32[d] and `covariance`: float32[d, d] of the bulk, in units of
    `scale`. `seen`: float32[m, d] units of labelled defects: far from the bulk, and yet nothing new."""

    columns: npt.NDArray[np.intp]
    centre: Floats
    scale: Floats
    mean: Floats
    covariance: Floats
    seen: Floats = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))

    def units(self, features: Floats, product_at: npt.NDArray[np.intp] | int) -> Doubles:
        """float[n, features] → float64[n, d]: robust units from the bulk's mean, 0 where missing, within ±CLIP."""
        away = (features[:, self.columns].astype(np.float64) - self.centre[product_at]) / self.scale
        return np.asarray(np.clip(np.nan_to_num(away, nan=0.0), -CLIP, CLIP) - self.mean, dtype=np.float64)

    def restored(self, units: Doubles, product_at: int) -> Doubles:
        """`units` taken back to the values of the features, float64[d]."""
        return np.asarray((units + self.mean) * self.scale + self.centre[product_at], dtype=np.float64)

    def pack(self) -> bytes:
        """As .npz bytes; equal spaces give equal bytes."""
        target = io.BytesIO()
        np.savez(target, **{name: getattr(self, name) for name in Space.__slots__})
        return target.getvalue()

    @classmethod
    def unpack(cls, packed: bytes) -> Space:
        with np.load(io.BytesIO(packed), allow_pickle=False) as held:
            return cls(**{name: held[name] for name in Space.__slots__})


def space_columns(columns: Sequence[Column]) -> npt.NDArray[np.intp]:
    """intp[d]: which features sum up a channel or a camera."""
    wanted = {c.entity: CHANNEL_SUMMARIES if c.source.startswith("sensors:") else CAMERA_SUMMARIES for c in columns}
    return np.array(
        [
            i
            for i, c in enumerate(columns)
            if c.entity
            and c.source.startswith(("sensors:", "camera:"))
            and c.name.removeprefix(f"{c.entity}:") in wanted[c.entity]
        ],
        dtype=np.intp,
    )


def taken_of(space: Space, columns: Sequence[Column], sources: Sequence[str]) -> npt.NDArray[np.bool_]:
    """bool[d]: which columns of a space these sources fill."""
    return np.array([columns[i].source in sources for i in space.columns], dtype=np.bool_)


def precision(space: Space, taken: npt.NDArray[np.bool_]) -> Doubles:
    """float64[k, k]: inverse covariance of the taken columns alone (their marginal)."""
    return np.asarray(np.linalg.inv(space.covariance[np.ix_(taken, taken)].astype(np.float64)))


def whitener(space: Space, taken: npt.NDArray[np.bool_]) -> Doubles:
    """float64[k, k] by which units of the taken columns become uncorrelated ones of variance 1."""
    lower = np.linalg.cholesky(space.covariance[np.ix_(taken, taken)].astype(np.float64))
    return np.asarray(np.linalg.inv(lower))


def distance(units: Doubles, white: Doubles) -> Doubles:
    """float64[n]: Mahalanobis distance (the root of Hotelling's T²) of units float64[n, k] of the taken columns."""
    turned = units @ white.T
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", turned, turned)))
