"""Training of a gate without defect labels: the one-class score of each set of sources, with its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from fusion.calibration.calibrate import sigmoid
from fusion.certificate.promise import Certificate, plan_mark
from fusion.cold_start.graph import ColdScore, graph_of
from fusion.cold_start.score import LEVELS, MIDDLE, TailCurve, provisional_calibration, provisional_logit, tail_curve
from fusion.decide import ThresholdChoice
from fusion.gate import GateNotes
from fusion.novelty.fit import HeldOut, enough, fit_space, held_out, lot_weights, tail, upper_quantile
from fusion.novelty.space import Doubles, Space, distance, space_columns, taken_of, whitener
from fusion.risk.features import Column, Floats, RowBuilder, derived_columns, feature_columns
from fusion.risk.fit import DEFECTS_MIN, GOODS_MIN
from fusion.risk.fit_features import fit_fill
from fusion.risk.model import SubsetModel
from fusion.risk.subsets import Sources, speaking_subset, wanted_subsets
from fusion.scan.fit import fit_gate_scan
from fusion.training.gate import FittedGate, GateTraining, gate_arrays, train_drift

PARTS_MIN = 50  # fewer parts than this have no usual: no model, `model_not_ready`
SUBSET_PARTS_MIN = 30
UNKNOWN_AUC = 0.5  # in the notes of a score that no label has checked

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ColdSubset:
    """The score of one set of sources. `evidence`: float64[n] of -log p of each part, by spaces that saw nothing of its
    block of lots; NaN where a source is missing."""

    sources: Sources
    onnx: bytes
    evidence: Doubles


@dataclass(frozen=True, slots=True)
class ColdTraining:
    """A gate without enough labels on its way to the shelf. `rate`: the assumed defect rate."""

    training: GateTraining
    rate: float
    subsets: tuple[ColdSubset, ...]

    def evidence(self) -> Doubles:
        """float64[n]: held-out -log p of each case, by the score that speaks for its sources in service."""
        speaking = {s: speaking_subset(s, [c.sources for c in self.subsets]) for s in set(self.training.usable)}
        told = [(speaking[usable], i) for i, usable in enumerate(self.training.usable)]
        return np.array([np.nan if k is None else self.subsets[k].evidence[i] for k, i in told])

    def base_risks(self) -> list[float | None]:
        """Provisional risk of each case, held out: what enters the history."""
        risks = sigmoid(provisional_logit(self.evidence(), self.rate))
        return [None if np.isnan(risk) else float(risk) for risk in risks]


def begin_cold(training: GateTraining, progress: Progress) -> ColdTraining | None:
    """One-class scores of a gate; None when there are too few parts or no source to compare them by."""
    keep_products(training)
    columns = feature_columns(training.spec)
    spanned = space_columns(columns)
    where = f"{training.spec.line_id}/{training.spec.gate_id}"
    chosen = training.defect != 1.0
    if chosen.sum() < PARTS_MIN or not len(spanned):
        few = f"{chosen.sum()} parts may be good, {PARTS_MIN} tell what is usual"
        progress(f"{where}: {_lacking(training)}; {few if len(spanned) else 'no sensors, no findings'}: no model")
        return None
    builder = training.builder
    features = builder.derive(training.raw)
    product_at = np.array([builder.product_at(case.evidence.product) for case in training.cases], dtype=np.intp)
    products = len(training.spec.products)
    space = fit_space(features[chosen], product_at[chosen], products, spanned)
    held = held_out(features, product_at, products, spanned, training.groups, chosen)
    fitted = [
        _fit_subset(training, sources, space, held, features, columns)
        for sources in wanted_subsets(training.spec.sources, training.usable)
        if not sources or enough(training.usable, sources, SUBSET_PARTS_MIN)
    ]
    progress(f"{where}: {_lacking(training)}: {len(fitted)} one-class scores on {len(training.cases)} parts")
    return ColdTraining(training, training_rate(training), tuple(fitted))


def _lacking(training: GateTraining) -> str:
    """Which labels are too few to learn a risk from."""
    defects, goods = int((training.defect == 1.0).sum()), int((training.defect == 0.0).sum())
    return f"{defects} labelled defects and {goods} good parts, {DEFECTS_MIN} and {GOODS_MIN} teach a risk"


def finish_cold(cold: ColdTraining, seed: Mapping[str, bytes], prefix: str) -> FittedGate:
    """The gate as it goes on the shelf: provisional models in the place of trained ones."""
    training, rate = cold.training, cold.rate
    evidence = cold.evidence()
    spoke = ~np.isnan(evidence)
    risk = sigmoid(provisional_logit(evidence[spoke], rate))
    choice = share_threshold(risk, lot_weights(training.groups[spoke]), training.plan.constraints.review_share_max)
    usual = spoke.copy()
    usual[spoke] = risk < choice.threshold
    labelled = spoke & ~np.isnan(training.defect)
    told, defect = sigmoid(provisional_logit(evidence[labelled], rate)), training.defect[labelled] == 1.0
    files = {
        f"{prefix}-arrays.npz": gate_arrays(training, usual).pack(),
        f"{prefix}-history.msgpack": msgspec.msgpack.encode(seed),
    }
    models = []
    for k, subset in enumerate(cold.subsets):
        files[f"{prefix}-cold-{k}.onnx"] = subset.onnx
        models.append(_described(subset, f"{prefix}-cold-{k}.onnx", training, rate))
    notes = GateNotes(
        spec=training.spec,
        threshold=choice.threshold,
        risk=tuple(models),
        base=tuple(models),
        origins=None,
        arrays=f"{prefix}-arrays.npz",
        history=f"{prefix}-history.msgpack",
        provisional=rate,
        drift=train_drift(training, cold.base_risks(), choice.threshold, prefix, files),
        scan=fit_gate_scan(training.cases, cold.base_risks(), choice.threshold, training.plan),
        certificate=_no_certificate(training, labelled, choice.threshold),
    )
    return FittedGate(notes, files, choice, [], (told, defect))


def _no_certificate(training: GateTraining, labelled: npt.NDArray[np.bool_], threshold: float) -> Certificate:
    plan, spec = training.plan, training.spec
    return Certificate(
        asked=plan.constraints.escape_rate_max,
        promise=None,
        threshold=threshold,
        parts=int(labelled.sum()),
        lots=len(np.unique(training.groups[labelled])),
        escapes=0,
        why="the gate learned without defect labels and promises nothing about escapes.",
        rests_on=plan_mark(plan, spec.line_id, spec.gate_id),
    )


def keep_products(training: GateTraining) -> None:
    """Have every product's column among the features: a score is centred on its part's product within the graph."""
    at = [i for i, c in enumerate(derived_columns(training.spec)) if c.name.startswith("product=") and not c.entity]
    kept = (*training.spec.kept, *(i for i in at if i not in training.spec.kept))
    training.spec = msgspec.structs.replace(training.spec, kept=kept)
    training.builder = RowBuilder(training.spec, training.builder.norms)
    training.fill = fit_fill(training.builder.derive(training.raw))


def share_threshold(risk: Doubles, weights: Doubles, share: float) -> ThresholdChoice:
    """The threshold that sends `share` of parts to review, every lot weighing the same. What escapes is not known."""
    last_passed = upper_quantile(risk, weights, share)
    above = risk[risk > last_passed]
    threshold = float((last_passed + above.min()) / 2.0) if len(above) else float(np.nextafter(last_passed, 2.0))
    return ThresholdChoice(threshold, float("nan"), float(weights[risk >= threshold].sum()), float("nan"), False)


def _fit_subset(
    training: GateTraining, sources: Sources, space: Space, held: HeldOut, features: Floats, columns: Sequence[Column]
) -> ColdSubset:
    there = np.array([sources <= usable for usable in training.usable])
    evidence = np.full(len(there), np.nan)
    if not sources:
        evidence[:] = MIDDLE
        flat = graph_of(None, training.spec, columns, training_rate(training))
        return ColdSubset(sources, flat, evidence)
    weights = lot_weights(training.groups[there])
    sensors = taken_of(space, columns, [s for s in sources if s.startswith("sensors:")])
    cameras = taken_of(space, columns, [s for s in sources if s.startswith("camera:")])
    parts: list[Doubles] = []
    far = wide = widest = None
    if sensors.any():
        away = np.zeros(len(there))
        for k, fold in enumerate(held.spaces):
            here = held.block == k
            away[here] = distance(held.units[here][:, sensors], whitener(fold, sensors))
        far = _curve(away[there], weights)
        alone = np.abs(held.units[there][:, sensors])
        curves = [_curve(alone[:, j], weights) for j in range(alone.shape[1])]
        wide = TailCurve(np.stack([c.nodes for c in curves], 1), np.stack([c.bends for c in curves], 1))
        worst = wide(alone).max(axis=1)
        widest = _curve(worst, weights)
        parts.append(0.5 * (far(away[there]) + widest(worst)))
    seen = np.nan_to_num(features[there][:, space.columns[cameras]].astype(np.float64))
    alarms = tuple(_curve(seen[:, j], weights) for j in range(seen.shape[1]))
    parts += [curve(seen[:, j]) for j, curve in enumerate(alarms)]
    most = np.max(parts, axis=0)
    whole = _curve(most, weights)
    evidence[there] = whole(most)
    score = ColdScore(space, sensors, cameras, far, wide, widest, alarms, whole)
    return ColdSubset(sources, graph_of(score, training.spec, columns, training_rate(training)), evidence)


def training_rate(training: GateTraining) -> float:
    """The assumed defect rate of a plan."""
    return training.plan.objective.defect_rate_assumed


def _curve(scores: Doubles, weights: Doubles) -> TailCurve:
    levels = np.array([upper_quantile(scores, weights, 1.0 - level) for level in LEVELS])
    return tail_curve(levels, tail(scores, weights)[1])


def _described(subset: ColdSubset, file: str, training: GateTraining, rate: float) -> SubsetModel:
    known = ~np.isnan(subset.evidence) & ~np.isnan(training.defect)
    defect = training.defect[known] == 1.0
    mixed = bool(defect.any()) and not bool(defect.all())
    return SubsetModel(
        sources=tuple(sorted(subset.sources)),
        history=False,
        file=file,
        calibration=provisional_calibration(rate),
        parts=int((~np.isnan(subset.evidence)).sum()),
        defects=int(defect.sum()),
        log_loss=0.0,
        auc=float(roc_auc_score(defect, subset.evidence[known])) if mixed else UNKNOWN_AUC,
    )
