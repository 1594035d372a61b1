from __future__ import annotations

import numpy as np
import pytest

from models.open import Graph
from vision.eye.export import GraphPen
from vision.eye.heads import LayersHead
from vision.eye.painted import fit_layers


def samples(rng: np.random.Generator, number: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    cells = rng.normal(size=(number, 6)).astype(np.float32)
    return cells, (cells[:, 0] * cells[:, 1] > 0.5).astype(np.int64)


def through_graph(head: LayersHead, cells: np.ndarray) -> np.ndarray:
    pen = GraphPen()
    pen.output(head.nodes(pen, pen.input("cells", cells.shape)), "odd", (len(cells), head.outputs))
    return Graph.open(pen.finish("head")).run({"cells": cells})[0]


def test_the_nodes_say_what_the_network_said() -> None:
    rng = np.random.default_rng(0)
    cells, classes = samples(rng)
    head = fit_layers(cells, classes)
    new, new_classes = samples(rng, 500)
    seen = through_graph(head, new)
    assert np.abs(seen - head.apply(new)).max() < 1e-4
    assert seen[new_classes == 1, 0].mean() > seen[new_classes == 0, 0].mean() + 1


def test_it_is_the_same_network_each_time() -> None:
    cells, classes = samples(np.random.default_rng(1))
    one, again = fit_layers(cells, classes), fit_layers(cells, classes)
    assert all(np.array_equal(a, b) for a, b in zip(one.weights, again.weights, strict=True))


def test_with_several_kinds_each_has_a_logit_of_its_own() -> None:
    rng = np.random.default_rng(2)
    cells = rng.normal(size=(4000, 5)).astype(np.float32)
    classes = np.where(cells[:, 0] > 1, 1, np.where(cells[:, 1] > 1, 2, 0)).astype(np.int64)
    head = fit_layers(cells, classes)
    assert head.outputs == 2
    logits = through_graph(head, cells)
    assert logits[classes == 1, 0].mean() > logits[classes == 2, 0].mean() + 2
    assert logits[classes == 2, 1].mean() > logits[classes == 1, 1].mean() + 2
    assert logits[classes == 0].max(1).mean() < 0


@pytest.mark.parametrize("value", [0.0, 1e6])
def test_cells_without_any_variety_do_not_break_it(value: float) -> None:
    cells = np.full((200, 4), value, np.float32)
    head = fit_layers(cells, np.arange(200) % 2)
    assert np.isfinite(head.apply(cells)).all()
