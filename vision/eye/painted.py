"""A head that was shown defects painted onto good frames: which differences look like something done to the surface.

Nearest neighbours ask whether a cell was seen before; on surfaces with much natural variety nearly nothing was, and
the odd is mostly harmless. A network of a few thousand weights on each cell's features, taught on painted defects
against the same frames' own cells, learns which oddness matters (compare Zavrtanik et al. 2021, DRAEM; Li et al. 2021,
CutPaste). It sees the place of a cell too: what is an edge in the middle is the rim at the rim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from vision.eye.bank import Source
from vision.eye.export import GraphPen
from vision.eye.heads import LayersHead, Samples
from vision.eye.summary import Usual

_HIDDEN = (64, 32)
_EPOCHS = 6
_STEPS_MIN = 1000  # of few cells more epochs are needed
_BATCH = 512
_DECAY = 0.1  # L2 on all weights, as scikit-learn scales it (by the batch); ten times as much lost 10 points of AUROC
_NETWORKS = 1  # whose logits are averaged: two gained half a point and cost a millisecond
_USUAL_SHARE = 0.3  # of a channel's usual range over all frames, added to the frame's own: flat frames stay finite
_CLIP = 12.0
_SPREAD_MIN = 1e-3
PLACES = 7


@dataclass(frozen=True, slots=True)
class CellScale:
    """Brings the cells of a frame to the frame's own scale: `(x - median) / (range + share * usual range)`.

    usual: float32[channels, 1], the median interquartile range of each channel over good frames."""

    usual: npt.NDArray[np.float32]

    @classmethod
    def fit(cls, ranges: Sequence[npt.NDArray[np.float32]]) -> CellScale:
        """ranges: float32[channels, 1] of each good frame."""
        return cls(np.maximum(np.median(np.stack(ranges), axis=0), 1e-4).astype(np.float32))

    def nodes(self, pen: GraphPen, features: str, usual: Usual, source: Source, shape: tuple[int, int]) -> str:
        """float32[h * w, channels + PLACES] from features float32[1, channels, h, w]."""
        flat = pen.node("Reshape", features, pen.integers(source.channels, shape[0] * shape[1]))
        range_ = pen.node("Add", usual.range, pen.constant(_USUAL_SHARE * self.usual))
        scaled = pen.node("Div", pen.node("Sub", flat, usual.median), range_)
        clipped = pen.node("Clip", scaled, pen.constant(-_CLIP), pen.constant(_CLIP))
        placed = pen.node("Concat", clipped, pen.constant(places(*shape)), axis=0)
        return pen.node("Transpose", placed, perm=[1, 0])


def places(rows: int, columns: int) -> npt.NDArray[np.float32]:
    """float32[PLACES, rows * columns]: where a cell lies, from -1 to 1, and how near to each rim."""
    y, x = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij"))
    return np.stack([x, y, x**2, y**2, x**8, y**8, x * y]).astype(np.float32)


def fit_layers(samples: Samples, classes: npt.NDArray[np.int64], seed: int = 0) -> LayersHead:
    """samples: float32[n, channels]; classes 0 (good), 1, 2 ... With two classes one logit, else one for each defect
    class against good. Deterministic: one thread, a fixed order."""
    mean, spread = samples.mean(0), np.maximum(samples.std(0), _SPREAD_MIN)
    scaled = ((samples - mean) / spread).astype(np.float32)
    fitted = [_fit_one(scaled, classes, seed + number) for number in range(_NETWORKS)]
    weights, biases = _side_by_side([weights for weights, _ in fitted], [biases for _, biases in fitted])
    return LayersHead(mean.astype(np.float32), spread.astype(np.float32), weights, biases)


Layers = tuple[list[Samples], list[Samples]]


def _fit_one(scaled: Samples, classes: npt.NDArray[np.int64], seed: int) -> Layers:
    from sklearn.neural_network import MLPClassifier  # 100 MiB that a worker that only looks does not load

    batch = min(_BATCH, len(scaled))
    network = MLPClassifier(
        _HIDDEN, alpha=_DECAY, batch_size=batch, learning_rate_init=3e-3, random_state=seed
    )  # fmt: skip
    with threadpool_limits(1):
        for _ in range(max(_EPOCHS, _STEPS_MIN * batch // len(scaled))):
            network.partial_fit(scaled, classes, classes=np.unique(classes))
    weights, biases = list(network.coefs_), list(network.intercepts_)
    if len(biases[-1]) > 1:  # softmax: a logit of each defect class against good is the difference
        weights[-1], biases[-1] = weights[-1][:, 1:] - weights[-1][:, :1], biases[-1][1:] - biases[-1][0]
    return weights, biases


def _side_by_side(
    weights: Sequence[list[Samples]], biases: Sequence[list[Samples]]
) -> tuple[tuple[Samples, ...], tuple[Samples, ...]]:
    """Several networks as one: the first layer shares its input, the last averages, those between stay apart."""
    layers = list(zip(*weights, strict=True))
    joined = [np.concatenate(layers[0], axis=1), *map(_block_diagonal, layers[1:-1])]
    joined.append(np.concatenate(layers[-1], axis=0) / len(weights))
    shifts = list(zip(*biases, strict=True))
    added = [*(np.concatenate(shift) for shift in shifts[:-1]), np.mean(shifts[-1], axis=0)]
    return tuple(w.astype(np.float32) for w in joined), tuple(b.astype(np.float32) for b in added)


def _block_diagonal(blocks: Sequence[Samples]) -> Samples:
    joined = np.zeros((sum(b.shape[0] for b in blocks), sum(b.shape[1] for b in blocks)), np.float32)
    row = column = 0
    for block in blocks:
        joined[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return joined
