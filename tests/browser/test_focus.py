"""By keyboard and by ear: what has the focus is seen, tabs go by arrows, a skip leads to the decision."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from api.access.tokens import issue_token
from tests.api.conftest import Live, serve, until
from tests.api.factory import keep_evidence, make_findings, make_verdict, make_visit, publish, settings_at
from tests.browser.test_part import text_of

pytestmark = pytest.mark.browser

#: What has the focus and lies under another thing, at its middle and at its corners; the ends of a row are round.
COVERED = """
const one = document.activeElement, box = one.getBoundingClientRect();
if (one === document.body || box.width === 0 || one.closest(".skip")) return "";
const inset = Math.min(6, box.width / 3, box.height / 3);
const within = (x) => Math.min(innerWidth - 1, Math.max(0, x));
const xs = [box.left + inset, box.left + box.width / 2, box.right - inset].map(within);
const ys = [box.top + inset, box.top + box.height / 2, box.bottom - inset];
const seen = xs.flatMap((x) => ys.map((y) => document.elementFromPoint(x, y)))
  .some((at) => at && (one.contains(at) || at.contains(one) || at.closest("label")?.contains(one)));
return seen ? "" : one.outerHTML.slice(0, 120);
"""
STOPS_MAX = 90


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Forty parts that wait; of A1 everything that a part may have, with two pictures."""
    with serve(settings_at(tmp_path_factory.mktemp("focus") / "home")) as served:
        frame_ref, heatmap_ref, evidence_ref = keep_evidence(served.settings, "A1")
        seen = [
            make_findings("A1", frame_id=frame, frame_ref=frame_ref, heatmap_ref=heatmap_ref)
            for frame in ("top@1", "top@2")
        ]
        flagged = [make_verdict(f"B{n}", risk=n / 50) for n in range(39)]
        judged = [make_verdict("A1", evidence_ref=evidence_ref), make_verdict("A1", gate_id="MID", risk=0.2)]
        publish(served.log, served.settings, production=[make_visit("A1")], findings=seen, verdicts=[*judged, *flagged])
        served.collected(41)
        until(lambda: len(served.service.here.reader.findings("A1")) == 2, "both pictures")
        yield served


@pytest.fixture(scope="module")
def opened(browser: webdriver.Chrome, live: Live) -> webdriver.Chrome:
    browser.get(f"{live.base}/?token={issue_token(live.settings, 'anna', 'qa')}")
    return browser


@pytest.fixture
def small(opened: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """The window of a desk at 200 %."""
    metrics = {"width": 640, "height": 400, "deviceScaleFactor": 2, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    yield opened
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def tab(browser: webdriver.Chrome, *pressed: str) -> None:
    browser.switch_to.active_element.send_keys(*(pressed or (Keys.TAB,)))


def covered(browser: webdriver.Chrome) -> list[str]:
    """Tab through the page: what had the focus and could not be seen."""
    found = []
    for _ in range(STOPS_MAX):
        tab(browser)
        if browser.execute_script("return document.activeElement === document.body"):
            break
        found.append(browser.execute_script(COVERED))
    assert len(found) > 20
    return [one for one in found if one]


@pytest.mark.parametrize("screen", ["/", "/parts/A1", "/quality"])
def test_what_has_the_focus_lies_under_nothing(opened: webdriver.Chrome, live: Live, screen: str) -> None:
    """WCAG 2.2, 2.4.11."""
    opened.get(f"{live.base}{screen}")
    if screen == "/":
        until(lambda: opened.find_elements(By.CSS_SELECTOR, ".row"), "the queue")
    assert covered(opened) == []


@pytest.mark.parametrize("screen", ["/", "/parts/A1"])
def test_at_200_percent_too(small: webdriver.Chrome, live: Live, screen: str) -> None:
    small.get(f"{live.base}{screen}")
    if screen == "/":
        until(lambda: small.find_elements(By.CSS_SELECTOR, ".row"), "the queue")
    assert covered(small) == []
    fixed = "return [...document.querySelectorAll('.decide, .bar')].map((one) => getComputedStyle(one).position)"
    assert set(small.execute_script(fixed)) == {"static"}


def test_a_skip_leads_to_the_decision(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/parts/A1")
    tab(opened)
    tab(opened)
    assert opened.switch_to.active_element.text == "Skip to the decision"
    tab(opened, Keys.ENTER)
    tab(opened)
    assert opened.switch_to.active_element.get_attribute("name") == "defect_code"


def test_arrows_go_from_tab_to_tab(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/parts/A1")
    tabs = opened.find_elements(By.CSS_SELECTOR, ".cameras [role=tab]")
    opened.execute_script("arguments[0].focus()", tabs[0])
    tab(opened, Keys.ARROW_RIGHT)
    assert [one.get_attribute("aria-selected") for one in tabs] == ["false", "true"]
    assert opened.switch_to.active_element == tabs[1]
    panel = opened.find_element(By.ID, str(tabs[1].get_attribute("aria-controls")))
    assert panel.is_displayed()
    tab(opened, Keys.ARROW_RIGHT)
    assert [one.get_attribute("aria-selected") for one in tabs] == ["true", "false"], "round and round"


def test_who_only_hears_is_told_what_is_new_and_not_the_list_again(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/")
    until(lambda: opened.find_elements(By.CSS_SELECTOR, ".row"), "the queue")
    assert opened.find_element(By.ID, "queue").get_attribute("aria-live") is None
    opened.execute_script("document.querySelector('.row').focus()")
    publish(live.log, live.settings, verdicts=[make_verdict("NEW", risk=0.95)])
    until(lambda: "1 new: show" in text_of(opened, "[role=status]"), "what is new, in a place that is read out")
    first = opened.find_element(By.CSS_SELECTOR, ".row")
    assert "Risk 87 %" in first.get_attribute("textContent")  # type: ignore[operator]
    opened.get(f"{live.base}/?product=none")
    until(lambda: "Nothing that waits fits" in text_of(opened, "#queue-said"), "that nothing fits, read out")


def test_in_high_contrast_what_is_chosen_is_seen(opened: webdriver.Chrome, live: Live) -> None:
    forced = {"features": [{"name": "forced-colors", "value": "active"}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", forced)
    try:
        opened.get(f"{live.base}/parts/A1")
        line = "return [...document.querySelectorAll(arguments[0])].map((one) => getComputedStyle(one)[arguments[1]])"
        chosen, other = opened.execute_script(line, ".cameras [role=tab]", "borderTopColor")
        assert chosen != other
        here, elsewhere = opened.execute_script(line, ".bar nav a", "borderBottomColor")[:2]
        assert here != elsewhere
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "forced-colors", "value": "none"}]})
