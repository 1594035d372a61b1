"""A whole anomaly model of somebody else's, such as Anomalib exports, as an eye: its score and its map, our cut.

Anomalib ends its models with a normalisation to 0..1 that is clipped there. Good frames would tie at 0 and bad ones at
1, so the clip is taken off: the score is what went into it. Its own threshold is left aside; ours is cut anew from the
held-out good frames, for which any score will do that rises with oddness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from ingest.errors import BadInput
from vision.eye.bank import CELL
from vision.eye.export import GraphPen
from vision.eye.looks import CHROMA, INPUT
from vision.guests.guest import Guest, checked_planes
from vision.guests.rgb import normalised, picture_nodes, resized

_SCORE, _MAP = "pred_score", "anomaly_map"  # Anomalib's names since 2.0
_TIED_SHARE_MAX = 0.5  # with more good frames on one value, no cut between them keeps its promise


@dataclass(frozen=True, slots=True)
class ForeignOptions:
    """score, map: names of the model's outputs, found by themselves when empty. mean, std: of its training pictures in
    0..1 (Anomalib's normalise by themselves: 0 and 1). input_size: (rows, columns) the frame is brought to first;
    without it, its input's own size, or the eye's working size where any will do."""

    score: str = ""
    map: str = ""
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    input_size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ForeignModel:
    """What a model takes and gives, for frames of a working size (rows, columns).

    `input_size`: (rows, columns), None where any will do. `score`, `map`: the values of its graph that are used; no
    score: the maximum of the map. `unclipped`: the outputs whose clip was taken off."""

    working: tuple[int, int]
    options: ForeignOptions
    input_size: tuple[int, int] | None
    score: str | None
    map: str
    map_shape: tuple[int, int]
    unclipped: tuple[str, ...]
    guest: Guest = field(repr=False)


def describe_foreign(
    raw: bytes, working: tuple[int, int], options: ForeignOptions | None = None, file: str = "model.onnx"
) -> ForeignModel:
    """Read a model, for frames of a working size (rows, columns). Raises BadInput: what is wrong and what to do."""
    chosen = options or ForeignOptions()
    read = Guest.read(raw, file)
    checked_planes(read, chosen.mean, chosen.std)
    guest = read.fixed(chosen.input_size, working)
    seen = guest.look()
    odd = _found(file, {n: out for n, out in seen.items() if _is_map(out, guest.batch)}, chosen.map, _MAP, "map")
    if odd is None:
        raise BadInput(f"{file}: no output is an anomaly map [1, 1, rows, columns] ({_shapes(seen)}); boxes need one")
    score = _found(
        file, {n: out for n, out in seen.items() if _is_score(out, guest.batch)}, chosen.score, _SCORE, "score"
    )
    ends = {name: unclipped(guest.model, name) for name in (score, odd) if name is not None}
    guest = guest.ending(list(ends.values()))
    for name, out in guest.look().items():
        if not np.isfinite(out).all():
            raise BadInput(f"{file}: {name} is not finite on a plain picture; check the training and the export")
    return ForeignModel(
        working=working,
        options=chosen,
        input_size=read.size,
        score=None if score is None else ends[score],
        map=ends[odd],
        map_shape=(seen[odd].shape[-2], seen[odd].shape[-1]),
        unclipped=tuple(name for name, value in ends.items() if name != value),
        guest=guest,
    )


@dataclass(frozen=True, slots=True)
class ForeignScale:
    """Mean and standard deviation on good frames: of the score, and of the map's values."""

    mean: float = 0.0
    spread: float = 1.0
    map_mean: float = 0.0
    map_spread: float = 1.0


def foreign_eye_graph(model: ForeignModel, colour: bool = False, scale: ForeignScale | None = None) -> bytes:
    """The eye: inputs and outputs are those of any eye of this working size (vision/eye/graph.py).

    `score` and `map` are brought to the scale, `tops` is the score as it was. `typical` is
    always 0: a whole model tells no other part from a defect.
    """
    pen, guest, working = GraphPen(), model.guest, model.working
    frame = pen.input(INPUT, working)
    cells = working[0] // CELL, working[1] // CELL
    chroma = pen.input(CHROMA, (2, *cells)) if colour else None
    picture = picture_nodes(pen, frame, working, guest.channels, chroma)
    if guest.size is not None and guest.size != working:
        picture = resized(pen, picture, (1, guest.channels, *guest.size))
    outputs = guest.nodes(pen, normalised(pen, picture, model.options.mean, model.options.std))
    odd = pen.node("Reshape", outputs[model.map], pen.integers(1, 1, *model.map_shape))
    if model.score is None:
        flat = pen.node("Reshape", odd, pen.integers(-1))
        top = pen.node("TopK", flat, pen.integers(1), outputs=2)
    else:
        top = pen.node("Reshape", outputs[model.score], pen.integers(1))
    used = scale or ForeignScale()
    score, placed = _scaled(pen, top, used.mean, used.spread), _on_grid(pen, odd, model.map_shape, cells)
    pen.output(pen.node("Reshape", score, pen.constant([], np.int64)), "score", ())
    on_cells = pen.node("Reshape", _scaled(pen, placed, used.map_mean, used.map_spread), pen.integers(*cells))
    pen.output(on_cells, "map", cells)
    pen.output(top, "tops", (1,))
    pen.output(pen.constant(0.0), "typical", ())
    return pen.finish("foreign eye")


def check_spread(scores: Sequence[float], file: str = "model.onnx") -> None:
    """Raises BadInput when too many of the good frames share one score for a threshold to be cut among them."""
    _, counts = np.unique(np.asarray(scores, float), return_counts=True)
    if len(scores) and counts.max() > max(1, _TIED_SHARE_MAX * len(scores)):
        raise BadInput(
            f"{file}: {counts.max()} of {len(scores)} good frames get one and the same score, no threshold can be cut "
            "among them; export it without normalisation (Anomalib: PostProcessor(enable_normalization=False))"
        )


def unclipped(model: onnx.ModelProto, output: str) -> str:
    """The value that an output of a model is before clips to a constant range, or the output itself.

    Follows what leaves the order of values alone: identities, clips, and choices that are already settled.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    settled = {constant.name: constant for constant in model.graph.initializer}
    settled |= {n.output[0]: a.t for n in model.graph.node if n.op_type == "Constant" for a in n.attribute}
    value, reached = output, output
    while (node := makers.get(value)) is not None:
        if node.op_type == "Where" and node.input[0] in settled:
            condition = numpy_helper.to_array(settled[node.input[0]])
            if condition.size != 1:
                break
            value = node.input[1 if condition.item() else 2]
        elif node.op_type in ("Identity", "Clip"):
            value = node.input[0]
            reached = value if node.op_type == "Clip" and value in makers else reached
        else:
            break
    return reached


def _found(file: str, fitting: Mapping[str, npt.NDArray[Any]], asked: str, usual: str, what: str) -> str | None:
    """The output asked for, else the one of the usual name, else the only one that fits."""
    if asked:
        if asked not in fitting:
            raise BadInput(f"{file}: no output {asked!r} that is a {what}; such are: {_shapes(fitting) or 'none'}")
        return asked
    if usual in fitting or len(fitting) <= 1:
        return usual if usual in fitting else next(iter(fitting), None)
    raise BadInput(f'{file}: several outputs may be its {what} ({_shapes(fitting)}); name one: {what} = "..."')


def _shapes(outputs: Mapping[str, npt.NDArray[Any]]) -> str:
    return ", ".join(f"{name} {list(out.shape)}" for name, out in outputs.items())


def _is_map(output: npt.NDArray[Any], batch: int) -> bool:
    shape = output.shape
    return (
        output.dtype == np.float32
        and output.ndim >= 2
        and min(shape[-2:]) > 1
        and output.size == batch * shape[-1] * shape[-2]
    )


def _is_score(output: npt.NDArray[Any], batch: int) -> bool:
    return output.dtype == np.float32 and output.size == batch and output.ndim <= 2


def _scaled(pen: GraphPen, value: str, mean: float, spread: float) -> str:
    return pen.node("Div", pen.node("Sub", value, pen.constant(mean)), pen.constant(spread))


def _on_grid(pen: GraphPen, odd: str, shape: tuple[int, int], cells: tuple[int, int]) -> str:
    """Onto the cells of an eye's map. Shrinking keeps the highest: a small defect must not fall between two cells."""
    shrunk = max(min(shape[0] // cells[0], shape[1] // cells[1]), 1)
    if shrunk > 1:
        odd = pen.node("MaxPool", odd, kernel_shape=[shrunk, shrunk], strides=[shrunk, shrunk])
    return odd if (shape[0] // shrunk, shape[1] // shrunk) == cells else resized(pen, odd, (1, 1, *cells))
