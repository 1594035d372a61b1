#!/usr/bin/env python3
"""How soon and how rightly incidents are named: simulated lines, fresh seeds, the watch of the service itself.

    python tests/bench/results_causes.py             prints the tables and rewrites them in deploy/measured.md
    python tests/bench/results_causes.py --quick     a tenth of the lines; the document is left alone
    python tests/bench/results_causes.py --seed 7    the same lines again
    python tests/bench/results_causes.py --only "lot x4"    one row (again for more); the document is left alone
    python tests/bench/results_causes.py --table parts      one of the three tables: incidents, parts, drift

Every line gets a history of its own to train on (in control) and a stream that the watch has never seen.
"""

from __future__ import annotations

import argparse
import importlib
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "bench"), str(ROOT / "tests" / "fusion")]

from causes_streams import (  # noqa: E402
    LABEL_DELAY_PARTS,
    LOT_PARTS,
    LOTS_RUNNING,
    TOOLS,
    Stream,
    Trouble,
    draw,
    events,
    trained,
)
from conftest import make_plan  # noqa: E402
from scipy.stats import beta, chi2  # noqa: E402
from written_table import machine, markdown_table, rewritten  # noqa: E402

from fusion.incidents import Incident  # noqa: E402
from fusion.labels import PartLabel  # noqa: E402
from fusion.scan.line import LOOK_PARTS  # noqa: E402
from fusion.scan.watch import ScanWatch  # noqa: E402
from ingest.messages import Defect, Instant  # noqa: E402

HISTORY_PARTS = 16_000
FIRST_LOT = 5000  # of streams; those of history are others
WITHIN, LATER = 3500, 2000  # parts after the onset by which a cause must be named; and how much later it is asked again
LINES, NULL_PARTS = 24, 70_000


@dataclass(frozen=True)
class Scenario:
    """`label` of the row; the trouble; natural spread of lots; parts after the onset until the line is given up."""

    label: str
    trouble: Trouble
    lot_sd: float = 0.25
    parts: int = 8000


@dataclass
class Outcome:
    """One line with a trouble. `delay`: parts from the onset to the first incident, None without; `named`: the causes
    open then; `among`: the true one is of the first three, or said not to be told apart from them; `later`: LATER
    parts on; `timely`: the true cause led WITHIN parts; `exposed`: parts that carry it and were labelled by then;
    `onset_off`: parts beside the true onset; `early`: looks before it at which anything was open."""

    delay: int | None = None
    named: list[str] = field(default_factory=list)
    among: bool = False
    later: list[str] = field(default_factory=list)
    timely: bool = False
    exposed: int = 0
    onset_off: int | None = None
    early: int = 0


LOT_ONSET = LOTS_RUNNING * LOT_PARTS
SCENARIOS = (
    Scenario("tool x4", Trouble("tool_op05=T05b", 4.0, 4000)),
    Scenario("tool x4, lot sd .5", Trouble("tool_op05=T05b", 4.0, 4000), lot_sd=0.5),
    Scenario("tool x2.5", Trouble("tool_op08=T08c", 2.5, 4000), parts=12_000),
    Scenario("lot x4", Trouble(f"supplier_lot=S{FIRST_LOT + LOTS_RUNNING + 1}", 4.0, LOT_ONSET)),
    Scenario("recipe and tool x6", Trouble("recipe=R2 & tool_op05=T05b", 6.0, 4000), parts=10_000),
    Scenario("two tools x6", Trouble("tool_op02=T02a & tool_op05=T05b", 6.0, 4000), parts=10_000),
    Scenario("all x2.5", Trouble("", 2.5, 4000)),
    Scenario("tool x4 with a decoy (85 of 100)", Trouble("tool_op03=T03b", 4.0, 4000)),
)


def follow(stream: Stream, trouble: Trouble, gate: object, until: int) -> Outcome:
    """Feed one line to a watch, look by look."""
    watch, outcome, judged = ScanWatch(make_plan(forbidden_causes=())), Outcome(), 0
    for event in events(stream, gate):  # type: ignore[arg-type]
        if isinstance(event, Defect):
            watch.label(PartLabel.of(event, int(event.recorded_at)))
            continue
        watch.judged(event)
        judged += 1
        if judged % LOOK_PARTS == 0 or judged == until:
            _note(outcome, watch.incidents(), judged, trouble)
            watch.changes()
        if outcome.later or judged >= until:
            break
    return outcome


def _note(outcome: Outcome, incidents: Sequence[Incident], judged: int, trouble: Trouble) -> None:
    if judged <= trouble.onset:
        outcome.early += len(incidents)
        return
    since = judged - trouble.onset
    strongest = sorted(incidents, key=lambda one: -max(v for k, v in one.measure.items() if k.endswith("_statistic")))
    causes = [one.cause for one in strongest]
    if causes and outcome.delay is None:
        outcome.delay, outcome.named = since, causes
        outcome.among = any(trouble.cause in (one.cause, *_ties(one.what)) for one in strongest[:3])
    if causes and since <= WITHIN:
        outcome.timely = causes[0] == trouble.cause
    if outcome.delay is not None and since >= outcome.delay + LATER:
        outcome.later = causes or ["nothing"]
        right = next((one for one in incidents if one.cause == trouble.cause), None)
        outcome.onset_off = None if right is None else _part_at(right.since) - trouble.onset


def _ties(what: str) -> list[str]:
    """What an incident says it cannot be told apart from."""
    _, _, others = what.partition("told apart from ")
    return ["" if one == "all parts" else one for one in others.partition(". ")[0].split(", ")] if others else []


def _part_at(at: int) -> int:
    from causes_streams import CYCLE_MS, START

    return (Instant(at) - START) // CYCLE_MS


def measure(scenario: Scenario, lines: int, rng: np.random.Generator) -> list[Outcome]:
    """So many fresh lines with this trouble."""
    out = []
    for _ in range(lines):
        gate = trained(draw(HISTORY_PARTS, scenario.lot_sd, rng))
        until = scenario.trouble.onset + scenario.parts
        stream = draw(until, scenario.lot_sd, rng, scenario.trouble, FIRST_LOT)
        out.append(follow(stream, scenario.trouble, gate, until))
        since = scenario.trouble.onset
        carrying = stream.carrying(scenario.trouble.cause)[since : since + WITHIN - LABEL_DELAY_PARTS]
        out[-1].exposed = int(carrying.sum())
    return out


@dataclass
class Quiet:
    """Lines in control: parts watched, incidents opened, CPU of the watch in microseconds a part."""

    parts: int = 0
    opened: list[str] = field(default_factory=list)
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Usual:
    """Lines on which nothing is wrong, `lines` of NULL_PARTS: spread of lots, wandering of the whole line, tools a
    station."""

    label: str
    lines: int
    lot_sd: float = 0.25
    wander_sd: float = 0.0
    tools: int = TOOLS


USUAL = (
    Usual("lots with sd .25, as the lines above", 6),
    Usual("lots with sd .5", 6, lot_sd=0.5),
    Usual("the whole line wanders too, sd .2", 4, wander_sd=0.2),
    Usual("15 tools a station: 200 levels", 1, tools=15),
)


def in_control(usual: Usual, lines: int, rng: np.random.Generator) -> Quiet:
    """Fresh lines on which nothing is wrong."""
    quiet = Quiet()
    how = {"wander_sd": usual.wander_sd, "tools": usual.tools}
    for _ in range(lines):
        gate = trained(draw(HISTORY_PARTS, usual.lot_sd, rng, **how))
        watch = ScanWatch(make_plan(forbidden_causes=()))
        open_before: set[str] = set()
        for event in events(draw(NULL_PARTS, usual.lot_sd, rng, None, FIRST_LOT, **how), gate):
            began = time.process_time()
            if isinstance(event, Defect):
                watch.label(PartLabel.of(event, int(event.recorded_at)))
            else:
                watch.judged(event)
                quiet.parts += 1
                if quiet.parts % 16 == 0:  # as a worker's cycle does
                    watch.changes()
            quiet.cpu_s += time.process_time() - began
            if not isinstance(event, Defect) and quiet.parts % LOOK_PARTS == 0:
                named = {one.cause for one in watch.incidents()}
                quiet.opened += sorted(one.what for one in watch.incidents() if one.cause not in open_before)
                open_before = named
    return quiet


def share(hits: Iterable[bool]) -> str:
    """A share with its exact 95 % interval (Clopper-Pearson)."""
    seen = list(hits)
    n, k = len(seen), sum(seen)
    low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
    high = beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    return f"{k / n:.2f} ({low:.2f} to {high:.2f})"


def rate(count: int, parts: int) -> str:
    """Incidents per 100 000 parts with the exact 95 % interval of a Poisson count."""
    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    high = chi2.ppf(0.975, 2 * count + 2) / 2
    scale = 100_000 / parts
    return f"{count * scale:.2f} ({low * scale:.2f} to {high * scale:.2f})"


def told(scenario: Scenario, outcomes: Sequence[Outcome]) -> list[str]:
    """One row of the table of causes."""
    cause, delays = scenario.trouble.cause, [one.delay for one in outcomes if one.delay is not None]
    offs = [abs(one.onset_off) for one in outcomes if one.onset_off is not None]
    return [
        scenario.label,
        f"{int(np.median([one.exposed for one in outcomes]))} ({min(one.exposed for one in outcomes)})",
        f"{len(delays)} of {len(outcomes)}",
        f"{int(np.median(delays))} ({max(delays)})" if delays else "–",
        share(one.named[:1] == [cause] for one in outcomes),
        share(one.among for one in outcomes),
        share(one.later[:1] == [cause] for one in outcomes),
        share(one.timely for one in outcomes),
        f"{int(np.median(offs))}" if offs else "–",
    ]


HEAD = [
    "trouble",
    f"labelled within {WITHIN}, median (least)",
    "seen",
    "delay, median (longest)",
    "top-1 at once",
    "top-3 at once",
    f"top-1 {LATER} parts later",
    f"top-1 within {WITHIN} parts",
    "onset off by",
]


def tables(quick: bool, only: Sequence[str], seed: int, progress: Callable[[str], None]) -> tuple[str, str]:
    """The table of causes, and that of false incidents and of CPU. `only`: labels of rows, none for all."""
    rng = np.random.default_rng(seed)
    lines = 2 if quick else LINES
    rows = []
    for scenario in (one for one in SCENARIOS if not only or one.label in only):
        rows.append(told(scenario, measure(scenario, lines, rng)))
        progress(" | ".join(rows[-1]))
    quiet_rows = []
    for usual in (one for one in USUAL if not only or one.label in only):
        quiet = in_control(usual, 1 if quick else usual.lines, rng)
        cpu = f"{1e6 * quiet.cpu_s / quiet.parts:.0f}"
        quiet_rows.append([usual.label, f"{quiet.parts}", f"{len(quiet.opened)}",
                           rate(len(quiet.opened), quiet.parts), cpu])  # fmt: skip
        progress(" | ".join(quiet_rows[-1]) + f"  {quiet.opened}")
    false = markdown_table(
        ["line in control", "parts", "false incidents", "per 100 000 parts", "CPU µs a part"], quiet_rows
    )
    return markdown_table(HEAD, rows), false


#: Tables with a module of their own, whose `table()` makes them.
NEIGHBOURS = {"parts": "results_causes_parts", "drift": "results_causes_drift"}
MARKERS = {"incidents": "results-causes", "parts": "results-causes-parts", "drift": "results-causes-drift"}


def incidents(arguments: argparse.Namespace) -> str:
    """The tables of incidents, with the seed that makes them again."""
    causes, false = tables(arguments.quick, arguments.only, arguments.seed,
                           lambda line: print(line, file=sys.stderr, flush=True))  # fmt: skip
    note = f"Seed {arguments.seed}; {'quick' if arguments.quick else 'all'} lines; measured on {machine()}."
    return f"{causes}\n\n{false}\n\n{note}"


def asked() -> argparse.Namespace:
    """What is on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    labels = [one.label for one in (*SCENARIOS, *USUAL)]
    parser.add_argument("--only", action="append", default=[], choices=labels, metavar="ROW")
    parser.add_argument("--table", action="append", default=[], choices=list(MARKERS))
    return parser.parse_args()


def main() -> int:
    """Measure, print, write. Returns the exit status."""
    arguments = asked()
    some = bool(arguments.quick or arguments.only)
    for name in arguments.table or (["incidents"] if some else MARKERS):
        module = NEIGHBOURS.get(name)
        table = str(importlib.import_module(module).table()) if module else incidents(arguments)
        print(table, flush=True)
        if some:
            continue
        if status := rewritten(MARKERS[name], table):
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
