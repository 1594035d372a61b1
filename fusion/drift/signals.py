"""What drift watches of a part: some summaries of each channel, each camera's score, pose and light; a row of numbers.

A row is of *residuals*: what a figure is beside the usual of its product in training, in standard deviations of a part.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.cameras.moved import CONFIDENCE_MIN
from fusion.drift.limits import ChartLimits
from fusion.drift.watched import Watched
from fusion.risk.features import ChannelSlot, FeatureSpec, Floats, raw_columns
from fusion.risk.sight import worst_frame
from ingest.join.evidence import Evidence
from models.open import OpenModel

FORM = "form"  # distance from the golden cycle, its level apart: the level has a signal of its own
CHANNEL_MEASURES = ("mean", "golden_mean", FORM, "std")
CAMERA_MEASURES = ("exposure", "contrast", "sharpness", "shift_x", "shift_y")
SCORE = "ratio"  # of a camera's score to its threshold
FLAGS = "flags"  # of no channel: the share of parts at or above the gate's threshold
RESIDUAL_MAX = 4.0  # standard deviations: one part's defect is no drift, but a drift is in every part
PLAIN_MAX = 1e6  # what is told of a broken sensor must be finite

Doubles = npt.NDArray[np.float64]


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of each part. `entity`: `OP10.spindle_current_a`, `camera:face`, or "" for FLAGS; `column`: its place
    in the raw row, -1 where it is none of it; `level`: of FORM, the column of the level that is taken out."""

    entity: str
    measure: str
    unit: str = ""
    column: int = -1
    level: int = -1


class DriftNotes(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's manifest says of its drift reference. `block`: parts of one chart point; `file`: the arrays;
    `watched`: what limits can show, None of models trained before that was asked."""

    signals: tuple[Signal, ...]
    block: int
    file: str
    watched: Watched | None = None


class DriftReference:
    """How the signals of one gate were in training. `usual`: float32[products, signals]; `spread`, `overall`:
    float32[signals], of a part, in units; `low`, `high`: of training's blocks, in units; `limits`: of the charts;
    `sample`: float32[m, signals], residuals of training parts; `window`, `contrast_limit`, `structure_limit`: of the
    two-sample tests; `typical`: float32[products, raw columns], medians; `history`: float64[blocks, signals], what was
    charted of training."""

    def __init__(self, notes: DriftNotes, arrays: dict[str, npt.NDArray[np.float64]], digest: bytes) -> None:
        self.signals, self.block, self.digest = notes.signals, notes.block, digest
        self.usual: Floats = np.asarray(arrays["usual"], dtype=np.float32)
        self.spread: Floats = np.asarray(arrays["spread"], dtype=np.float32)
        self.overall, self.low, self.high = arrays["overall"], arrays["low"], arrays["high"]
        self.limits = ChartLimits(*(arrays[name] for name in ChartLimits.__slots__))
        self.sample: Floats = np.asarray(arrays["sample"], dtype=np.float32)
        self.typical: Floats = np.asarray(arrays["typical"], dtype=np.float32)
        fitted = arrays.get("contrast", np.array([0.0]))  # models trained before there was a test have no limit of it
        self.window = int(fitted[0])
        self.contrast_limit, self.structure_limit = np.append(fitted[1:], [np.inf, np.inf])[:2].tolist()
        blocks = arrays.get("blocks")  # models trained before limits could grow have none
        self.history = None if blocks is None else np.asarray(blocks, dtype=np.float64)
        self.reader = SignalReader(notes.signals)
        places: dict[str, list[int]] = {}
        for i, signal in enumerate(notes.signals):
            if signal.entity:
                places.setdefault(signal.entity, []).append(i)
        self.entities = {entity: np.array(at, dtype=np.intp) for entity, at in places.items()}  # without FLAGS

    @classmethod
    def open(cls, notes: DriftNotes, opened: OpenModel) -> DriftReference:
        """The reference of one gate of a model."""
        return cls.unpack(notes, opened.read(notes.file))

    @classmethod
    def unpack(cls, notes: DriftNotes, packed: bytes) -> DriftReference:
        """From .npz bytes (`drift_fit.FittedDrift.packed`)."""
        with np.load(io.BytesIO(packed), allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        return cls(notes, arrays, hashlib.blake2b(packed, digest_size=12).digest())

    def residuals(self, values: Floats, product: int) -> Floats:
        """float32[signals] of one part → its residuals, not yet bounded; NaN where missing."""
        return np.asarray((values - self.usual[product]) / self.spread, dtype=np.float32)


class SignalReader:
    """Reads the signals of one part off its raw row, its findings and its risk."""

    def __init__(self, signals: Sequence[Signal]) -> None:
        self._count = len(signals)
        self._at = np.array([i for i, s in enumerate(signals) if s.column >= 0], dtype=np.intp)
        self._columns = np.array([s.column for s in signals if s.column >= 0], dtype=np.intp)
        self._forms = np.array([i for i, s in enumerate(signals) if s.level >= 0], dtype=np.intp)
        self._levels = np.array([s.level for s in signals if s.level >= 0], dtype=np.intp)
        self._cameras: dict[str, list[tuple[int, str]]] = {}
        for i, signal in enumerate(signals):
            if signal.column < 0 and signal.entity.startswith("camera:"):
                camera = signal.entity.removeprefix("camera:")
                self._cameras.setdefault(camera, []).append((i, signal.measure))
        self._flags = next((i for i, s in enumerate(signals) if s.measure == FLAGS and not s.entity), None)

    def read(self, raw: Floats, evidence: Evidence, flagged: bool | None) -> Floats:
        """float32[signals], NaN where missing. `flagged`: is the part at or above the threshold; None: no risk."""
        values = np.full(self._count, np.nan, dtype=np.float32)
        values[self._at] = raw[self._columns]
        if len(self._forms):
            whole, level = values[self._forms], raw[self._levels]
            values[self._forms] = np.sqrt(np.maximum(whole * whole - level * level, 0.0))
        for camera, wanted in self._cameras.items():
            frame = worst_frame(evidence.findings.get(camera, ()))
            if frame is None:
                continue
            measures = frame.fitness.measures
            sure = measures.get("pose_confidence", 0.0) >= CONFIDENCE_MIN
            for i, name in wanted:
                if name in measures and (sure or not name.startswith("shift_")):
                    values[i] = measures[name]
        if self._flags is not None and flagged is not None:
            values[self._flags] = float(flagged)
        return values


def proposed_signals(spec: FeatureSpec) -> list[Signal]:
    """Every signal that the parts of a gate might have; training drops those that say nothing of their own."""
    place = {column.name: i for i, column in enumerate(raw_columns(spec))}
    signals = [_of_channel(slot, measure, place) for slot in spec.channels for measure in CHANNEL_MEASURES]
    for camera in spec.cameras:
        entity = f"camera:{camera}"
        signals.append(Signal(entity=entity, measure=SCORE, column=place[f"{entity}:{SCORE}"]))
        signals += [Signal(entity=entity, measure=measure) for measure in CAMERA_MEASURES]
    return [*signals, Signal(entity="", measure=FLAGS)]


def _of_channel(slot: ChannelSlot, measure: str, place: dict[str, int]) -> Signal:
    column = place[f"{slot.entity}:{'golden_rms' if measure == FORM else measure}"]
    level = place[f"{slot.entity}:golden_mean"] if measure == FORM else -1
    return Signal(entity=slot.entity, measure=measure, unit=slot.unit, column=column, level=level)


def charted(signals: Sequence[Signal], sums: Doubles, counts: Doubles, block: int) -> Doubles:
    """Sums and counts of bounded residuals of blocks, float64[..., signals] → what is charted: the mean; of flags,
    whose number varies the more the more there are, its root (Anscombe 1948). NaN where less than a quarter of the
    `block` parts had the signal: such a mean varies more than those the limits are of."""
    enough = counts * 4 >= block
    charts = np.where(enough, sums / np.maximum(counts, 1), np.nan)
    for i, signal in enumerate(signals):
        if signal.measure == FLAGS:
            charts[..., i] = np.where(enough[..., i], 2.0 * np.sqrt(sums[..., i] + 0.375), np.nan)
    return charts
