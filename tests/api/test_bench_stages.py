"""Where a verdict's time went: the bench reads it from the log, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bench.stages import SLOWEST_SHARE, Course, courses, mean_ms, slowest
from ingest.log.opening import open_log
from ingest.log.seam import Log
from ingest.messages import Instant
from ingest.settings import Settings
from ingest.topics import create_topics, tail
from tests.api.factory import make_findings, make_verdict, now, publish, settings_at

some = st.lists(st.builds(Course, *(st.floats(0, 1000),) * 3), min_size=1, max_size=300)


class Bench(NamedTuple):
    log: Log
    settings: Settings


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    settings = settings_at(tmp_path)
    log = open_log(settings)
    create_topics(log, settings)
    yield Bench(log, settings)
    log.close()


def logged(bench: Bench, topic: str) -> dict[str, int]:
    """part -> when its record was on the log."""
    found = {}
    for record in tail(bench.log, bench.settings, topic):
        body = (record.body or b"").decode()
        found[body.split('"part_id":"')[1].split('"')[0]] = record.logged_at_ms
    return found


def test_the_stages_follow_each_other_from_the_eyes_beginning_to_the_log(bench: Bench) -> None:
    began = now()
    publish(bench.log, bench.settings, findings=[make_findings("P1", inspected_at=began)])
    time.sleep(0.01)
    decided = now()
    publish(bench.log, bench.settings, verdicts=[make_verdict("P1", decided_at=decided)])
    (course,) = courses(bench.log, bench.settings, 0)
    seen, told = logged(bench, "findings")["P1"], logged(bench, "verdicts")["P1"]
    assert course == Course(seen - began, decided - seen, told - decided)
    assert course.whole == told - began


def test_corrections_parts_without_frames_and_verdicts_of_before_do_not_count(bench: Bench) -> None:
    publish(bench.log, bench.settings, findings=[make_findings(part, inspected_at=now()) for part in ("P1", "P2")])
    time.sleep(0.01)
    publish(bench.log, bench.settings, verdicts=[make_verdict("P1", decided_at=now())])
    time.sleep(0.01)
    since = int(now())
    corrected, bare = make_verdict("P1", decided_at=now(), revision=2), make_verdict("P3", decided_at=now())
    publish(bench.log, bench.settings, verdicts=[corrected, bare, make_verdict("P2", decided_at=now())])
    assert len(courses(bench.log, bench.settings, since)) == 1
    assert len(courses(bench.log, bench.settings, 0)) == 2


def test_findings_that_came_after_the_decision_are_not_what_it_rests_on(bench: Bench) -> None:
    early = Instant(now() - 60_000)
    publish(bench.log, bench.settings, findings=[make_findings("P1", inspected_at=now())])
    publish(bench.log, bench.settings, verdicts=[make_verdict("P1", decided_at=early)])
    assert courses(bench.log, bench.settings, 0) == []


@given(some)
def test_the_slowest_are_a_fiftieth_and_no_other_is_slower(every: list[Course]) -> None:
    chosen = slowest(every)
    assert len(chosen) == max(1, round(SLOWEST_SHARE * len(every)))
    assert sorted((one.whole for one in every), reverse=True)[: len(chosen)] == [one.whole for one in chosen]


@given(some)
def test_the_means_of_the_stages_add_up_to_the_mean_of_the_whole(every: list[Course]) -> None:
    means = mean_ms(every)
    assert list(means) == ["look", "judge", "commit"]
    assert sum(means.values()) == pytest.approx(sum(one.whole for one in every) / len(every))


def test_of_nothing_there_are_no_means() -> None:
    assert mean_ms(slowest([])) == {}
