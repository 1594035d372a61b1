"""The page of a part in a real Chromium: curves that are read out, what a revision changed, ways on from a tool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from api.access.tokens import issue_token
from ingest.messages import EvidenceSummary
from tests.api.conftest import Live, serve, until
from tests.api.factory import PLAN, keep_evidence, make_findings, make_verdict, make_visit, publish, settings_at

pytestmark = pytest.mark.browser
KINDS = "products: [{product: HSG-4, kinds: [blowhole, cold shut]}]\n"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = Path(tmp_path_factory.mktemp("part")) / "home"
    settings = settings_at(home)
    stays = PLAN.replace("deadline_ms: 500, needs", "deadline_ms: 500, moves_on_ms: 600000, needs")
    (home / "plan.yaml").write_text(stays + KINDS)
    with serve(settings) as served:
        frame, heat, evidence = keep_evidence(settings, "P1")
        thin = EvidenceSummary(complete=False, present=["sensors:OP20"], missing=["camera:top"], late=[], unfit=[])
        first = make_verdict("P1", decision="cannot_tell", risk=0.3, evidence=thin, causes=[])
        publish(
            served.log,
            settings,
            production=[make_visit("P1"), make_visit("SEEN")],
            findings=[make_findings("P1", frame_ref=frame, heatmap_ref=heat)],
            verdicts=[first, make_verdict("P1", revision=2, evidence_ref=evidence)],
        )
        served.collected(2)
        until(lambda: served.service.here.reader.part("SEEN"), "the part that no gate has judged")
        yield served


@pytest.fixture(scope="module")
def opened(browser: webdriver.Chrome, live: Live) -> webdriver.Chrome:
    browser.get(f"{live.base}/?token={issue_token(live.settings, 'anna', 'inspector')}")
    return browser


def text_of(browser: webdriver.Chrome, css: str) -> str:
    """By script: a page that is just being left has no elements that could go stale."""
    script = "return [...document.querySelectorAll(arguments[0])].map((node) => node.innerText).join(' ')"
    return str(browser.execute_script(script, css))


def press(browser: webdriver.Chrome, *pressed: str) -> None:
    ActionChains(browser).send_keys(*pressed).perform()


def test_a_curve_has_numbers_on_its_axes_and_is_read_out_by_pointer_and_keys(
    opened: webdriver.Chrome, live: Live
) -> None:
    opened.get(f"{live.base}/parts/P1")
    curve = opened.find_element(By.CSS_SELECTOR, "[data-channel='OP20.spindle_current_a']")
    assert curve.find_element(By.CSS_SELECTOR, ".axis-x").text.split() == ["0.5", "1.0", "1.5", "s"]
    assert len(curve.find_element(By.CSS_SELECTOR, ".axis-y").text.split()) > 2
    assert "limits 2 to 5.5 A" in curve.text
    field = curve.find_element(By.CSS_SELECTOR, ".field")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", field)
    ActionChains(opened).move_to_element(field).perform()
    said = curve.find_element(By.TAG_NAME, "output")
    until(lambda: " A, within " in said.text, "what is under the pointer")
    opened.execute_script("arguments[0].focus()", field)
    press(opened, Keys.END)
    until(lambda: ", outside " in said.text, "the end of the curve")
    assert said.text.startswith("1.984 s: ")
    press(opened, Keys.ARROW_LEFT)
    until(lambda: said.text.startswith("1.953 s: "), "the sample before")
    assert field.get_attribute("aria-valuetext") == said.text


def test_how_long_the_part_can_still_be_stopped_is_told_on_its_page_and_in_the_queue(
    opened: webdriver.Chrome, live: Live
) -> None:
    opened.get(f"{live.base}/parts/P1")
    until(lambda: "min until it leaves gate EOL" in text_of(opened, "#time-left"), "the time left")
    opened.get(f"{live.base}/")
    until(lambda: "min left" in text_of(opened, ".row"), "the time left in the row")
    press(opened, "j")
    until(lambda: "min until it leaves gate EOL" in text_of(opened, "#why-here"), "the reason of its place")


def test_the_heat_map_fades_and_grows_by_key(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/parts/P1")
    heat = opened.find_element(By.CSS_SELECTOR, "img.heat")
    before = float(heat.value_of_css_property("opacity"))
    press(opened, ".")
    until(lambda: float(heat.value_of_css_property("opacity")) == pytest.approx(before + 0.1), "more of it")
    press(opened, ",")
    until(lambda: float(heat.value_of_css_property("opacity")) == pytest.approx(before), "less of it")


def test_the_record_says_what_a_revision_changed(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/parts/P1")
    told = text_of(opened, ".changed")
    assert "Cannot tell became Review." in told
    assert "Camera top came after the first verdict." in told


def test_a_tool_leads_to_all_parts_exposed_to_it(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/parts/P1")
    chip = opened.find_element(By.CSS_SELECTOR, "[data-value='tool_id=T7']")
    opened.execute_script("arguments[0].click()", chip)
    until(lambda: "/exposed?cause=tool_id" in opened.current_url, "the exposed parts")
    assert "SEEN" in text_of(opened, "main table")


def test_the_kinds_that_the_plan_states_are_one_key_each(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/parts/P1")
    assert text_of(opened, "#kinds").split("\n")[0].startswith("blowhole")
    press(opened, "2")
    kind = opened.find_element(By.NAME, "defect_code")
    until(lambda: kind.get_attribute("value") == "cold shut", "the second kind")


def test_a_part_that_no_gate_has_judged_is_reported_and_taken_back_by_key(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/parts/SEEN")
    assert "no verdict yet" in text_of(opened, ".part-head")
    assert not opened.find_elements(By.CSS_SELECTOR, "[data-outcome=ok]")
    press(opened, "1")
    press(opened, "d")
    until(lambda: "SEEN is recorded as defect" in text_of(opened, "#undo"), "the report")
    record = live.service.here.reader.part("SEEN")
    assert record is not None
    assert [(one.gate_id, one.defect.defect_code) for one in record.reviews] == [("", "blowhole")]
    press(opened, "z")
    until(lambda: opened.current_url.endswith("/parts/SEEN"), "the part again")
    undone = live.service.here.reader.part("SEEN")
    assert undone is not None
    assert [one.undoes for one in undone.reviews] == ["", record.reviews[0].review_id]


def test_on_a_tablet_everything_to_touch_is_as_large_as_a_fingertip(opened: webdriver.Chrome, live: Live) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 768, "height": 1024, "deviceScaleFactor": 1, "mobile": True}
    )
    opened.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    small = """return [...document.querySelectorAll('main button, main select, main input, main summary')]
        .filter((node) => node.offsetParent && node.type !== 'checkbox')
        .filter((node) => { const box = node.getBoundingClientRect(); return box.height < 44 || box.width < 44; })
        .map((node) => node.id || node.className || node.textContent)"""
    try:
        for path in ("/parts/P1", "/"):
            opened.get(f"{live.base}{path}")
            until(lambda: opened.execute_script("return document.readyState") == "complete", "the page")
            assert opened.execute_script(small) == []
            assert opened.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    finally:
        opened.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
