"""Does the escape certificate keep its promise? Simulated plants of which the truth is known, their lots apart.

Each row: many calibrations of one kind of plant (so many lots, so large a natural spread between them), each certified
by the code that serves. A promise is broken when the true escape rate over future lots is above it. Run:

    python tests/bench/results_fusion_certificate.py [calibrations per row]     the simulated calibrations
    python tests/bench/results_fusion_certificate.py sets                       and what real and simulated plants get
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from results import CUTS, Home, real_sets
from written_table import markdown_table

from fusion.calibration.calibrate import sigmoid
from fusion.certificate.fit import Labelled, certify, fit_bound
from fusion.certificate.promise import say_rate
from ingest.plan.plan import Audit, Constraints, Grants, Objective, Owners, Plan
from models.open import open_model

Doubles = npt.NDArray[np.float64]

CALIBRATIONS = 200
RATE = 0.026  # of defective parts, as on the plant of the earlier measurements
SLOPE = 2.2  # of the score in the logit of the defect: AUC .92
ASKED = 0.005
PARTS_PER_LOT = 200
LOTS = (10, 20, 50, 100, 200)
LOT_SDS = (0.25, 0.5, 1.0)
BAD_LOTS = 0.03  # of lots that are bad, in the rows of lots that are no normal law
TIMES_BAD = 6.0
PLANT_PARTS = 6000
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)
_GRID = np.linspace(-5.5, 5.5, 1201)


@dataclass(frozen=True, slots=True)
class Plant:
    """A plant whose score x ~ N(0, 1) tells the risk: logit P(defect) = bias + SLOPE x + u, u once a lot.

    `sd` of u; `bad`: instead, that share of the lots has its odds multiplied by TIMES_BAD and the others none."""

    sd: float
    bad: float = 0.0

    def effects(self, lots: int, rng: np.random.Generator) -> Doubles:
        if self.bad:
            return np.where(rng.random(lots) < self.bad, np.log(TIMES_BAD), 0.0)
        return rng.normal(0.0, self.sd, lots)

    def risk(self, bias: float, score: Doubles) -> Doubles:
        """P(defect) of a part of a lot nobody knows: what a calibrated model says."""
        logits = bias + SLOPE * score
        if self.bad:
            return (1.0 - self.bad) * sigmoid(logits) + self.bad * sigmoid(logits + np.log(TIMES_BAD))
        weights = _WEIGHTS / _WEIGHTS.sum()
        return np.asarray(sigmoid(logits[:, None] + self.sd * _NODES) @ weights)

    def bias(self) -> float:
        low, high = -12.0, 2.0
        density = np.exp(-0.5 * _GRID**2)
        for _ in range(40):
            middle = (low + high) / 2.0
            mean = float((self.risk(middle, _GRID) * density).sum() / density.sum())
            low, high = (middle, high) if mean < RATE else (low, middle)
        return low


@dataclass(frozen=True, slots=True)
class Truth:
    """`risk` at scores `_GRID`, and `escapes`: the true share of made parts that are defective with a lower score."""

    bias: float
    risk: Doubles
    escapes: Doubles

    @classmethod
    def of(cls, plant: Plant, shift: float = 0.0, seen_as: float = 0.0) -> Truth:
        """`shift`: added to the logit of every part; `seen_as`: to the score a camera gives, the defects staying."""
        bias = plant.bias()
        density = np.exp(-0.5 * _GRID**2)
        density /= density.sum()
        risk = plant.risk(bias, _GRID)
        true = plant.risk(bias + shift, _GRID)
        seen = np.searchsorted(_GRID, np.clip(_GRID + seen_as, _GRID[0], _GRID[-1]))
        escapes = np.zeros(len(_GRID))
        np.add.at(escapes, np.clip(seen, 0, len(_GRID) - 1), true * density)
        return cls(bias, risk, np.cumsum(escapes))

    def rate(self, threshold: float) -> float:
        """Escapes per made part when all parts below a risk pass."""
        return float(np.interp(threshold, self.risk, self.escapes))


def drawn(plant: Plant, truth: Truth, lots: int, rng: np.random.Generator) -> Labelled:
    """Labelled parts of so many lots of half to one and a half times PARTS_PER_LOT parts."""
    sizes = np.maximum(rng.poisson(PARTS_PER_LOT * rng.uniform(0.5, 1.5, lots)), 1)
    lot = np.repeat(np.arange(lots), sizes)
    score = rng.normal(size=len(lot))
    defect = rng.random(len(lot)) < sigmoid(truth.bias + SLOPE * score + plant.effects(lots, rng)[lot])
    return Labelled(np.interp(score, _GRID, truth.risk), defect, lot)


def plan_asking(rate: float, share: float = 0.3) -> Plan:
    return Plan(
        plan=1, plant="simulated", owners=Owners(objective="a", model="b", stop="c"),
        objective=Objective(escape_cost=450.0, review_cost=2.5, currency="USD"),
        constraints=Constraints(escape_rate_max=rate, review_share_max=share, latency_ms_max=500.0),
        grants=Grants(topics=()), audit=Audit(share=0.0), lines=(),
    )  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What many calibrations of one kind came to."""

    n: int = 0
    at_limit: int = 0
    limit_broken: int = 0
    asked: int = 0
    asked_broken: int = 0
    lesser: int = 0
    lesser_broken: int = 0
    review: float = 0.0

    def row(self) -> list[str]:
        return [
            _share(self.at_limit, self.n), _share(self.limit_broken, self.n), _share(self.asked, self.n),
            _share(self.asked_broken, self.n), _share(self.lesser, self.n), _share(self.lesser_broken, self.n),
            f"{self.review / self.n:.3f}",
        ]  # fmt: skip


def _share(count: int, n: int) -> str:
    return f"{count / n:.3f}"


def measure(plant: Plant, lots: int, calibrations: int, seed: int) -> Tally:
    rng, truth, plan = np.random.default_rng(seed), Truth.of(plant), plan_asking(ASKED)
    tally = Tally()
    for _ in range(calibrations):
        labelled = drawn(plant, truth, lots, rng)
        choice, certificate = certify(labelled, plan, "L1", "EOL")
        tally.n += 1
        tally.review += float(np.mean(labelled.risk >= choice.threshold))
        true = truth.rate(choice.threshold)
        if certificate.holds_what_is_asked:
            tally.asked += 1
            tally.asked_broken += true > ASKED
        elif certificate.promise is not None:
            tally.lesser += 1
            tally.lesser_broken += true > certificate.promise
        limit = fit_bound(labelled).limit(ASKED) if certificate.promise is not None else None
        if limit is not None:  # the hardest case: the highest threshold that is certified at all
            tally.at_limit += 1
            tally.limit_broken += truth.rate(limit) > ASKED
    return tally


SHIFTS = {
    "none": {},
    "process: odds x2.5": {"shift": float(np.log(2.5))},
    "one tool in three: odds x4 (mean shift)": {"shift": float(np.log((2.0 + 4.0) / 3.0))},
    "camera blind: scores 1.5 sd lower": {"seen_as": -1.5},
    "camera dirty: scores 0.5 sd higher": {"seen_as": 0.5},
}


def shifted(calibrations: int, seed: int) -> list[list[str]]:
    """Share of certified limits (100 lots, sd .5) broken after a shift: why a certificate must be void then."""
    plant = Plant(0.5)
    rng, before = np.random.default_rng(seed), Truth.of(plant)
    limits = [fit_bound(drawn(plant, before, 100, rng)).limit(ASKED) for _ in range(calibrations)]
    held = [limit for limit in limits if limit is not None]
    rows = []
    for name, shift in SHIFTS.items():
        after = Truth.of(plant, **shift)
        rows.append([name, _share(sum(after.rate(limit) > ASKED for limit in held), len(held))])
    return rows


HEAD = [
    "lots", "spread between lots", "a limit is certified", "broken at the limit", "plan's rate certified", "broken",
    "a lesser rate certified", "broken", "review share",
]  # fmt: skip


def sets_table() -> str:
    """What `qcfuse train` certifies of the real sets (before their cut) and of a simulated plant, markdown."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="qcfuse-certificate-") as scratch:
        shared = real_sets()
        folders = {name: shared / name for name in CUTS} if shared is not None else {}
        home = Home(Path(scratch) / "plant")
        home.run("simulate", str(Path(scratch) / "parts"), "--parts", str(PLANT_PARTS), "--seed", "11")
        for name, folder in {**folders, "plant": Path(scratch) / "parts"}.items():
            home = Home(Path(scratch) / name)
            home.run("train", str(folder), *(("--until", CUTS[name]) if name in CUTS else ()))
            behind = behind_the_cut(home, folder, CUTS[name]) if name in CUTS else "–"
            rows += [[name, *row[:-1], behind, row[-1]] for row in trained_rows(home.folder / "shelf")]
    head = ["set", "gate", "asked", "certified", "parts", "lots", "spread", "behind the cut: escaped, reviewed", "why"]
    return markdown_table(head, rows)


def behind_the_cut(home: Home, folder: Path, cut: str) -> str:
    """Escapes and reviews of the parts that training never saw, as shares of all of them."""
    verdicts = str(home.folder / "verdicts.jsonl")
    home.run("replay", str(folder), "--since", cut, "--out", verdicts)
    told, _ = home.run("evaluate", str(folder), "--since", cut, "--verdicts", verdicts, "--json")
    figures = json.loads(told)
    return f"{say_rate(figures['escape_rate'])}, {say_rate(figures['review_share'])}"


def trained_rows(shelf: Path) -> list[list[str]]:
    """Gate, what is asked, certified, the parts and lots it rests on, and why no more, of every gate of a shelf."""
    rows = []
    for gate in open_model(shelf, "fusion").manifest.notes["gates"]:
        told = gate["certificate"]
        promise = say_rate(told["promise"]) if told["promise"] is not None else "nothing"
        spread = f"{told['lot_sd']:g} (at most {told['lot_sd_high']:g})"
        named = f"{gate['spec']['line_id']}/{gate['spec']['gate_id']}"
        why = " ".join(filter(None, (told["why"], gate["conflict"])))
        rows.append([named, say_rate(told["asked"]), promise, str(told["parts"]), str(told["lots"]), spread, why])
    return rows


def table(calibrations: int = CALIBRATIONS) -> str:
    """Both tables of simulated calibrations, markdown. Shares are of all calibrations of a row."""
    rows = []
    for sd in LOT_SDS:
        for lots in LOTS:
            rows.append([str(lots), f"sd {sd:g}", *measure(Plant(sd), lots, calibrations, 1000 + lots).row()])
    for lots in (50, 200):
        kind = f"{BAD_LOTS:.0%} of lots x{TIMES_BAD:g}"
        rows.append([str(lots), kind, *measure(Plant(0.0, BAD_LOTS), lots, calibrations, 2000 + lots).row()])
    rows_of_shifts = markdown_table(["after the calibration", "promise broken"], shifted(calibrations, 3000))
    return (
        markdown_table(HEAD, rows)
        + f"\n\n{calibrations} calibrations a row; asked: at most {100 * ASKED:g} % escapes with 95 % confidence, "
        + f"defect rate {100 * RATE:g} %, about {PARTS_PER_LOT} parts a lot, AUC .92.\n\n"
        + rows_of_shifts
    )


if __name__ == "__main__":
    asked = sys.argv[1:]
    print(table(int(asked[0]) if asked and asked[0].isdigit() else CALIBRATIONS))
    if "sets" in asked:
        print("\n" + sets_table())
