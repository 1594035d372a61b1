#!/usr/bin/env python3
"""How fast qcfuse is on this machine: `qcfuse bench` on each log there is here, and the README's table rewritten.

    python tests/bench/write_bench.py [--parts N] [--only embedded|kafka] [--print]

The embedded log is always measured. Apache Kafka is started for it on loopback (deploy/kafka) where Java and Maven are
installed, and said to be missing where they are not. `--print`: the README is left alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from written_table import machine, markdown_table, rewritten

ROOT = Path(__file__).resolve().parents[2]
KAFKA = ROOT / "deploy" / "kafka" / "run.py"

#: Key of `qcfuse bench` -> row of the table. A key that is not here stands in the table under its own name.
ROWS = {
    "parts": "parts measured",
    "frames_per_part": "frames a part",
    "parts_per_s": "parts/s, as many as it bears",
    "latency_full_p50_ms": "latency at full load, p50 ms",
    "latency_full_p99_ms": "latency at full load, p99 ms",
    "half_parts_per_s": "parts/s, half of that",
    "latency_half_p50_ms": "latency at half load, p50 ms",
    "latency_half_p99_ms": "latency at half load, p99 ms",
    "half_stages_ms": "of that by stage, mean ms",
    "half_slowest_stages_ms": "by stage in the slowest 2 %, mean ms",
    "cpu_ms_per_part": "CPU a part by role, ms",
    "floor_ms_per_part": "floor: bare CPU a part, ms",
    "ratio_to_floor": "ratio of all roles to the floor",
    "memory_mib": "memory by role, MiB",
}
LEFT_OUT = ("machine", "cores", "log")


class BenchFailed(Exception):
    """`qcfuse bench`, or the broker for it, did not come to an end."""


def bench(parts: int | None, log: str | None) -> dict[str, Any]:
    """The JSON of one `qcfuse bench`. Raises BenchFailed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("QCFUSE_")}
    if log is not None:
        environ["QCFUSE_LOG"] = log
    command = [sys.executable, "-m", "api.cli", "bench", *(["--parts", str(parts)] if parts else [])]
    ended = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        raise BenchFailed(f"qcfuse bench ended with status {ended.returncode}; what it said stands above")
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


@contextmanager
def local_kafka() -> Iterator[str]:
    """One broker on loopback; its URL for QCFUSE_LOG. Raises BenchFailed."""
    with tempfile.TemporaryDirectory(prefix="qcfuse-bench-kafka-") as folder:
        started = subprocess.run(
            [sys.executable, str(KAFKA), "start", "--folder", folder], stdout=subprocess.PIPE, text=True, check=False
        )
        if started.returncode:
            raise BenchFailed("deploy/kafka/run.py could not start a broker; what it said stands above")
        try:
            yield f"kafka://{started.stdout.split()[-1]}"
        finally:
            subprocess.run([sys.executable, str(KAFKA), "stop", "--folder", folder], check=False)


def shown(value: Any) -> str:
    """A figure, or the figures of several roles, in a cell."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(figure)}" for name, figure in value.items())
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
    return str(value)


def table(measured: dict[str, dict[str, Any]]) -> str:
    """One row a figure, one column a log."""
    keys = dict.fromkeys(key for told in measured.values() for key in told if key not in LEFT_OUT)
    rows = [[ROWS.get(key, key), *(shown(told.get(key, "–")) for told in measured.values())] for key in keys]
    return markdown_table(["", *measured], rows) + f"\n\nMeasured on {machine()}."


def measure(asked: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The figures of each log. Raises BenchFailed."""
    measured = {}
    if asked.only != "kafka":
        measured["embedded log"] = bench(asked.parts, None)
    if asked.only != "embedded":
        if shutil.which("java") and shutil.which("mvn"):
            with local_kafka() as log:
                measured["Apache Kafka"] = bench(asked.parts, log)
        else:
            print("Apache Kafka was not measured: Java or Maven is not installed here", file=sys.stderr)
    return measured


def main(arguments: list[str]) -> int:
    """Measure, print, rewrite. Returns the exit status."""
    parser = argparse.ArgumentParser(description="How fast qcfuse is on this machine.")
    parser.add_argument("--parts", type=int, help="parts to push through; default: that of qcfuse bench")
    parser.add_argument("--only", choices=("embedded", "kafka"), help="measure one log only")
    parser.add_argument("--print", action="store_true", dest="only_print", help="leave the README alone")
    asked = parser.parse_args(arguments)
    try:
        measured = measure(asked)
    except BenchFailed as error:
        print(error, file=sys.stderr)
        return 1
    if not measured:
        return 1
    print(table(measured))
    if not asked.only_print and asked.only is None:
        return rewritten("bench", table(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
