"""Every state of the screens, brought about on a real plant: what is read there, and that it is fit to be read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

import pytest
from selenium import webdriver

from tests.browser.pictures_homes import PLANTS
from tests.browser.pictures_plant import Plant
from tests.browser.pictures_png import BYTES_MAX
from tests.browser.pictures_scene import Scene
from tests.browser.pictures_screens import SCREENS
from tests.browser.pictures_states import STATES
from tests.browser.test_accessibility import AXE, RULES

pytestmark = pytest.mark.browser

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
Open = Callable[[str], Plant]
ORDERED = sorted(STATES, key=lambda name: list(PLANTS).index(STATES[name].plant))  # one plant after the other


@pytest.fixture(scope="module")
def plant_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """The plant of a kind, at work until another kind is asked for."""
    with ExitStack() as opened:
        found: dict[str, Plant] = {}

        def open_plant(kind: str) -> Plant:
            if kind not in found:
                opened.close()
                found.clear()
                found[kind] = opened.enter_context(PLANTS[kind](tmp_path_factory.mktemp(kind), None))
            return found[kind]

        yield open_plant


@pytest.mark.parametrize("name", ORDERED)
def test_a_state_says_what_it_is_and_is_fit_to_be_read(browser: webdriver.Chrome, plant_of: Open, name: str) -> None:
    """`PICTURES_TO`: a folder where the picture of each is left."""
    state = STATES[name]
    scene = Scene(browser, plant_of(state.plant))
    scene.look(state.size, state.dark, state.language)
    scene.log_in(state.role)
    with state.arrive(scene):
        scene.until_read(*state.read)
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(wide) <= 0
        if folder := os.environ.get("PICTURES_TO"):
            scene.picture(Path(folder) / f"{name}.png")
        browser.execute_script(resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8"))
        assert browser.execute_async_script(AXE, RULES) == []


def test_every_picture_stands_in_the_document_and_is_small() -> None:
    shown = set(re.findall(r"\]\(pictures/([a-z-]+)\.png\)", (DEPLOY / "screens.md").read_text("utf-8")))
    assert shown == set(SCREENS | STATES)
    sizes = {path.stem: path.stat().st_size for path in (DEPLOY / "pictures").glob("*.png")}
    assert set(sizes) == shown
    assert max(sizes.values()) <= BYTES_MAX
