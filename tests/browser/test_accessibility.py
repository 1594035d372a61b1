"""WCAG 2.2 AA by axe-core on every screen, by day and by night, on a desk and on a tablet; nothing wider than it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
import uvicorn
from selenium import webdriver
from selenium.webdriver.common.by import By

from api.access.people import add_person
from api.access.tokens import issue_token
from api.app import build_app
from api.http.errors import ApiError
from api.store.database import StoreUnavailable
from tests.api.conftest import Live, free_port, serve, until
from tests.api.factory import keep_evidence, make_findings, make_verdict, make_visit, now, publish, settings_at

pytestmark = pytest.mark.browser

SCREENS = (
    *(
        "/",
        "/parts/A1",
        "/parts/none",
        "/nothing",
        "/batches",
        "/plant",
        "/exposed?cause=tool_id=T7",
        "/exposed?cause=zz",
    ),
    *("/audit", "/audit?by=nobody", "/quality", "/rules", "/people", "/account", "/login"),
    "/api/batches/B77/report?format=html",
)
#: Pages that stand alone, as a service in trouble gives them.
TROUBLES = ("/gone", "/broken", "/away", "/full")
#: (scheme, language)
LOOKS = [("light", "en"), ("dark", "en"), ("light", "de")]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
AXE = """
const told = arguments[arguments.length - 1];
axe.run(document, {runOnly: arguments[0]}).then((found) => told(found.violations.map((one) =>
  one.id + ": " + one.nodes.map((node) => node.html.slice(0, 120)).join(" | "))), (error) => told([String(error)]));
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


def look_at(browser: webdriver.Chrome, address: str, scheme: str, language: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"Accept-Language": language}})
    browser.get(address)


def found_by_axe(browser: webdriver.Chrome) -> object:
    browser.execute_script(resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8"))
    return browser.execute_async_script(AXE, RULES)


@pytest.mark.parametrize(("scheme", "language"), LOOKS)
@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_nothing(opened: webdriver.Chrome, live: Live, screen: str, scheme: str, language: str) -> None:
    look_at(opened, f"{live.base}{screen}", scheme, language)
    if screen == "/":
        until(lambda: opened.find_elements(By.CSS_SELECTOR, ".row, .incident"), "the queue")
    assert opened.find_element(By.TAG_NAME, "html").get_attribute("lang") == language
    assert found_by_axe(opened) == []


@pytest.fixture(scope="module")
def troubled(live: Live) -> Iterator[str]:
    """The same service with addresses at which it is in trouble."""
    app = build_app(live.service)
    app.user_middleware.clear()
    errors = {
        "gone": ApiError(410, "the frame is gone"),
        "broken": ZeroDivisionError(),
        "away": StoreUnavailable("away"),
        "full": ApiError(429, "too many requests"),
    }

    @app.get("/{name}")
    def raise_it(name: str) -> None:
        raise errors[name]

    app.router.routes.insert(0, app.router.routes.pop())  # before the screens
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, "the server to start")
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize(("scheme", "language"), LOOKS)
@pytest.mark.parametrize("screen", TROUBLES)
def test_axe_finds_nothing_where_the_service_is_in_trouble(
    opened: webdriver.Chrome, troubled: str, screen: str, scheme: str, language: str
) -> None:
    look_at(opened, f"{troubled}{screen}", scheme, language)
    assert opened.find_elements(By.CSS_SELECTOR, ".wrong h1")
    assert found_by_axe(opened) == []


def test_axe_finds_nothing_in_what_an_inspector_may_not_see(browser: webdriver.Chrome, live: Live) -> None:
    browser.get(f"{live.base}/?token={issue_token(live.settings, 'carl', 'inspector')}")
    try:
        look_at(browser, f"{live.base}/people", "light", "en")
        assert "This is not open to you" in browser.find_element(By.TAG_NAME, "h1").text
        assert found_by_axe(browser) == []
    finally:
        browser.get(f"{live.base}/?token={issue_token(live.settings, 'anna', 'admin')}")


#: What stands out at the right, where the page is wider than its window.
WIDE = """
const page = document.documentElement, right = page.clientWidth;
if (page.scrollWidth <= right) return [];
const clipped = (one) => one && (getComputedStyle(one).overflowX !== "visible" || clipped(one.parentElement));
const out = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > right + 1);
return [page.scrollWidth - right, ...out.filter((one) => !clipped(one)).map((one) => one.outerHTML.slice(0, 99))];
"""
#: WCAG 1.4.12: what a reader may set.
SPACED = """
const style = document.createElement("style");
style.textContent = `p { margin-bottom: 2em !important; }
  * { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important; }`;
document.head.append(style);
"""


@pytest.mark.parametrize("width", [320, 640, 768, 1280])
@pytest.mark.parametrize("screen", SCREENS)
def test_no_screen_is_wider_than_its_window(opened: webdriver.Chrome, live: Live, screen: str, width: int) -> None:
    """At 320 too (WCAG 1.4.10), in the longer of the two languages, with the text spaced out; 640 is 1280 at 200 %."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        look_at(opened, f"{live.base}{screen}", "light", "de")
        assert opened.execute_script(WIDE) == []
        opened.execute_script(SPACED)
        assert opened.execute_script(WIDE) == []
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})


SMALL = """
return [...document.querySelectorAll("a, button, input, select, textarea, summary")].filter((one) => {
  const box = one.getBoundingClientRect();
  return box.width > 0 && (box.width < 24 || box.height < 24) && !one.closest("p, li, figcaption, .foot, .promises")
    && getComputedStyle(one).position !== "absolute";
}).map((one) => one.outerHTML.slice(0, 90) + " " + JSON.stringify(one.getBoundingClientRect()));
"""


@pytest.mark.parametrize("screen", SCREENS)
def test_nothing_to_hit_is_smaller_than_24_pixels(opened: webdriver.Chrome, live: Live, screen: str) -> None:
    """WCAG 2.5.8; a link within a sentence is as tall as its line."""
    opened.get(f"{live.base}{screen}")
    assert opened.execute_script(SMALL) == []


@pytest.mark.parametrize("screen", SCREENS)
def test_a_page_without_its_pictures_is_small(opened: webdriver.Chrome, live: Live, screen: str) -> None:
    opened.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
    opened.get(f"{live.base}{screen}")
    sizes = """return performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
        .filter((one) => !['img', 'fetch', 'other'].includes(one.initiatorType))
        .reduce((sum, one) => sum + one.decodedBodySize, 0)"""
    assert 0 < opened.execute_script(sizes) < 300_000
