"""Measures a log on this machine: rates of append, poll and commit, wake latency, CPU when idle. Prints JSON.

python tests/bench/bench_log.py                                # the embedded log in a temporary folder
python tests/bench/bench_log.py --log kafka://127.0.0.1:PORT   # Apache Kafka (deploy/kafka/run.py start ...)
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from ingest.log.opening import open_log  # noqa: E402
from ingest.log.seam import Log, Member, Outgoing  # noqa: E402
from ingest.settings import Settings  # noqa: E402
from ingest.topics import create_topics  # noqa: E402

SMALL = bytes(300)  # a visit
FRAME = os.urandom(54_000)  # a 640x480 grey JPEG
VERDICT = bytes(900)
LINES = [b"L%d" % n for n in range(8)]
CYCLE_RECORDS = 20


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {f"p{p}_ms": round(1000 * ordered[min(len(ordered) - 1, len(ordered) * p // 100)], 2) for p in (50, 95, 99)}


def rate(count: int, work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return round(count / (time.perf_counter() - started), 1)


def measure_appends(log: Log, settings: Settings, seconds_each: float) -> dict[str, object]:
    producer = log.producer()
    topic = settings.topic("production")
    waits = []
    deadline = time.perf_counter() + seconds_each
    while time.perf_counter() < deadline:
        started = time.perf_counter()
        producer.append(Outgoing(topic, LINES[len(waits) % 8], SMALL))
        producer.flush()
        waits.append(time.perf_counter() - started)

    def append_many() -> None:
        for n in range(20_000):
            producer.append(Outgoing(topic, LINES[n % 8], SMALL))
        producer.flush()

    def append_frames() -> None:
        for n in range(1_000):
            producer.append(Outgoing(settings.topic("frames"), b"P%d" % n, FRAME))
        producer.flush()

    found: dict[str, object] = {
        "append_singly_per_s": round(len(waits) / sum(waits), 1),
        "append_singly": percentiles_ms(waits),
        "append_batched_per_s": rate(20_000, append_many),
        "append_frames_54kB_per_s": rate(1_000, append_frames),
    }
    producer.close()
    return found


def read_all(member: Member, count: int) -> None:
    while count > 0:
        count -= len(member.poll(1.0))


def measure_member(log: Log, settings: Settings, records: int, seconds_each: float) -> dict[str, object]:
    started = time.perf_counter()
    member = log.member(f"bench-{uuid.uuid4().hex[:6]}", [settings.topic("production"), settings.topic("sensors")])
    while len(member.lanes()) < settings.partitions:
        member.poll(0.05)
    takeover_s = time.perf_counter() - started
    polled = rate(records, lambda: read_all(member, records))
    lane = member.lanes()[0]
    verdicts = [Outgoing(settings.topic("verdicts"), b"L1", VERDICT, partition=0) for _ in range(CYCLE_RECORDS)]
    state = [Outgoing(settings.topic("state"), b"L1/%d" % n, VERDICT, partition=0) for n in range(CYCLE_RECORDS)]
    waits = []
    deadline = time.perf_counter() + seconds_each
    while time.perf_counter() < deadline:
        began = time.perf_counter()
        lane.commit(verdicts + state, {settings.topic("production"): len(waits)})
        waits.append(time.perf_counter() - began)
    began_cpu, began = time.process_time(), time.perf_counter()
    member.poll(3.0)
    idle = (time.process_time() - began_cpu) / (time.perf_counter() - began)
    member.close()
    return {
        "takeover_s": round(takeover_s, 2),
        "poll_per_s": polled,
        "commit_of_20_verdicts_20_states": percentiles_ms(waits),
        "commit_records_in_per_s": round(CYCLE_RECORDS * len(waits) / sum(waits), 1),
        "idle_member_cpu_share": round(idle, 4),
    }


def echo(settings: Settings, seconds: float) -> None:
    """Another process: a member that answers each frame with findings in a transaction."""
    log = open_log(settings)
    member = log.member("echo", [settings.topic("frames")])
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for record in member.poll(0.05):
            answer = Outgoing(settings.topic("findings"), b"L1", record.body)
            member.lanes()[record.partition].commit([answer], {record.topic: record.offset + 1})
    member.close()
    log.close()


def measure_wake(settings: Settings, log: Log, count: int = 100) -> dict[str, float]:
    """Record appended here, seen and answered by a transaction there, seen here: one hop and a half of the road."""
    reader = log.reader([settings.topic("findings")], "end")
    worker = multiprocessing.get_context("spawn").Process(target=echo, args=(settings, count * 0.05 + 15))
    worker.start()
    producer = log.producer()
    waits: list[float] = []
    for n in range(count + 5):
        began = time.perf_counter()
        producer.append(Outgoing(settings.topic("frames"), b"P%d" % n, b"%d" % n))
        producer.flush()
        while not any(r.body == b"%d" % n for r in reader.poll(1.0)):
            pass
        waits.append(time.perf_counter() - began)
        time.sleep(0.02)
    producer.close()
    reader.close()
    worker.terminate()
    worker.join()
    return percentiles_ms(waits[5:])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--log", help="as QCFUSE_LOG; default: embedded, in a temporary folder")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each repeated measurement")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="qcfuse-bench-"))
    url = options.log or f"embedded:{home / 'log'}"
    settings = Settings(home=str(home), log=url, topic_prefix=f"bench{uuid.uuid4().hex[:6]}.")
    log = open_log(settings)
    create_topics(log, settings)
    wake = measure_wake(settings, log)
    appended = measure_appends(log, settings, options.seconds)
    reader = log.reader([settings.topic("production")], "beginning")
    count = sum(reader.ends().values())
    reader.close()
    result = {
        "log": url.partition(":")[0],
        **appended,
        **measure_member(log, settings, count, options.seconds),
        "append_answer_in_a_transaction_see": wake,
        "load_average": round(os.getloadavg()[0], 1),
    }
    log.close()
    shutil.rmtree(home)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
