"""`qcfuse bench`: parts per second, latency, CPU per part and stage, memory, and ratio to the floor, on this machine.

A past is simulated and trained on, then another shift runs through the real roles on a real log. The *floor*
is the bare cost of decode + vision net + fused model on the same records in the same run; the *ratio* is the CPU of all
roles against it.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import psutil

from api.bench.floor import Floor, measure_floor
from api.bench.load import FULL, Load, closed_loop, paced
from api.bench.stages import Course, courses, mean_ms, slowest
from api.up import Supervisor, prepare, wait_until_served
from fusion.train import train_folder
from ingest.folder.replay_folder import Arrival, Folder
from ingest.log.opening import open_log
from ingest.messages import Visit
from ingest.role import wall_ms
from ingest.settings import Settings
from ingest.simulate import write_plant

PAST_PARTS = 900  # fewer hold too few defects to learn from
SEEDS = (1, 2)
WARM_PARTS = 20  # pushed through first: imports, sessions and pages are not the road's running cost


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """Everything measured. CPU in ms per part, latency in ms from the newest evidence to the committed verdict;
    stages: mean ms of verdicts with frames, of all and of the slowest (`stages.py`)."""

    machine: str
    cores: int
    log: str
    parts: int
    frames_per_part: float
    parts_per_s: float
    latency_full_p50_ms: float
    latency_full_p99_ms: float
    half_parts_per_s: float
    latency_half_p50_ms: float
    latency_half_p99_ms: float
    half_stages_ms: dict[str, float]
    half_slowest_stages_ms: dict[str, float]
    cpu_ms_per_part: dict[str, float]
    floor_ms_per_part: dict[str, float]
    ratio_to_floor: float
    memory_mib: dict[str, float]


def run(settings: Settings, parts: int, table: bool, progress: Callable[[str], None]) -> str:
    """Measure and give the report, JSON or a table. Raises QcfuseError when the road does not finish."""
    with tempfile.TemporaryDirectory(prefix="qcfuse-bench-") as scratch:
        measured = _measure(_scratch_settings(settings, Path(scratch)), parts, progress)
    plain = msgspec.to_builtins(measured)
    if not table:
        return msgspec.json.format(msgspec.json.encode(measured), indent=2).decode()
    return "\n".join(f"{name:24s} {_shown(value)}" for name, value in plain.items())


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{name} {_shown(part)}" for name, part in value.items())
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _scratch_settings(settings: Settings, scratch: Path) -> Settings:
    """Own home, own topics: a bench neither sees nor leaves anything."""
    port = settings.port + 1000
    log = settings.log if settings.log.startswith("kafka:") else f"embedded:{scratch / 'log'}"
    return dataclasses.replace(
        settings,
        home=str(scratch), plan=str(scratch / "plan.yaml"), log=log, topic_prefix=f"bench{os.getpid()}.",
        store=f"sqlite:///{scratch / 'store.db'}", blobs=str(scratch / "blobs"), shelf=str(scratch / "shelf"),
        port=port,
    )  # fmt: skip


def _measure(settings: Settings, parts: int, progress: Callable[[str], None]) -> Bench:
    home = Path(settings.home)
    progress(f"simulating and training ({PAST_PARTS} parts)")
    write_plant(home / "past", PAST_PARTS, SEEDS[0])
    train_folder(home / "past", Path(settings.shelf), None, None, settings, lambda _: None)
    progress(f"simulating {2 * parts + WARM_PARTS} parts to measure with")
    write_plant(home / "shift", 2 * parts + WARM_PARTS, SEEDS[1])
    Path(settings.plan).write_bytes((home / "shift" / "plan.yaml").read_bytes())
    folder = Folder(home / "shift", settings)
    prepare(settings)
    supervisor = Supervisor(settings, roles=("api", "vision", "fusion"), say=progress)
    log = open_log(settings)
    try:
        supervisor.start()
        wait_until_served(supervisor)
        blocks = [list(block) for _, block in folder.blocks()]
        warm, full, half = _split(blocks, (WARM_PARTS, parts, parts))
        closed_loop(log, settings, warm, progress)
        before = _cpu(supervisor)
        at_full = closed_loop(log, settings, full, progress, FULL)
        cpu = {role: (seconds - before[role]) * 1000.0 / parts for role, seconds in _cpu(supervisor).items()}
        progress("the floor, on the same records")
        floor = measure_floor(full, Path(settings.shelf), settings, folder.plan)
        began_ms = wall_ms()
        at_half = paced(log, settings, half, at_full.parts_per_s / 2, progress)
        at_half_courses = courses(log, settings, began_ms)
        memory = {
            c.role: psutil.Process(c.running.pid).memory_info().rss / 2**20 for c in supervisor.children if c.running
        }
    finally:
        supervisor.stop()
        log.close()
    return _report(settings, parts, at_full, at_half, at_half_courses, cpu, floor, memory)


def _split(blocks: list[list[Arrival]], parts: tuple[int, ...]) -> list[list[list[Arrival]]]:
    """Consecutive runs of blocks with so many parts each; defect records stay where they fall."""
    runs: list[list[list[Arrival]]] = []
    place = 0
    for count in parts:
        run: list[list[Arrival]] = []
        held = 0
        while held < count and place < len(blocks):
            run.append(blocks[place])
            held += any(isinstance(arrival.message, Visit) for arrival in blocks[place])
            place += 1
        runs.append(run)
    return runs


def _cpu(supervisor: Supervisor) -> dict[str, float]:
    """CPU seconds (user and system) each role has used."""
    used = {}
    for child in supervisor.children:
        assert child.running is not None
        times = psutil.Process(child.running.pid).cpu_times()
        used[child.role] = times.user + times.system
    return used


def _report(
    settings: Settings,
    parts: int,
    full: Load,
    half: Load,
    half_courses: list[Course],
    cpu: dict[str, float],
    floor: Floor,
    memory: dict[str, float],
) -> Bench:
    bare = {"decode": floor.decode_ms, "eye": floor.eye_ms, "model": floor.model_ms}
    return Bench(
        machine=platform.processor() or platform.machine(), cores=os.cpu_count() or 1,
        log="kafka" if settings.log.startswith("kafka:") else "embedded", parts=parts,
        frames_per_part=floor.frames / parts, parts_per_s=full.parts_per_s,
        latency_full_p50_ms=float(np.percentile(full.latencies_ms, 50)),
        latency_full_p99_ms=float(np.percentile(full.latencies_ms, 99)),
        half_parts_per_s=half.parts_per_s, latency_half_p50_ms=float(np.percentile(half.latencies_ms, 50)),
        latency_half_p99_ms=float(np.percentile(half.latencies_ms, 99)), half_stages_ms=mean_ms(half_courses),
        half_slowest_stages_ms=mean_ms(slowest(half_courses)), cpu_ms_per_part=cpu, floor_ms_per_part=bare,
        ratio_to_floor=sum(cpu.values()) / sum(bare.values()), memory_mib=memory,
    )  # fmt: skip
