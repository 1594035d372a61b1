"""Drift, measured: false incidents on lines that wander, delays, and what a shift undone names; by fresh seeds.

python tests/bench/results_causes_drift.py            the tables
python tests/bench/results_causes_drift.py --parts N  in-control parts to run (100 000 unless told)
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from drift_streams import (
    LABEL_DELAY,
    TOLD,
    Parts,
    Plant,
    Shift,
    cases,
    defect_record,
    judged,
    light_parts,
    plan,
    raw_of,
)
from scipy.stats import chi2
from written_table import markdown_table

from fusion.calibration.watch import RecalibrationWatch
from fusion.drift.fit import fit_drift
from fusion.drift.looks import LOOK_PARTS, Looks
from fusion.drift.signals import DriftReference
from fusion.drift.watch import DriftWatch
from fusion.gate import GateJudge
from fusion.incidents import Incident
from fusion.judge import Judge
from fusion.labels import PartLabel
from fusion.train import fit_gates, save_fusion
from ingest.messages import Defect

TRAINED, HISTORY = 3000, 10_000  # parts that models learn from; parts of the drift reference
STREAM = 20_000  # in-control parts of one stream, each with a history of its own
ONSET, FOLLOWED = 2000, 6000  # parts before a shift, and behind it
CHUNK = 500
IN_CONTROL = Shift()
REPEATS = 2


@dataclass(frozen=True)
class Scenario:
    """`cause`: the incident's that is right."""

    name: str
    shift: Shift
    cause: str


def _channel(number: int) -> str:
    return f"OP{10 * (number // 4 + 1)}.c{number % 4}"


SCENARIOS = (
    Scenario("camera score −1 sd", Shift(camera=1, size=-1.0), "camera:cam1"),
    Scenario("camera score +0.5 sd", Shift(camera=3, size=0.5), "camera:cam3"),
    Scenario("channel bias 1.5 sd", Shift(channel=TOLD[0], size=1.5), _channel(TOLD[0])),
    Scenario("channel bias 0.8 sd", Shift(channel=TOLD[3], size=0.8), _channel(TOLD[3])),
    Scenario("channel ramp, 1.5 sd in 4000 parts", Shift(channel=TOLD[1], size=1.5, ramp=4000), _channel(TOLD[1])),
)
UNDONE = (
    ("drift 1.5 sd in 4000 parts", 1.5, 4000),
    ("bias 0.8 sd", 0.8, 0),
    ("bias 0.4 sd", 0.4, 0),
)


class Line:
    """One trained plant; `fresh` gives it another history of wandering and the parts that come behind it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        learned, labels = cases(Plant(seed).draw(TRAINED))
        settled = plan()
        save_fusion(fit_gates(learned, labels, settled, lambda _: None), learned, settled, folder)
        gate = Judge.open(folder, settled).gate("L1", "EOL")
        assert gate is not None
        self.gate: GateJudge = gate

    def fresh(self, stream: int) -> Plant:
        """The plant, its gate's drift reference now that of this stream's own HISTORY."""
        plant, builder = Plant(self.seed, stream), self.gate.builder
        parts = plant.draw(HISTORY)
        raw = raw_of(parts, builder.spec, builder)
        model = self.gate.risk_models.speaking(frozenset(builder.spec.sources))
        assert model is not None
        risk = 1.0 / (1.0 + np.exp(-self.gate.risk_models.logits(model, builder.derive(raw))))
        flagged = [bool(one) for one in risk >= self.gate.threshold]
        fitted = fit_drift(light_parts(parts), raw, flagged, builder.spec, "drift.npz")
        assert fitted is not None
        self.gate.drift = DriftReference.unpack(fitted.notes, fitted.packed)
        return plant


@dataclass
class Told:
    """Incidents of one stream: (kind, cause) → part at which it opened; seconds of counting."""

    opened: dict[tuple[str, str], int]
    seconds: float = 0.0


def follow(line: Line, plant: Plant, parts: int, shift: Shift = IN_CONTROL) -> Told:
    """Watch so many parts of the plant."""
    watch, told, done = DriftWatch(), Told({}), 0
    while done < parts:
        coming = list(judged(plant.draw(CHUNK, shift), line.gate))
        for part in coming:
            began = time.process_time()
            watch.judged(part)
            told.seconds += time.process_time() - began
            done += 1
            if done % 20 == 0:
                _note(told, watch.incidents(), done)
    return told


def _note(told: Told, incidents: list[Incident], done: int) -> None:
    for incident in incidents:
        told.opened.setdefault((incident.incident, incident.cause), done)


def false_table(line: Line, parts: int) -> str:
    """Incidents on fresh in-control streams, by kind, with the exact Poisson interval."""
    kinds: dict[str, int] = {"drift": 0, "shift": 0, "unlike_training": 0}
    seconds = 0.0
    streams = max(1, parts // STREAM)
    for stream in range(streams):
        told = follow(line, line.fresh(1000 + stream), STREAM)
        for kind, _ in told.opened:
            kinds[kind] += 1
        seconds += told.seconds
    made = streams * STREAM
    rows = [(kind, *_rate(count, made)) for kind, count in [*kinds.items(), ("all", sum(kinds.values()))]]
    head = ("false incidents in control", "seen", "per 100 000 parts (95 %)")
    speed = f"\n\n{made} parts of {streams} streams; counting {1e6 * seconds / made:.0f} µs a part, looks included."
    return markdown_table(head, rows) + speed


def _rate(count: int, parts: int) -> tuple[str, str]:
    scale = 100_000 / parts
    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    high = chi2.ppf(0.975, 2 * count + 2) / 2
    return str(count), f"{count * scale:.1f} ({low * scale:.1f} to {high * scale:.1f})"


def delay_table(line: Line) -> str:
    """Parts from the onset to an incident of the right cause, and what else was named by then."""
    rows = []
    for number, scenario in enumerate(SCENARIOS):
        delays, first = [], 0
        for repeat in range(REPEATS):
            plant = line.fresh(2000 + 10 * number + repeat)
            onset = plant.made + ONSET
            told = follow(line, plant, ONSET + FOLLOWED, replace(scenario.shift, onset=onset)).opened
            behind = {
                cause: at - ONSET for (_, cause), at in sorted(told.items(), key=lambda one: -one[1]) if at > ONSET
            }
            first += bool(behind) and min(behind, key=lambda cause: behind[cause]) == scenario.cause
            delays += [behind[scenario.cause]] if scenario.cause in behind else []
        seen = f"{len(delays)} of {REPEATS}"
        middle = f"{np.median(delays):.0f}" if delays else "–"
        rows.append((scenario.name, seen, middle, f"{first} of {REPEATS}"))
    head = ("shift", f"seen within {FOLLOWED} parts", "median delay, parts", "first named is right")
    return markdown_table(head, rows)


def rate_table(line: Line) -> str:
    """A defect rate that risks do not follow: the calibration's alarm by lots (`fusion/calibration/watch.py`)."""
    delays, early = [], 0
    for repeat in range(REPEATS):
        plant = line.fresh(4000 + repeat)
        onset = plant.made + ONSET
        seen = _follow_labels(line, plant, Shift(times=3.0, onset=onset))
        early += seen is not None and seen <= ONSET
        delays += [seen - ONSET] if seen is not None and seen > ONSET else []
    middle = f"{np.median(delays):.0f}" if delays else "–"
    row = ("defect rate × 3, every part labelled", f"{len(delays)} of {REPEATS}", middle, f"{early} of {REPEATS}")
    head = (
        "shift",
        f"seen within {FOLLOWED} parts",
        f"median delay, {LABEL_DELAY} parts of labelling in it",
        "before it",
    )
    return markdown_table(head, [row])


def _follow_labels(line: Line, plant: Plant, shift: Shift) -> int | None:
    """Parts until the calibration is said to be off, None: never."""
    watch, waiting, done = RecalibrationWatch(plan()), deque[Defect](), 0
    while done < ONSET + FOLLOWED:
        parts = plant.draw(CHUNK, shift)
        for i, part in enumerate(judged(parts, line.gate)):
            now = int(part.evidence.event_at)
            while waiting and waiting[0].recorded_at <= now:
                label = waiting.popleft()
                watch.label(PartLabel.of(label, int(label.recorded_at)))
            watch.at("L1", "EOL", line.gate.model, now)
            watch.judged(part)
            waiting.append(defect_record(parts, i))
            done += 1
            if watch.incidents():
                return done
    return None


def undo_table(line: Line) -> str:
    """Is the channel that shifted the one whose undoing explains most flags, so many parts behind the onset?"""
    asked, rows = (1500, 3000, 6000), []
    for number, (name, size, ramp) in enumerate(UNDONE):
        right = np.zeros(len(asked))
        for repeat in range(2 * REPEATS):
            channel = TOLD[repeat % len(TOLD)]
            plant = line.fresh(3000 + 10 * number + repeat)
            shift = Shift(channel=channel, size=size * plant.worse(channel), ramp=ramp, onset=plant.made)
            right += [cause == _channel(channel) for cause in _named(line, plant, shift, asked)]
        rows.append((name, *(f"{share:.2f}" for share in right / (2 * REPEATS))))
    return markdown_table(("channel shift, top-1 by undoing", *(f"{at} parts" for at in asked)), rows)


def _named(line: Line, plant: Plant, shift: Shift, asked: tuple[int, ...]) -> Iterator[str]:
    reference = line.gate.drift
    assert reference is not None
    looks, done = Looks(line.gate, reference), 0
    while done < max(asked):
        _enter(looks, line.gate, plant.draw(LOOK_PARTS, shift))
        done += LOOK_PARTS
        if done in asked:
            ranked, _ = looks.explained()
            yield ranked[0].entity if ranked else ""


def _enter(looks: Looks, gate: GateJudge, parts: Parts) -> None:
    assert gate.drift is not None
    for part in judged(parts, gate):
        reading = part.judgement.reading
        assert reading is not None
        product = gate.builder.product_at(part.evidence.product)
        flagged = reading.estimate.risk >= gate.threshold
        values = gate.drift.reader.read(reading.row.raw, part.evidence, flagged)
        looks.enter(reading, gate.drift.residuals(values, product), product)


def table(parts: int = 100_000) -> str:
    """All tables of drift."""
    with TemporaryDirectory() as folder:
        line = Line(int(time.time()) % 100_000, Path(folder))
        return "\n\n".join([false_table(line, parts), delay_table(line), rate_table(line), undo_table(line)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=100_000)
    print(table(parser.parse_args().parts))


if __name__ == "__main__":
    main()
