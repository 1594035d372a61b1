"""Tests that share something costly (a trained plant, a broker, a browser) go to the same process of a parallel run."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TOGETHER = ("flow", "broker", "browser")  # rooms whose fixtures of a session take longer than their tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One group a room of `TOGETHER`, else one a file."""
    for item in items:
        inside = item.path.relative_to(TESTS)
        group = inside.parts[0] if inside.parts[0] in TOGETHER else str(inside)
        item.add_marker(pytest.mark.xdist_group(group))
