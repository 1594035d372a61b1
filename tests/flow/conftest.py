"""A shift of the simulated plant, and a road to send it through; its past and its models: `tests/conftest.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest.simulate import write_plant
from tests.flow.road import Road

STREAM_PARTS = 120


@pytest.fixture(scope="session")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plant") / "shift"
    write_plant(folder, STREAM_PARTS, seed=12)
    return folder


@pytest.fixture
def build_road(shelf: Path, past: Path, tmp_path: Path) -> Iterator[Callable[..., Road]]:
    roads: list[Road] = []

    def build(name: str = "home", **settings: str | int) -> Road:
        road = Road.build(tmp_path / name, shelf, past / "plan.yaml", **settings)
        roads.append(road)
        return road

    yield build
    for road in roads:
        road.close()
