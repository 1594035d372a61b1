"""A parallel run, and the plant that every test of a whole road runs on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Rooms whose fixtures of a session (a browser; a trained plant) take longer than their tests: one process each.
TOGETHER = {"browser": "browser", "flow": "road", "broker": "road"}
#: In a parallel run what takes longest begins first, and small files fill up the end.
LONGEST_FIRST = ("browser", "broker", "flow", "vision", "fusion", "ingest", "api")
PAST_PARTS = 500


class ByRoom(LoadScopeScheduling):
    """A file stays in one process, rooms of `TOGETHER` too."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return TOGETHER.get(path.split("/")[1], path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: the broker's and the browser's tests wait longer than they compute."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByRoom:
    """How a parallel run shares out the tests."""
    config.option.loadscopereorder = False  # by number of tests, which says nothing of how long they take
    return ByRoom(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a parallel run only: alone, the tests run as they lie."""
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    room = item.nodeid.split("/")[1]
    return LONGEST_FIRST.index(room) if room in LONGEST_FIRST else len(LONGEST_FIRST)


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded past of a simulated plant."""
    from ingest.simulate import write_plant

    folder = tmp_path_factory.mktemp("plant") / "past"
    write_plant(folder, PAST_PARTS, seed=11)
    return folder


@pytest.fixture(scope="session")
def shelf(past: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models trained on that past."""
    from fusion.train import train_folder
    from ingest.settings import Settings

    home = tmp_path_factory.mktemp("trained")
    said: list[str] = []
    train_folder(past, home / "shelf", None, None, Settings(home=str(home)), said.append)
    assert (home / "shelf" / "fusion" / "live").is_file(), said
    return home / "shelf"
