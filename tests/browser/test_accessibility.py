"""WCAG 2.2 AA by axe-core on every screen, by day and by night, on a desk and on a tablet; nothing wider than it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from api.people import add_person
from api.tokens import issue_token
from tests.api.conftest import Live, serve, until
from tests.api.factory import keep_evidence, make_findings, make_verdict, make_visit, now, publish, settings_at

pytestmark = pytest.mark.browser

SCREENS = ("/", "/parts/A1", "/parts/none", "/batches", "/exposed?cause=tool_id=T7", "/people", "/account", "/login")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
AXE = """
const told = arguments[arguments.length - 1];
axe.run(document, {runOnly: arguments[0]}).then((found) => told(found.violations.map((one) =>
  one.id + ": " + one.nodes.map((node) => node.html.slice(0, 120)).join(" | "))));
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A part with everything a part may have, an incident, people."""
    with serve(settings_at(tmp_path_factory.mktemp("axe") / "home")) as served:
        frame_ref, heatmap_ref, evidence_ref = keep_evidence(served.settings, "A1")
        publish(
            served.log,
            served.settings,
            production=[make_visit("A1")],
            findings=[make_findings("A1", frame_ref=frame_ref, heatmap_ref=heatmap_ref)],
            verdicts=[make_verdict("A1", evidence_ref=evidence_ref), make_verdict("A2", decision="cannot_tell")],
        )
        served.collected(2)
        add_person(served.settings, "ina", "inspector", by="test")
        told = {
            "line_id": "L1", "incident": "excess", "camera_id": "", "cause": "tool_id=T7", "parts": ["A1"],
            "since": "2026-01-01T00:00:00.000Z", "parts_count": 2, "what": "Parts with tool_id=T7: 9 defects.",
        }  # fmt: skip
        beat = {"role": "fusion", "pid": 1, "at": now().isoformat(), "state": {"incidents": [told]}}
        run = Path(served.settings.home) / "run"
        run.mkdir(exist_ok=True)
        (run / "fusion-1.json").write_text(json.dumps(beat))
        yield served


@pytest.fixture(scope="module")
def opened(browser: webdriver.Chrome, live: Live) -> webdriver.Chrome:
    browser.get(f"{live.base}/?token={issue_token(live.settings, 'anna', 'admin')}")
    return browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_nothing(opened: webdriver.Chrome, live: Live, screen: str, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    opened.get(f"{live.base}{screen}")
    if screen == "/":
        until(lambda: opened.find_elements(By.CSS_SELECTOR, ".row, .incident"), "the queue")
    source = resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
    opened.execute_script(source)
    assert opened.execute_async_script(AXE, RULES) == []


@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("screen", SCREENS)
def test_no_screen_is_wider_than_its_window(opened: webdriver.Chrome, live: Live, screen: str, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        opened.get(f"{live.base}{screen}")
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert opened.execute_script(wide) <= 0
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("screen", SCREENS)
def test_a_page_without_its_pictures_is_small(opened: webdriver.Chrome, live: Live, screen: str) -> None:
    opened.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
    opened.get(f"{live.base}{screen}")
    sizes = """return performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
        .filter((one) => !['img', 'fetch', 'other'].includes(one.initiatorType))
        .reduce((sum, one) => sum + one.decodedBodySize, 0)"""
    assert 0 < opened.execute_script(sizes) < 300_000
