"""A simulated plant and the models trained on its past, made once for all tests that need a whole road."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest.simulate import write_plant
from tests.flow.road import Road

PAST_PARTS = 500
STREAM_PARTS = 120


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plant") / "past"
    write_plant(folder, PAST_PARTS, seed=11)
    return folder


@pytest.fixture(scope="session")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plant") / "shift"
    write_plant(folder, STREAM_PARTS, seed=12)
    return folder


@pytest.fixture(scope="session")
def shelf(past: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fusion.train import train_folder
    from ingest.settings import Settings

    home = tmp_path_factory.mktemp("trained")
    said: list[str] = []
    train_folder(past, home / "shelf", None, None, Settings(home=str(home)), said.append)
    assert (home / "shelf" / "fusion" / "live").is_file(), said
    return home / "shelf"


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
