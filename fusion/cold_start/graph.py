"""The cold-start score as an ONNX graph: input `x` float32[n, features], output float32[n, 2] of probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fusion.cold_start.score import ASSUMED_AUC, MIDDLE, TailCurve, provisional_logit
from fusion.novelty.space import CLIP, Space, whitener
from fusion.risk.features import Column, FeatureSpec
from fusion.risk.model import INPUT
from vision.eye.export import GraphPen


@dataclass(frozen=True, slots=True)
class ColdScore:
    """How unusual a part is, by the sources of one set: the largest of its sensors' and each camera's -log p.

    The sensors' is the mean of two: of the distance from the bulk in all their columns (`far`: what is unusual in
    combination) and of the column furthest out by itself (`wide`, then `widest`, since it is the worst of many).
    `sensors`, `cameras`: bool[d] columns of the space; `alarms`: one curve a camera; `whole`: of the largest.
    """

    space: Space
    sensors: npt.NDArray[np.bool_]
    cameras: npt.NDArray[np.bool_]
    far: TailCurve | None
    wide: TailCurve | None
    widest: TailCurve | None
    alarms: tuple[TailCurve, ...]
    whole: TailCurve


def graph_of(score: ColdScore | None, spec: FeatureSpec, columns: Sequence[Column], rate: float) -> bytes:
    """The graph of a score at an assumed defect rate; without one every part is as unusual as the middle one."""
    pen = GraphPen()
    x = pen.input(INPUT, [None, len(columns)])
    if score is None:
        nothing = pen.node("Mul", pen.node("ReduceSum", x, pen.integers(1), keepdims=1), pen.constant(0.0))
        evidence = pen.node("Add", nothing, pen.constant(MIDDLE))
    else:
        evidence = _evidence(pen, x, score, spec, columns)
    start = float(provisional_logit(np.zeros(1), rate)[0])
    slope = 2.0 - 1.0 / ASSUMED_AUC
    bad = pen.node("Sigmoid", pen.node("Add", pen.node("Mul", evidence, pen.constant(slope)), pen.constant(start)))
    good = pen.node("Sub", pen.constant(1.0), bad)
    pen.output(pen.node("Concat", good, bad, axis=1), "probabilities", [None, 2])
    return pen.finish("cold start")


def _evidence(pen: GraphPen, x: str, score: ColdScore, spec: FeatureSpec, columns: Sequence[Column]) -> str:
    """[n, 1]: -log p of the whole."""
    parts = []
    if score.far is not None and score.wide is not None and score.widest is not None:
        units = _units(pen, x, score, spec, columns)
        turned = pen.node("MatMul", units, pen.constant(whitener(score.space, score.sensors).T))
        away = pen.node("ReduceL2", turned, axes=[1], keepdims=1)
        alone = pen.node("Unsqueeze", pen.node("Abs", units), pen.integers(1))
        worst = pen.node("ReduceMax", _bent(pen, alone, score.wide), axes=[1], keepdims=1)
        both = pen.node("Add", _bent(pen, away, score.far), _bent(pen, worst, score.widest))
        parts.append(pen.node("Mul", both, pen.constant(0.5)))
    for column, curve in zip(score.space.columns[score.cameras], score.alarms, strict=True):
        parts.append(_bent(pen, pen.node("Gather", x, pen.integers(int(column)), axis=1), curve))
    most = pen.node("Max", *parts) if len(parts) > 1 else parts[0]
    return _bent(pen, most, score.whole)


def _units(pen: GraphPen, x: str, score: ColdScore, spec: FeatureSpec, columns: Sequence[Column]) -> str:
    """[n, k]: `Space.units` of the sensors' columns; the product's centre is picked by its column of `x`."""
    space, taken = score.space, score.sensors
    names = [column.name for column in columns]
    at = [(p, names.index(f"product={product}")) for p, product in enumerate(spec.products)]
    offsets = np.stack([space.centre[p][taken] - space.centre[-1][taken] for p, _ in at])
    booked = pen.node("Gather", x, pen.integers(*(i for _, i in at)), axis=1)
    centre = pen.node("Add", pen.node("MatMul", booked, pen.constant(offsets)), pen.constant(space.centre[-1][taken]))
    values = pen.node("Gather", x, pen.integers(*space.columns[taken].tolist()), axis=1)
    away = pen.node("Div", pen.node("Sub", values, centre), pen.constant(space.scale[taken]))
    clipped = pen.node("Clip", away, pen.constant(-CLIP), pen.constant(CLIP))
    return pen.node("Sub", clipped, pen.constant(space.mean[taken]))


def _bent(pen: GraphPen, scores: str, curve: TailCurve) -> str:
    """A tail curve of [n, 1], or of several columns [n, 1, k] → [n, k]."""
    over = pen.node("Relu", pen.node("Sub", scores, pen.constant(curve.nodes)))
    summed = pen.node("Mul", over, pen.constant(curve.bends))
    return pen.node("ReduceSum", summed, pen.integers(1), keepdims=int(curve.nodes.ndim == 1))
