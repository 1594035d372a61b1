#!/usr/bin/env python3
"""Do risks mean what they say in each set of sources and each product, when the risks of only one have shifted?

    python tests/bench/results_fusion_groups.py

Simulated lots of 200 parts; from lot 40 on the odds of one group's parts alone are not what its model says. The same
stream is followed without recalibration, with one correction for the gate, and with offsets of groups. Labels of a lot
come when the next is made. ECE is of lots 4 to 23 behind the change, of the parts that shifted and of the others.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from fusion.calibration.calibrate import expected_calibration_error, sigmoid  # noqa: E402
from fusion.calibration.correction import cell_of  # noqa: E402
from fusion.calibration.lot_spread import fit_lot_spread  # noqa: E402
from tests.bench.results_fusion_calibration import Judged, follow  # noqa: E402
from tests.bench.written_table import machine, markdown_table  # noqa: E402

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LOT_PARTS, TRAINED, BEFORE, AFTER = 200, 60, 40, 40
AFTER_LOTS = (4, 24)  # behind the change: three lots and the labels of the third are there
LOT_SD, RISK_SD = 0.25, 1.8
STREAMS = 8
SOURCES = ("camera:top", "sensors:OP10")
HEAD = ("shifted", "defects", "false incidents", "lots to it: gate, groups", "ECE without: shifted, others",
        "ECE, one correction", "ECE, groups")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """`share` of the parts are of the group that shifts by `times`; `by_lot`: whole lots are, as products are."""

    name: str
    share: float
    times: float
    by_lot: bool = False


CASES = (
    Case("none", 0.5, 1.0),
    Case("half of the parts, those with a camera: odds x 2.5", 0.5, 2.5),
    Case("half of the parts, those with a camera: odds / 2.5", 0.5, 0.4),
    Case("nine in ten: odds x 2.5", 0.9, 2.5),
    Case("two in ten: odds x 2.5", 0.2, 2.5),
    Case("one product of two, in lots of its own: odds x 2.5", 0.5, 2.5, by_lot=True),
)
BASES = (("3 %", -4.7), ("16 %", -2.2))  # defects: mean own logit


@dataclass(frozen=True, slots=True)
class Stream:
    """Parts in the order of judging; `inside`: of the group that shifts."""

    judged: Judged
    inside: Bools
    cells: list[str]


def made(rng: np.random.Generator, case: Case, base: float, lots: int, begins: int) -> Stream:
    """So many lots; the group shifts from lot `begins` on."""
    lot = np.repeat(np.arange(lots), LOT_PARTS)
    own = rng.normal(base, RISK_SD, len(lot))
    inside = (rng.random(lots) < case.share)[lot] if case.by_lot else rng.random(len(lot)) < case.share
    true = own + np.log(case.times) * (inside & (lot >= begins)) + rng.normal(0.0, LOT_SD, lots)[lot]
    defect = rng.random(len(lot)) < sigmoid(true)
    cells = [_cell(case, one) for one in inside.tolist()]
    return Stream(Judged(sigmoid(own), defect, lot, np.full(len(lot), "")), inside, cells)


def _cell(case: Case, inside: bool) -> str:
    if case.by_lot:
        return cell_of(SOURCES, SOURCES, "R1" if inside else "R2")
    return cell_of(SOURCES if inside else SOURCES[1:], SOURCES, "R1")


def row(case: Case, defects: str, base: float) -> list[str]:
    """One line of the table."""
    eces: list[list[tuple[float, float]]] = []
    early, delays = np.zeros(2, dtype=np.intp), (list[int](), list[int]())
    for seed in range(STREAMS):
        rng = np.random.default_rng([seed, int(100 * case.share), int(10 * case.times)])
        trained = made(rng, case, base, TRAINED, TRAINED).judged
        spread = fit_lot_spread(trained.risk, trained.defect, trained.lot)
        stream = made(rng, case, base, BEFORE + AFTER, BEFORE)
        judged, everyone = stream.judged, np.ones(len(stream.judged.risk), dtype=np.bool_)
        both = [follow(judged, spread, everyone, cells) for cells in (None, stream.cells)]
        eces.append([_eces(risk, stream) for risk in (judged.risk, *(one.risk for one in both))])
        for k, followed in enumerate(both):
            early[k] += sum(lot <= BEFORE or case.times == 1.0 for lot in followed.opened)
            delays[k].extend([lot - BEFORE for lot in followed.opened if lot > BEFORE and case.times != 1.0][:1])
    figures = np.mean(eces, axis=0)
    told = ", ".join(f"{np.median(d):.0f} ({len(d)} of {STREAMS})" if d else "–" for d in delays)
    return [case.name, defects, f"{early[0]}, {early[1]}", told, *(f"{a:.3f}, {b:.3f}" for a, b in figures)]


def _eces(risk: Doubles, stream: Stream) -> tuple[float, float]:
    behind = stream.judged.lot - BEFORE
    asked = (behind >= AFTER_LOTS[0]) & (behind < AFTER_LOTS[1])
    inside, outside = (
        expected_calibration_error(risk[asked & own], stream.judged.defect[asked & own])
        for own in (stream.inside, ~stream.inside)
    )
    return inside, outside


def table(asked: Sequence[str] = ()) -> str:
    """The table; there is nothing to ask for."""
    rows = [row(case, defects, base) for defects, base in BASES for case in CASES]
    return "\n\n".join([markdown_table(HEAD, rows), f"{STREAMS} streams a row. Measured on {machine()}."])


if __name__ == "__main__":
    print(table())
