"""A role's life between two beats: what stays is walked through no more by the collector, and still freed one day."""

from __future__ import annotations

import gc
import json
import signal
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.role import BEAT_S, SWEEP_S, Role


class Ring:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def role(tmp_path: Path) -> Iterator[Role]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with Role("fusion", str(tmp_path)) as role:
        yield role
    gc.unfreeze()
    for number, handler in before.items():
        signal.signal(number, handler)


def beat(role: Role, later_s: float = BEAT_S) -> None:
    """A beat, `later_s` after the one before."""
    role._beaten -= later_s
    role._swept -= later_s
    assert role.beat(lambda: {"seen": 1})


def test_what_outlived_a_beat_is_out_of_the_collectors_way_and_freed_within_the_hour(role: Role) -> None:
    ring = Ring()
    watched = weakref.ref(ring)
    beat(role)
    del ring
    gc.collect()
    assert watched() is not None, "it is set apart"
    beat(role, SWEEP_S)
    assert watched() is None, "once an hour everything is looked through"


def test_what_did_not_outlive_a_beat_is_freed_at_the_next(role: Role) -> None:
    beat(role)
    watched = weakref.ref(Ring())
    beat(role)
    assert watched() is None


def test_a_beat_says_what_it_is_told_and_the_end_takes_it_away(role: Role, tmp_path: Path) -> None:
    beat(role)
    [path] = (tmp_path / "run").glob("fusion-*.json")
    assert json.loads(path.read_bytes())["state"] == {"seen": 1}
    assert not role.beat(lambda: {"seen": 2}), "once a second"
    role.__exit__()
    assert not path.exists()
