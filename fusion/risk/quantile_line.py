"""A linear model on quantiles: each column bent at its own quartiles, then one logistic fit; exported to ONNX by hand.

A column enters as ramps, one between each two neighbouring knots, so that its effect is a line of a few straight pieces
(a generalised additive model; Hastie and Tibshirani 1990) whatever its unit and its outliers. Where parts are few and
effects add up it beats trees; limits that lie across columns it cannot see.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

Floats = npt.NDArray[np.float32]

RAMPS = 4  # between the quartiles: enough for a band with a bad side on either end
ENDS = (0.01, 0.99)  # beyond, a value counts as the end: one broken sample must not rule a part
STRENGTH = 0.1  # of the data against the prior (scikit-learn's C): columns are many, defects few


class QuantileLine:
    """`fit`, then `predict_proba`, as scikit-learn's classifiers."""

    def __init__(self) -> None:
        self._low: Floats = np.zeros((0, RAMPS), dtype=np.float32)
        self._steep: Floats = self._low
        self._line = LogisticRegression(C=STRENGTH, max_iter=300)

    def fit(self, features: Floats, defect: npt.NDArray[np.int64]) -> QuantileLine:
        """`features`: float32[n, f]; `defect`: int[n] of 0 and 1, both there."""
        knots = np.quantile(features, np.linspace(*ENDS, RAMPS + 1), axis=0).T
        length = np.diff(knots, axis=1)
        self._low = knots[:, :-1].astype(np.float32)
        # two knots of one value: no ramp between them
        self._steep = np.where(length > 0, 1.0 / np.maximum(length, 1e-30), 0.0).clip(0, 1e30).astype(np.float32)
        self._line.fit(self._ramps(features), defect)
        return self

    def predict_proba(self, features: Floats) -> npt.NDArray[np.float64]:
        """float64[n, 2]."""
        return np.asarray(self._line.predict_proba(self._ramps(features)), dtype=np.float64)

    def to_onnx(self, input_name: str, opset: int) -> ModelProto:
        """One input float32[n, f], one output `probabilities` float32[n, 2]."""
        width = len(self._low)
        constants = {
            "middle": np.array([2], dtype=np.int64),
            "low": self._low[None],
            "steep": self._steep[None],
            "zero": np.float32(0.0),
            "one": np.float32(1.0),
            "flat": np.array([-1, width * RAMPS], dtype=np.int64),
            "slopes": self._line.coef_.T.astype(np.float32),
            "intercept": self._line.intercept_.astype(np.float32),
        }
        nodes = [
            helper.make_node("Unsqueeze", [input_name, "middle"], ["columns"]),
            helper.make_node("Sub", ["columns", "low"], ["beyond"]),
            helper.make_node("Mul", ["beyond", "steep"], ["along"]),
            helper.make_node("Clip", ["along", "zero", "one"], ["ramps"]),
            helper.make_node("Reshape", ["ramps", "flat"], ["row"]),
            helper.make_node("Gemm", ["row", "slopes", "intercept"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["bad"]),
            helper.make_node("Sub", ["one", "bad"], ["good"]),
            helper.make_node("Concat", ["good", "bad"], ["probabilities"], axis=1),
        ]
        graph = helper.make_graph(
            nodes,
            "quantile_line",
            [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, [None, width])],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)

    def _ramps(self, features: Floats) -> Floats:
        along = (np.asarray(features, dtype=np.float32)[:, :, None] - self._low) * self._steep
        return np.asarray(np.clip(along, 0.0, 1.0).reshape(len(features), -1), dtype=np.float32)
