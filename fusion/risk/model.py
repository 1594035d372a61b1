"""Risk: a row of features → a calibrated probability with an interval, by the model of the sources that are there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.calibration.calibrate import SCORE_CLIP, Calibration, logit
from fusion.calibration.correction import Recalibration
from fusion.risk.features import FeatureRow, FeatureSpec, Floats, feature_columns
from fusion.risk.subsets import Sources, speaking_subset
from models.open import OpenModel

INPUT = "x"
WIDEN_LOGIT = 1.5  # a part of an unknown kind: odds may be 4.5 times off either way


class SubsetModel(msgspec.Struct, frozen=True, kw_only=True):
    """One trained model. `history` False: the base model, which history is made of. `log_loss`: out of fold,
    calibrated, on `parts` parts with `defects` defects."""

    sources: tuple[str, ...]
    history: bool
    file: str
    calibration: Calibration
    parts: int
    defects: int
    log_loss: float
    auc: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Calibrated probability that the part is defective, with its 90 % interval. `model`: which subset spoke; `own`:
    the logit of risk by the model's own calibration, before any correction from labels; `correction`: that one."""

    risk: float
    low: float
    high: float
    model: int
    own: float = math.nan
    correction: Recalibration | None = None


class RiskModels:
    """The models of one gate, of one kind (with history, or base). Rows go in unfilled; each model fills and masks."""

    def __init__(self, spec: FeatureSpec, fill: Floats, models: Sequence[SubsetModel], opened: OpenModel) -> None:
        self.models = tuple(models)
        self._opened = opened
        self._trained: list[Sources] = [frozenset(m.sources) for m in models]
        self._taken = [taken_columns(spec, m.sources, m.history) for m in models]
        self._filled = [np.where(taken, fill, np.float32(0.0)) for taken in self._taken]

    def speaking(self, usable: Sources) -> int | None:
        """Which model speaks for these sources; None when not even one without sources was trained."""
        return speaking_subset(usable, self._trained)

    def scores(self, model: int, features: Floats) -> npt.NDArray[np.float64]:
        """float32[n, features] with NaN → float64[n] of uncalibrated scores."""
        taken = self._taken[model] & ~np.isnan(features)
        rows = np.where(taken, features, self._filled[model])
        return np.asarray(self._opened.run(self.models[model].file, {INPUT: rows})[0][:, 1], dtype=np.float64)

    def logits(self, model: int, features: Floats) -> npt.NDArray[np.float64]:
        """float64[n]: logits of calibrated risk."""
        return self.models[model].calibration.risk_logit(logit(self.scores(model, features)))

    def estimate(
        self, row: FeatureRow, widen: bool, correction: Recalibration | None = None, offset: float = 0.0
    ) -> Estimate | None:
        """The risk of one part; `widen`: training never saw its like, so the interval is opened; `correction`: what
        released labels say of this model's risks; `offset`: its product's, in logits."""
        model = self.speaking(row.usable)
        if model is None:
            return None
        calibration = self.models[model].calibration
        score = float(self.scores(model, row.features[None, :])[0])
        clipped = min(max(score, SCORE_CLIP), 1.0 - SCORE_CLIP)
        place = math.log(clipped / (1.0 - clipped))
        if calibration.centre:
            centre = _between(place, calibration.nodes, calibration.centre)
        else:
            centre = calibration.slope * place + calibration.intercept
        more = WIDEN_LOGIT if widen else 0.0
        below = max(centre - _between(place, calibration.nodes, calibration.low), 0.0) + more
        above = max(_between(place, calibration.nodes, calibration.high) - centre, 0.0) + more
        own = centre = centre + offset
        if correction is not None:
            centre, unsure = correction.corrected(own), correction.half_width(own)
            below, above = math.hypot(below, unsure), math.hypot(above, unsure)
        low, high = _sigmoid(centre - below), _sigmoid(centre + above)
        return Estimate(_sigmoid(centre), low, high, model, own, correction)


def _sigmoid(value: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * value))


def _between(place: float, nodes: tuple[float, ...], values: tuple[float, ...]) -> float:
    """Linear interpolation on evenly spaced nodes that span every possible logit."""
    at = (place - nodes[0]) / (nodes[-1] - nodes[0]) * (len(nodes) - 1)
    left = min(max(int(at), 0), len(nodes) - 2)
    return values[left] + (at - left) * (values[left + 1] - values[left])


def taken_columns(spec: FeatureSpec, sources: Sequence[str], history: bool) -> npt.NDArray[np.bool_]:
    """bool[features]: the columns a model of these sources looks at; the rest are zero for it."""
    allowed = {*sources, "attributes", *(["history"] if history else [])}
    return np.array([column.source in allowed for column in feature_columns(spec)], dtype=np.bool_)
