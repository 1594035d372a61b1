"""One gate's trained judge: a row of features, a risk with its interval, the causes behind it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from fusion.calibration.correction import cell_of, groups_of
from fusion.calibration.lot_spread import LotSpread
from fusion.causes.counterfactual import Counterfactual
from fusion.causes.origins import OriginModel, Origins
from fusion.causes.ranking import CauseFinder
from fusion.causes.suspects import OpenCause
from fusion.causes.witness import Witness
from fusion.certificate.promise import Certificate
from fusion.drift.signals import DriftNotes, DriftReference
from fusion.history import HistoryView
from fusion.novelty.gate import NoveltyNotes
from fusion.novelty.reading import NOTHING_STRANGE, Strange, Strangeness
from fusion.novelty.values import ClosedAttribute
from fusion.risk.features import FeatureRow, FeatureSpec, Floats, Norms, RowBuilder, feature_columns
from fusion.risk.model import Estimate, RiskModels, SubsetModel
from fusion.scan.rates import ScanNotes
from ingest.errors import ModelRefused
from ingest.join.evidence import Evidence
from ingest.messages import Cause
from ingest.plan.plan import Plan
from models.open import OpenModel

GOLDEN_SD = 3.0  # the band drawn: three standard deviations of good parts, as on a control chart
NO_HISTORY = HistoryView()
NOTES_VERSION = 2  # of the meaning of features and notes; another one must be retrained


class GateNotes(msgspec.Struct, frozen=True, kw_only=True):
    """What the manifest holds of one gate. `arrays`: an .npz of `GateArrays`; `history`: file of the seed.
    `provisional`: the defect rate assumed by a gate that learned without labels, 0 for one that learned from them.
    `novelty`, `closed`: what training saw, so that what it never saw can be named.
    `lot_spread`: how far its training lots lay from their risks. `conflict`: why the plan's limits cannot both be held,
    "" where they can. `drift`: how its channels and cameras were, `scan`: what defects and flags are natural on its
    line; None where training was too short to tell."""

    spec: FeatureSpec
    threshold: float
    risk: tuple[SubsetModel, ...]
    base: tuple[SubsetModel, ...]
    origins: OriginModel | None
    arrays: str
    history: str
    provisional: float = 0.0
    novelty: NoveltyNotes | None = None
    closed: tuple[ClosedAttribute, ...] = ()
    lot_spread: LotSpread = LotSpread()
    products: dict[str, float] = {}
    certificate: Certificate | None = None
    conflict: str = ""
    drift: DriftNotes | None = None
    scan: ScanNotes | None = None


class FusionNotes(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    gates: tuple[GateNotes, ...]


@dataclass(frozen=True, slots=True)
class GateArrays:
    """`reference`: float32[m, raw columns] of good parts; `band_low`, `band_high`: float32[raw columns]."""

    norms: Norms
    reference: Floats
    band_low: Floats
    band_high: Floats

    def pack(self) -> bytes:
        """As .npz bytes; equal arrays give equal bytes."""
        target = io.BytesIO()
        norms = {name: getattr(self.norms, name) for name in Norms.__slots__}
        np.savez(target, reference=self.reference, band_low=self.band_low, band_high=self.band_high, **norms)
        return target.getvalue()

    @classmethod
    def unpack(cls, packed: bytes) -> GateArrays:
        with np.load(io.BytesIO(packed), allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        norms = Norms(**{name: arrays.pop(name) for name in Norms.__slots__})
        return cls(norms, **arrays)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the models say of one part. `blind`: the gate has sources and none of them spoke. `strange`: what training
    never saw of it."""

    row: FeatureRow
    estimate: Estimate
    base_risk: float | None
    product_known: bool
    blind: bool
    strange: Strange = NOTHING_STRANGE


class GateJudge:
    """Reads one part after another; keeps nothing between them."""

    def __init__(self, notes: GateNotes, arrays: GateArrays, opened: OpenModel, plan: Plan) -> None:
        spec, fill = notes.spec, arrays.norms.fill
        self.threshold = notes.threshold
        self.certificate, self.conflict = notes.certificate, notes.conflict
        self.provisional = notes.provisional > 0.0
        self.model = opened.model_name.sha256
        self.lot_spread = notes.lot_spread
        self._products = notes.products
        self.drift = DriftReference.open(notes.drift, opened) if notes.drift is not None else None
        self.scan = notes.scan
        self.builder = RowBuilder(spec, arrays.norms)
        self.feature_names = [column.name for column in feature_columns(spec)]
        self.history_seed: Mapping[str, bytes] = msgspec.msgpack.decode(
            opened.read(notes.history), type=dict[str, bytes]
        )
        self._risk = RiskModels(spec, fill, notes.risk, opened)
        self._base = RiskModels(spec, fill, notes.base, opened)
        self._same = notes.base == notes.risk
        self._channel_at = {(slot.station_id, slot.channel): i for i, slot in enumerate(spec.channels)}
        self._golden = _golden_bands(arrays.norms)
        self._strangeness = Strangeness(notes.novelty, notes.closed, self.builder, opened)
        origins = Origins(notes.origins, opened, spec, fill) if notes.origins is not None else None
        witness = Witness(self.builder, plan, arrays.band_low, arrays.band_high, arrays.reference)
        counterfactual = Counterfactual(self.builder, arrays.reference)
        self._finder = CauseFinder(spec, counterfactual, origins, witness, labels=not notes.provisional)

    def read(self, evidence: Evidence, history: HistoryView) -> Reading | None:
        """The risk of one part; None when no model speaks for what it came with."""
        row = self.builder.row(evidence, history)
        product_known = self.builder.product_known(evidence.product)
        strange = self._strangeness.of(evidence, row, history, self._risk)
        told = history.recalibration if history.recalibration and history.recalibration.model == self.model else None
        offset = self._products.get(evidence.product, 0.0)
        model = self._risk.speaking(row.usable)
        if told is not None and model is not None:
            told = told.narrowed(groups_of(self._cell(model, evidence.product)))
        estimate = self._risk.estimate(row, strange.novel or not product_known, told, offset)
        if estimate is None:
            return None
        base = estimate if self._same and told is None and not offset else self._base.estimate(row, widen=False)
        blind = bool(self.builder.spec.sources) and not row.usable
        widened = strange.widened(estimate)
        return Reading(row, widened, base.risk if base is not None else None, product_known, blind, strange)

    def cell_of(self, reading: Reading, product: str) -> str:
        """The groups of a part, for corrections from labels: the sources its model went without, and its product."""
        return self._cell(reading.estimate.model, product)

    def _cell(self, model: int, product: str) -> str:
        return cell_of(self._risk.models[model].sources, self.builder.spec.sources, product)

    @property
    def risk_models(self) -> RiskModels:
        """The models behind the risk, to score altered rows with."""
        return self._risk

    def golden_band(self, product: str, station_id: str, channel: str) -> tuple[Floats, Floats] | None:
        """Lower and upper edge of a golden cycle, float32[CURVE_POINTS] each; None where there is none."""
        place = self._channel_at.get((station_id, channel))
        bands = self._golden[self.builder.product_at(product)]
        return None if place is None else bands[place]

    def caveats(self, reading: Reading) -> tuple[str, ...]:
        """Reasons that go with any decision and make none: what is to be known of how the risk came about."""
        doubts = reading.strange.unknown and not reading.strange.could_reach(reading.estimate.risk, self.threshold)
        return (*(("unknown_attribute",) if doubts else ()), *(("provisional",) if self.provisional else ()))

    def causes(
        self,
        evidence: Evidence,
        reading: Reading,
        incidents: Sequence[OpenCause] = (),
        history: HistoryView = NO_HISTORY,
    ) -> list[Cause]:
        """Why this part is at risk, ranked. `incidents`: what the line's open incidents blame."""
        model = reading.estimate.model
        return self._finder.find(evidence, reading.row, self._risk, model, incidents, history.counts)


def _golden_bands(norms: Norms) -> list[list[tuple[Floats, Floats] | None]]:
    """[product][channel] → edges, made once: every part's exhibit shows them."""
    low, high = norms.golden_mean - GOLDEN_SD * norms.golden_sd, norms.golden_mean + GOLDEN_SD * norms.golden_sd
    return [
        [None if np.isnan(low[p, c, 0]) else (low[p, c].copy(), high[p, c].copy()) for c in range(low.shape[1])]
        for p in range(low.shape[0])
    ]


def open_gates(model: OpenModel, plan: Plan) -> dict[tuple[str, str], GateJudge]:
    """The gates a fusion model was trained for. Raises ModelRefused when its notes are not of this version."""
    try:
        notes = msgspec.convert(model.manifest.notes, FusionNotes)
    except msgspec.ValidationError as error:
        raise ModelRefused(
            f"{model.model_name.name} {model.model_name.version}: notes do not fit ({error}); retrain"
        ) from error
    if notes.version != NOTES_VERSION:
        raise ModelRefused(
            f"{model.model_name.name} {model.model_name.version}: notes of version {notes.version}; retrain"
        )
    gates = {}
    for gate in notes.gates:
        forbidden = sorted({slot.name for slot in gate.spec.attributes if not plan.may_use(slot.name)})
        if forbidden:
            named = f"{model.model_name.name} {model.model_name.version}"
            raise ModelRefused(f"{named}: learned from {', '.join(forbidden)}, not allowed by the plan; retrain")
        arrays = GateArrays.unpack(model.read(gate.arrays))
        gates[gate.spec.line_id, gate.spec.gate_id] = GateJudge(gate, arrays, model, plan)
    return gates
