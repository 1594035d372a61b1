"""Anomalib's models as it exports them, for the speed of the same task; their weights are random."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort

SIDE = 256
_FITTED_FRAMES = 8

Task = Callable[[bytes], bytes]


def tasks(bodies: list[bytes]) -> dict[str, Task] | None:
    """Name -> encoded frame to heatmap, for each model that exports here; None where Anomalib is not installed."""
    try:
        with _quiet():
            import torch
            from anomalib import models
    except ImportError:
        return None
    found: dict[str, Task] = {}
    planes = torch.from_numpy(np.concatenate([_planes(body) for body in bodies[:_FITTED_FRAMES]]))
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        for name, model in (
            ("Padim, resnet18", _padim(models, torch, planes)),
            ("EfficientAd, small", _efficient(models)),
        ):
            file = model.eval().to_onnx(Path(scratch) / name.split(",")[0], input_size=(SIDE, SIDE))
            found[name] = _task(Path(file))
    return found


def _padim(models: Any, torch: Any, planes: Any) -> Any:
    model = models.Padim(backbone="resnet18", pre_trained=False)
    model.model.train()
    with torch.no_grad():
        model.model(planes)
    model.model.fit()
    return model


def _efficient(models: Any) -> Any:
    return models.EfficientAd(pre_processor=models.EfficientAd.configure_pre_processor(image_size=(SIDE, SIDE)))


def _task(file: Path) -> Task:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    asked, names = session.get_inputs()[0].name, [one.name for one in session.get_outputs()]

    def look(body: bytes) -> bytes:
        seen = dict(zip(names, session.run(None, {asked: _planes(body)}), strict=True))
        odd = np.squeeze(seen["anomaly_map"])
        levels = np.clip(127 * odd / (float(odd.mean()) + 1e-9), 0, 255).astype(np.uint8)
        return cv2.imencode(".png", levels)[1].tobytes()

    return look


def _planes(body: bytes) -> Any:
    pixels = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR_RGB)
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0)[None], np.float32) / np.float32(255)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
