"""Teaching a small network of dense layers: batches, backpropagation and Adam (Kingma and Ba 2015) in plain numpy.

Step by step what scikit-learn's `MLPClassifier.partial_fit` does, to the last bit (tests/vision/test_painted_head.py),
in less than half the time: of a step on a few hundred cells the library spends more on checking what it is given, and
on a loss that nobody reads, than on the network. Half of an eye's training were such steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from vision.eye.heads import Samples

_BETAS = (0.9, 0.999)  # of Adam: how long its means of gradients and of their squares remember
_EPSILON = 1e-8

Layers = tuple[list[Samples], list[Samples]]


class Network:
    """Dense layers with ReLU between them; the last gives one logit of two classes, else one for each class.

    weights: float32[in, out] of each layer; biases: float32[out]. Both are views of one vector, which Adam moves."""

    def __init__(self, sizes: Sequence[int], seed: int) -> None:
        self._dice = np.random.RandomState(seed)
        shapes = [shape for pair in pairwise(sizes) for shape in (pair, (pair[1],))]
        self._all = np.empty(sum(int(np.prod(shape)) for shape in shapes), np.float32)
        self._slopes = np.zeros_like(self._all)
        self._means, self._squares, self._steps = np.zeros_like(self._all), np.zeros_like(self._all), 0
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        views = [v.reshape(shape) for v, shape in zip(np.split(self._all, ends), shapes, strict=True)]
        slopes = [v.reshape(shape) for v, shape in zip(np.split(self._slopes, ends), shapes, strict=True)]
        self.weights, self.biases = views[::2], views[1::2]
        self._weight_slopes, self._bias_slopes = slopes[::2], slopes[1::2]
        for weights, biases in zip(self.weights, self.biases, strict=True):
            bound = np.sqrt(6.0 / sum(weights.shape))  # Glorot and Bengio 2010
            weights[:] = self._dice.uniform(-bound, bound, weights.shape)
            biases[:] = self._dice.uniform(-bound, bound, len(biases))

    def shuffled(self, number: int) -> npt.NDArray[np.int64]:
        """An order of so many samples, from where the dice are."""
        order = np.arange(number)
        self._dice.shuffle(order)
        return order

    def learn(self, x: Samples, wanted: npt.NDArray[np.bool_], rate: float, decay: float) -> None:
        """One step on one batch. x: float32[n, in]; wanted: bool[n, logits]; decay: L2 on weights, over the batch."""
        seen = [x]
        for weights, biases in zip(self.weights, self.biases, strict=True):
            reached = seen[-1] @ weights
            reached += biases
            seen.append(np.maximum(reached, 0, out=reached) if len(seen) < len(self.weights) else reached)
        error = _chances(seen.pop()) - wanted
        for layer in range(len(self.weights) - 1, -1, -1):
            slope = self._weight_slopes[layer]
            np.matmul(seen[layer].T, error, out=slope)
            slope += decay * self.weights[layer]
            slope /= len(x)
            self._bias_slopes[layer][:] = error.sum(axis=0) / len(x)
            if layer:
                error = error @ self.weights[layer].T
                error *= seen[layer] > 0
        self._move(rate)

    def _move(self, rate: float) -> None:
        self._steps += 1
        first, second = _BETAS
        self._means = first * self._means + (1 - first) * self._slopes
        self._squares = second * self._squares + (1 - second) * self._slopes**2
        rate = rate * np.sqrt(1 - second**self._steps) / (1 - first**self._steps)
        self._all += -rate * self._means / (np.sqrt(self._squares) + _EPSILON)


def fit_network(
    x: Samples, classes: npt.NDArray[np.int64], hidden: Sequence[int], *,
    seed: int, batch: int, epochs: int, rate: float, decay: float,
) -> Layers:  # fmt: skip
    """Weights and biases of each layer. x: float32[n, in]; classes: int[n]. The same samples in the same order
    give the same network; every epoch but the first goes through them in the same shuffled order."""
    kinds = np.unique(classes)
    wanted = classes[:, None] == kinds if len(kinds) > 2 else (classes != kinds[0])[:, None]
    network = Network([x.shape[1], *hidden, wanted.shape[1]], seed)
    order = network.shuffled(len(x))
    for epoch in range(epochs):
        if epoch == 1:
            order = np.arange(len(x))
            np.random.RandomState(seed).shuffle(order)
        for begin in range(0, len(x), batch):
            chosen = order[begin : begin + batch]
            network.learn(x[chosen], wanted[chosen], rate, decay)
    return network.weights, network.biases


def _chances(logits: Samples) -> Samples:
    if logits.shape[1] == 1:
        return np.asarray(expit(logits, out=logits))
    raised = np.exp(logits - logits.max(axis=1)[:, None])
    raised /= raised.sum(axis=1)[:, None]
    return np.asarray(raised)
