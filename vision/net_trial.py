"""The test that the rule decides by: held-out good frames, plain, and painted with kinds a network was not taught."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from models.open import Graph
from vision.export import GraphPen
from vision.eye_graph import top_of
from vision.feed import Feed
from vision.image import Grey, blurred
from vision.net import STRIDE, TrainedNet, net_nodes
from vision.net_rule import Pair, Trial
from vision.synthetic import Kind, paint

EyeScore = Callable[[Feed], float]

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


def try_net(
    trained: TrainedNet, unseen: Sequence[Kind], feeds: Sequence[Feed], eye_score: EyeScore, seed: int
) -> Trial:
    """Scores of good frames and of the same frames with one defect each of the `unseen` kinds in turn.

    feeds: frames that neither the network nor the eye behind `eye_score` has learned from. Each is painted as often,
    PAINTED_MIN paintings at least; one that nobody could see is left out.
    """
    graph, rng = net_graph(trained, (feeds[0].frame.shape[0], feeds[0].frame.shape[1])), np.random.default_rng(seed)
    painted: list[Feed] = []
    for number in range(len(feeds) * -(-PAINTED_MIN // len(feeds))):
        feed, other = feeds[number % len(feeds)], feeds[int(rng.integers(len(feeds)))]
        frame, mask = paint(rng, feed.frame, other.frame, unseen[number % len(unseen)])
        if mask.any():
            painted.append(Feed(frame, feed.chroma))
    return Trial(_scores(graph, feeds, eye_score), _scores(graph, painted, eye_score))


def _scores(graph: Graph, feeds: Sequence[Feed], eye_score: EyeScore) -> Pair:
    eye = [eye_score(feed) for feed in feeds]
    net = [net_score(net_map(graph, feed.frame)) for feed in feeds]
    return Pair(np.asarray(eye, np.float64), np.asarray(net, np.float64))
