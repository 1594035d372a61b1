"""The test that the rule decides by: held-out good frames, plain, and painted with kinds a network was not taught."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.open import Graph
from vision.eye.export import GraphPen
from vision.eye.graph import top_of
from vision.feed import Feed
from vision.image import Grey, blurred
from vision.network.model import STRIDE, TrainedNet, net_nodes
from vision.network.rule import Pair, Trial
from vision.training.synthetic import Kind, paint

PAINTED_MIN = 160  # painted frames: a recall of a half is then known to four points
_BLUR_CELLS = 1.0  # as the eye smooths every map
_FRAME, _LOGITS = "frame", "logits"


def net_graph(trained: TrainedNet, shape: tuple[int, int]) -> Graph:
    """The network alone: logits float32[1, 1, rows / 4, columns / 4] of a frame of this shape."""
    rows, columns = shape
    pen = GraphPen()
    logits = net_nodes(pen, pen.input(_FRAME, shape), shape, trained)
    pen.output(logits, _LOGITS, (1, 1, rows // STRIDE, columns // STRIDE))
    return Graph.open(pen.finish("net"))


def net_map(graph: Graph, frame: Grey) -> npt.NDArray[np.float32]:
    """Logits float32[rows / 4, columns / 4] of a frame float32[rows, columns]."""
    return np.asarray(graph.run({_FRAME: frame})[0][0, 0], np.float32)


def net_score(logits: npt.NDArray[np.float32]) -> float:
    """The highest cells of a map over its median, as the eye's scorers are scored."""
    return top_of(blurred(logits - np.median(logits), _BLUR_CELLS))


@dataclass(frozen=True, slots=True)
class HeldOutFeed:
    """A frame that neither the network nor the eye has learned from. `eye_score`: what the eye says of it, and of it
    with something painted on."""

    feed: Feed
    eye_score: Callable[[Feed], float]


def try_net(
    trained: TrainedNet,
    unseen: Sequence[Kind],
    good: Sequence[HeldOutFeed],
    seed: int,
    labelled: Sequence[HeldOutFeed] = (),
) -> Trial:
    """Scores of good frames, of the same frames with one defect each of the `unseen` kinds in turn, and of frames of
    `labelled` defects.

    Each good frame is painted as often, PAINTED_MIN paintings at least; a painting that nobody could see is left out.
    """
    rows, columns = good[0].feed.frame.shape
    graph, rng = net_graph(trained, (rows, columns)), np.random.default_rng(seed)
    painted: list[HeldOutFeed] = []
    for number in range(len(good) * -(-PAINTED_MIN // len(good))):
        plain, other = good[number % len(good)], good[int(rng.integers(len(good)))]
        frame, mask = paint(rng, plain.feed.frame, other.feed.frame, unseen[number % len(unseen)])
        if mask.any():
            painted.append(replace(plain, feed=replace(plain.feed, frame=frame)))
    return Trial(_scores(graph, good), _scores(graph, painted), _scores(graph, labelled))


def _scores(graph: Graph, held_out: Sequence[HeldOutFeed]) -> Pair:
    eye = [one.eye_score(one.feed) for one in held_out]
    net = [net_score(net_map(graph, one.feed.frame)) for one in held_out]
    return Pair(np.asarray(eye, np.float64), np.asarray(net, np.float64))
