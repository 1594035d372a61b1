"""Training of one gate: features, base models, then (with history) risk models, threshold and origins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.calibration.lot_spread import fit_lot_spread
from fusion.calibration.products import fit_product_offsets, offset_risk
from fusion.causes.counterfactual import Counterfactual
from fusion.causes.fit_origins import FittedOrigins, fit_origins, learnable
from fusion.causes.origins import classes_of
from fusion.certificate.fit import Labelled, certify
from fusion.decide import ThresholdChoice
from fusion.drift.fit import fit_drift
from fusion.drift.signals import DriftNotes
from fusion.gate import GateArrays, GateNotes
from fusion.history import HistoryView
from fusion.risk.families import Recipe, named
from fusion.risk.features import FeatureSpec, Floats, Norms, RowBuilder, feature_columns, is_summary
from fusion.risk.fit import TREES, TREES_THIN, Examples, FittedRisk, choose_recipe, fit_risk, lots
from fusion.risk.fit_features import fit_fill, fit_norms, fit_spec, keep_informative, raw_rows
from fusion.risk.fit_shares import held_out_shares, rows_of
from fusion.risk.model import SubsetModel, taken_columns
from fusion.risk.proposals import keep_helpful, whole_examples
from fusion.risk.subsets import Sources, speaking_subset, wanted_subsets
from fusion.scan.fit import fit_gate_scan
from fusion.training.cases import Case
from ingest.plan.plan import Plan

REFERENCE_ROWS = 256  # good parts that counterfactuals borrow from
BAND = (0.005, 0.995)  # where good parts lie, as told to a person

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """One subset's model with what it says of the gate's cases. `risk`: float64[n] calibrated, of labelled cases out of
    fold, NaN where the sources are missing."""

    sources: Sources
    fitted: FittedRisk
    examples: Examples
    risk: npt.NDArray[np.float64]


@dataclass(slots=True)
class GateTraining:
    """The cases of one gate on their way to models. `defect`: float64[n], NaN without a label."""

    plan: Plan
    cases: Sequence[Case]
    spec: FeatureSpec
    builder: RowBuilder
    raw: Floats
    fill: Floats
    usable: list[Sources]
    defect: npt.NDArray[np.float64]
    groups: npt.NDArray[np.intp]
    base: list[Trained] = field(default_factory=list)
    recipe: Recipe | None = None

    @property
    def learnable(self) -> bool:
        return bool(self.base)

    def base_risks(self) -> list[float | None]:
        """Base risk of each case, out of fold where it has a label; None where no model speaks for it."""
        return speaking_risks(self.base, self.usable)


def begin_gate(cases: Sequence[Case], plan: Plan, progress: Progress) -> GateTraining:
    """Fit features and base models of the cases of one gate; no base models when labels are too few."""
    evidence = [case.evidence for case in cases]
    line_id, gate_id = evidence[0].line_id, evidence[0].gate_id
    good = np.array([case.defect is not True for case in cases])
    spec = fit_spec(evidence, plan, line_id, gate_id)
    norms = fit_norms(evidence, good, spec)
    raw = raw_rows(evidence, [HistoryView()] * len(cases), RowBuilder(spec, norms))
    spec = keep_informative(spec, raw)
    usable = [RowBuilder(spec, norms).usable(e) for e in evidence]
    defect = np.array([np.nan if case.defect is None else float(case.defect) for case in cases])
    groups = lots([e.batch_id for e in evidence])
    progress(f"{line_id}/{gate_id}: {len(cases)} cases, {len(spec.kept)} features")
    spec = keep_helpful(spec, whole_examples(RowBuilder(spec, norms), raw, usable, defect, groups), progress)
    builder = RowBuilder(spec, norms)
    training = GateTraining(
        plan=plan,
        cases=cases,
        spec=spec,
        builder=builder,
        raw=raw,
        fill=fit_fill(builder.derive(raw)),
        usable=usable,
        defect=defect,
        groups=groups,
    )
    wanted = dict.fromkeys((frozenset(spec.sources), frozenset[str]()))  # history is a mean: no finer models for it
    subsets = list(wanted) if spec.kept else []  # where nothing differs between parts there is nothing to learn
    training.base = _train_subsets(training, subsets, history=False, ready={}, progress=progress)
    return training


@dataclass(frozen=True, slots=True)
class FittedGate:
    """A gate ready for the shelf. `out_of_fold`: (risk, defect) of its labelled cases, for the card."""

    notes: GateNotes
    files: Mapping[str, bytes]
    choice: ThresholdChoice
    recipes: Sequence[Recipe]
    out_of_fold: tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]


def finish_gate(
    training: GateTraining, views: Sequence[HistoryView], seed: Mapping[str, bytes], prefix: str, progress: Progress
) -> FittedGate:
    """Fit what takes history among its inputs. `views`: of each case; `prefix`: of this gate's files."""
    training.raw = raw_rows([case.evidence for case in training.cases], views, training.builder)
    wanted = wanted_subsets(training.spec.sources, training.usable)
    # without attributes there is nothing to have a history of: the base models are the models
    has_history = bool(training.spec.attributes)
    ready = {} if has_history else {t.sources: t for t in training.base}
    trained = _train_subsets(training, wanted, history=True, ready=ready, progress=progress)
    risks, products = _by_product(training, speaking_risks(trained, training.usable))
    judged = np.array([risk is not None for risk in risks]) & ~np.isnan(training.defect)
    risk = np.array([risks[i] for i in np.flatnonzero(judged)], dtype=np.float64)
    defect = training.defect[judged] == 1.0
    labelled = Labelled.of(risk, defect, training.groups, judged, training.usable, training.spec.sources)
    choice, certificate = certify(labelled, training.plan, training.spec.line_id, training.spec.gate_id)
    progress(f"  {certificate.say()}")
    arrays = gate_arrays(training)
    origins = _train_origins(training, trained, arrays.reference, f"{prefix}-origins.onnx")
    files = {f"{prefix}-arrays.npz": arrays.pack(), f"{prefix}-history.msgpack": msgspec.msgpack.encode(seed)}
    if origins is not None:
        files[origins.model.file] = origins.onnx
    risk_models = _shelved(trained, f"{prefix}-risk", True, files)
    notes = GateNotes(
        spec=training.spec,
        threshold=choice.threshold,
        risk=risk_models,
        base=_shelved(training.base, f"{prefix}-base", False, files) if has_history else risk_models,
        origins=origins.model if origins is not None else None,
        arrays=f"{prefix}-arrays.npz",
        history=f"{prefix}-history.msgpack",
        lot_spread=fit_lot_spread(risk, defect, training.groups[judged]),
        products=products,
        drift=train_drift(training, risks, choice.threshold, prefix, files),
        certificate=certificate,
        scan=fit_gate_scan(training.cases, training.base_risks(), choice.threshold, training.plan),
        conflict=choice.say_conflict(training.plan),
    )
    return FittedGate(notes, files, choice, [t.fitted.recipe for t in trained], (risk, defect))


def _by_product(training: GateTraining, risks: Sequence[float | None]) -> tuple[list[float | None], dict[str, float]]:
    """Risks with their products' offsets, and these."""
    risk = np.array([np.nan if one is None else one for one in risks])
    products = [case.evidence.product for case in training.cases]
    judged = np.flatnonzero(~np.isnan(risk) & ~np.isnan(training.defect))
    defect = training.defect[judged] == 1.0
    offsets = fit_product_offsets(risk[judged], defect, [products[i] for i in judged], training.groups[judged])
    moved = offset_risk(risk, products, offsets)
    return [None if np.isnan(one) else float(one) for one in moved], offsets


def speaking_risks(trained: Sequence[Trained], usable: Sequence[Sources]) -> list[float | None]:
    """Out-of-fold risk of each case by the model that speaks for its sources in service; None where there is none."""
    speaking = {sources: speaking_subset(sources, [t.sources for t in trained]) for sources in set(usable)}
    risks: list[float | None] = []
    for i, sources in enumerate(usable):
        model = speaking[sources]
        risk = trained[model].risk[i] if model is not None else np.nan
        risks.append(None if np.isnan(risk) else float(risk))
    return risks


def _train_subsets(
    training: GateTraining,
    subsets: Sequence[Sources],
    *,
    history: bool,
    ready: Mapping[Sources, Trained],
    progress: Progress,
) -> list[Trained]:
    trained: list[Trained] = []
    recipe = training.recipe
    features = training.builder.derive(training.raw)
    for sources in subsets:
        if sources in ready:
            trained.append(ready[sources])
            continue
        taken = taken_columns(training.spec, tuple(sources), history)
        filled = np.where(np.isnan(features), training.fill, features) * taken
        there = np.array([sources <= usable for usable in training.usable])
        labelled = ~np.isnan(training.defect)
        rows = there & labelled
        examples = Examples(filled[rows], training.defect[rows] == 1.0, training.groups[rows])
        if not examples.learnable or not taken.any():
            continue
        if recipe is None:  # chosen once, on the most evidence; the rest follow
            recipe = training.recipe = choose_recipe(examples)
        main = not trained and (history or not training.spec.attributes)  # without attributes base models serve as risk
        fitted = fit_risk(examples, recipe, TREES if main else TREES_THIN)
        risk = np.full(len(training.cases), np.nan)
        risk[rows] = fitted.out_of_fold
        if np.any(there & ~labelled):
            risk[there & ~labelled] = fitted.predict(filled[there & ~labelled])
        trained.append(Trained(sources, fitted, examples, risk))
        with_sources = ", ".join(sorted(sources)) or "no sources"
        kind = "risk" if history else "base risk"
        progress(
            f"  {kind}: {named(recipe)} on {int(rows.sum())} parts with {with_sources}: AUC {fitted.auc:.3f} by lot"
        )
    return trained


def _train_origins(
    training: GateTraining, trained: Sequence[Trained], reference: Floats, file: str
) -> FittedOrigins | None:
    at = [i for i, case in enumerate(training.cases) if case.defect]
    classes = [classes_of(training.cases[i].causes, training.cases[i].evidence.attributes, training.spec) for i in at]
    if not learnable(classes) or not trained:
        return None
    features = training.builder.derive(training.raw)
    main = trained[0].fitted
    counterfactual = Counterfactual(training.builder, reference)
    shares = held_out_shares(
        counterfactual,
        rows_of(training.raw, features, training.usable),
        training.defect,
        training.groups,
        training.fill,
        main.recipe,
        main.calibration,
    )
    filled = np.where(np.isnan(features[at]), training.fill, features[at])
    summary = np.array([is_summary(column) for column in feature_columns(training.spec)])
    return fit_origins(filled, shares, counterfactual.entities, classes, training.groups[at], summary, file)


def train_drift(
    training: GateTraining, risks: Sequence[float | None], threshold: float, prefix: str, files: dict[str, bytes]
) -> DriftNotes | None:
    """Put the gate's drift reference among its files; None where its history is too short for one."""
    evidence = [case.evidence for case in training.cases]
    flagged = [None if risk is None else risk >= threshold for risk in risks]
    fitted = fit_drift(evidence, training.raw, flagged, training.spec, f"{prefix}-drift.npz")
    if fitted is None:
        return None
    files[fitted.notes.file] = fitted.packed
    return fitted.notes


def gate_arrays(training: GateTraining, usual: npt.NDArray[np.bool_] | None = None) -> GateArrays:
    """What serving needs besides models: golden cycles, ranges, reference parts, bands. `usual`: bool[n], the parts
    that stand for good ones where labels do not say."""
    good = np.flatnonzero(training.defect != 1.0 if usual is None else usual & (training.defect != 1.0))
    sources = np.array([len(usable) for usable in training.usable])
    most = good[sources[good] == sources[good].max()]
    chosen = np.sort(np.random.default_rng(0).permutation(most)[:REFERENCE_ROWS])
    low, high = np.zeros(training.raw.shape[1]), np.zeros(training.raw.shape[1])
    seen = ~np.all(np.isnan(training.raw[good]), axis=0)
    low[seen], high[seen] = np.nanquantile(training.raw[good][:, seen], BAND, axis=0)
    norms = training.builder.norms
    return GateArrays(
        norms=Norms(norms.golden_mean, norms.golden_sd, norms.low, norms.high, training.fill),
        reference=training.raw[chosen],
        band_low=low.astype(np.float32),
        band_high=high.astype(np.float32),
    )


def _shelved(
    trained: Sequence[Trained], prefix: str, history: bool, files: dict[str, bytes]
) -> tuple[SubsetModel, ...]:
    """Put each model's bytes among the files of the gate; what the notes say of them."""
    models = []
    for k, subset in enumerate(trained):
        file = f"{prefix}-{k}.onnx"
        files[file] = subset.fitted.onnx
        models.append(
            SubsetModel(
                sources=tuple(sorted(subset.sources)),
                history=history,
                file=file,
                calibration=subset.fitted.calibration,
                parts=len(subset.examples.defect),
                defects=int(subset.examples.defect.sum()),
                log_loss=subset.fitted.log_loss,
                auc=subset.fitted.auc,
            )
        )
    return tuple(models)
