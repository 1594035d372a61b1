"""Workers for the contract tests of the logs, run as processes of their own so that they can be killed and stopped.

    python log_children.py ROLE LOG_URL PREFIX TOPICS...

They say what they do on stdout, a line each.
"""

from __future__ import annotations

import sys

from ingest.errors import Fenced
from ingest.log.opening import open_log
from ingest.log.seam import Lane, Log, Outgoing
from ingest.settings import Settings

SESSION_TIMEOUT_MS = 1500


def say(*words: object) -> None:
    print(*words, flush=True)


def count_up(log: Log, source: str, target: str) -> None:
    """For each record of `source` one of `target`, its offset moved in the same transaction; for ever."""
    member = log.member("counters", [source])
    while True:
        for record in member.poll(0.5, records_max=7):
            lane = member.lanes()[record.partition]
            copy = Outgoing(target, record.key, record.body, partition=record.partition)
            lane.commit([copy], {source: record.offset + 1})
            say("committed", record.partition, record.offset)


def write_late(log: Log, source: str, target: str) -> None:
    """Take partition 0 over, wait for a line on stdin (stopped meanwhile by the test), then try to write."""
    member = log.member("counters", [source])
    lane: Lane | None = None
    while lane is None:
        member.poll(0.2)
        lane = member.lanes().get(0)
    lane.commit([Outgoing(target, b"zombie", b"first", partition=0)], {source: 1})
    say("owner")
    sys.stdin.readline()
    try:
        lane.commit([Outgoing(target, b"zombie", b"late", partition=0)], {source: 2})
        say("written")
    except Fenced:
        say("fenced")


def main() -> None:
    role, url, prefix, *topics = sys.argv[1:]
    log = open_log(Settings(log=url, topic_prefix=prefix, session_timeout_ms=SESSION_TIMEOUT_MS, log_wait_s=20))
    {"count_up": count_up, "write_late": write_late}[role](log, *topics)


if __name__ == "__main__":
    main()
