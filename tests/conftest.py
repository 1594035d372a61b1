"""Tests that share something costly (a trained plant, a broker, a browser) go to the same process of a parallel run."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("flow", "broker", "browser")  # rooms whose fixtures of a session take longer than their tests


class ByRoom(LoadScopeScheduling):
    """A file stays in one process, a room of `TOGETHER` too."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        room = path.split("/")[1]
        return room if room in TOGETHER else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByRoom:
    """How a parallel run shares out the tests."""
    return ByRoom(config, log)
