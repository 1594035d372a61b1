"""Memory over many parts: the shared `mill` recording through the live fold again and again, under new part ids.

No images (that set has none). Prints JSON: resident memory in MiB after every tenth of the parts, and the state kept.
`python tests/bench/soak.py [--parts 100000]`; QCFUSE_SHARED_DATA names the folder of the shared data.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from fusion.judge import Judge
from fusion.partition import Partition
from ingest.folder.replay_folder import Arrival, Folder
from ingest.messages import Defect, Frame, Instant
from ingest.publish import moved
from ingest.settings import Settings

CUT = "2026-01-05T22:40:00.000Z"


def endless(folder: Folder) -> Iterator[Arrival]:
    """The recording after the cut, over and over; each round later and with part ids of its own."""
    arrivals = [a for a in folder.arrivals(since=Instant.parse(CUT)) if not isinstance(a.message, Defect | Frame)]
    span = arrivals[-1].received_at - arrivals[0].received_at + 10_000
    turn = 0
    while True:
        for arrival in arrivals:
            message = moved(arrival.message, turn * span)
            assert not isinstance(message, Frame | Defect)
            if message.part_id is not None:
                renamed = f"{message.part_id}-{turn}"
                message = _renamed(message, renamed)
            yield dataclasses.replace(arrival, message=message, received_at=Instant(arrival.received_at + turn * span))
        turn += 1


def _renamed(message: object, part_id: str) -> object:
    import msgspec

    if dataclasses.is_dataclass(message) and not isinstance(message, type):
        return dataclasses.replace(message, part_id=part_id)
    return msgspec.structs.replace(message, part_id=part_id)  # type: ignore[type-var]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=100_000)
    parts = parser.parse_args().parts
    shared = Path(os.environ.get("QCFUSE_SHARED_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
    if not (shared / "mill").is_dir():
        print(f"{shared / 'mill'}: no such folder; set QCFUSE_SHARED_DATA", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=home)
        folder = Folder(shared / "mill", settings)
        # in a process of its own: what training leaves free in the heap would hide growth
        train = [sys.executable, "-m", "api.cli", "train", str(shared / "mill"), "--until", CUT]
        subprocess.run(train, check=True, env={**os.environ, "QCFUSE_HOME": home}, capture_output=True)
        judge = Judge.open(Path(settings.shelf), folder.plan)
        partition = Partition(folder.plan, settings, judge, live=True, mode_of=lambda _: "auto", now=lambda at: at)
        print(json.dumps(soak(partition, folder, parts), indent=1))
    return 0


def soak(partition: Partition, folder: Folder, parts: int) -> dict[str, object]:
    """Push parts through, note the resident memory; state changes are taken out every 100 records, as a worker does."""
    process, memory, verdicts, written = psutil.Process(), {}, 0, 0
    began = time.perf_counter()
    for number, arrival in enumerate(endless(folder)):
        verdicts += len(partition.take(arrival.message, arrival.received_at))
        if number % 100 == 0:
            written += sum(len(body or b"") for _, body in partition.changes())
        if verdicts and verdicts % (parts // 10) == 0:
            memory[verdicts] = round(process.memory_info().rss / 2**20, 1)
        if verdicts >= parts:
            break
    return {
        "parts": verdicts,
        "seconds": round(time.perf_counter() - began, 1),
        "resident_mib": memory,
        "parts_remembered": len(partition.join.memory.parts),
        "state_written_mib": round(written / 2**20, 1),
        "counts": dict(partition.join.counts),
    }


if __name__ == "__main__":
    sys.exit(main())
