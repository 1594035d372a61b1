"""The screens in a real Chromium: what an inspector sees and does."""

from __future__ import annotations

import time

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from api.access.tokens import issue_token
from ingest.messages import EvidenceSummary
from tests.api.conftest import Live, until
from tests.api.factory import keep_evidence, make_findings, make_pass, make_verdict, make_visit, publish

pytestmark = pytest.mark.browser
HAND_S = 0.08


def text_of(browser: webdriver.Chrome, css: str) -> str:
    return " ".join(one.text for one in browser.find_elements(By.CSS_SELECTOR, css))


def shown(browser: webdriver.Chrome, css: str) -> bool:
    found = browser.find_elements(By.CSS_SELECTOR, css)
    return bool(found) and found[0].is_displayed()


def rows(browser: webdriver.Chrome) -> list[str]:
    script = "return [...document.querySelectorAll('.row .row-who b')].map((node) => node.textContent)"
    names: list[str] = browser.execute_script(script)
    return names


def press(browser: webdriver.Chrome, key: str) -> None:
    """As a hand does: slower than a scanner."""
    browser.find_element(By.TAG_NAME, "body").send_keys(key)
    time.sleep(HAND_S)


def scan(browser: webdriver.Chrome, code: str) -> None:
    """As a hand scanner does: all at once, and Enter."""
    browser.find_element(By.TAG_NAME, "body").send_keys(code + Keys.ENTER)


@pytest.fixture(scope="module")
def opened(browser: webdriver.Chrome, live: Live) -> webdriver.Chrome:
    """The queue, opened by the address that `qcfuse demo` prints."""
    token = issue_token(live.settings, "anna", "qa")
    browser.get(f"{live.base}/?token={token}")
    assert browser.current_url == f"{live.base}/"
    return browser


def test_an_empty_queue_says_so_and_fills_by_itself(opened: webdriver.Chrome, live: Live) -> None:
    until(lambda: shown(opened, "#empty"), "the empty state")
    assert "Nothing waits for you" in text_of(opened, "#empty")
    publish(live.log, live.settings, verdicts=[make_verdict("A1"), make_pass("A2")])
    until(lambda: rows(opened) == ["A1"], "the flagged part to appear without a reload")
    assert not shown(opened, "#empty")
    row = text_of(opened, ".row")
    for words in ("Review", "risk over the limit", "87 %", "79 % – 93 %", "tool id T7", "L1 · EOL · HSG-4"):
        assert words in row
    publish(live.log, live.settings, verdicts=[make_pass("A1", revision=2)])
    until(lambda: rows(opened) == [], "the part that a correction passed to go")


def test_a_part_page_shows_picture_curves_causes_and_what_is_missing(opened: webdriver.Chrome, live: Live) -> None:
    frame_ref, heatmap_ref, evidence_ref = keep_evidence(live.settings, "B1")
    thin = EvidenceSummary(complete=False, present=["camera:top"], missing=["sensors:OP20"], late=[], unfit=[])
    publish(
        live.log,
        live.settings,
        production=[make_visit("B1")],
        findings=[make_findings("B1", frame_ref=frame_ref, heatmap_ref=heatmap_ref)],
        verdicts=[make_verdict("B1", evidence_ref=evidence_ref, evidence=thin)],
    )
    until(lambda: live.service.here.reader.findings("B1"), "the evidence in the store")
    until(lambda: rows(opened) == ["B1"], "the part in the queue")
    opened.find_element(By.CSS_SELECTOR, ".row").click()
    until(lambda: "/parts/B1" in opened.current_url, "the part's page")
    loaded = "return [...document.querySelectorAll('.picture img')].every((image) => image.naturalWidth > 0)"
    until(lambda: opened.execute_script(loaded), "picture and heatmap to load")
    assert opened.execute_script("return document.querySelector('.boxes').getAttribute('viewBox')") == "0 0 320 256"
    page = text_of(opened, "main")
    for words in ("87 %", "between 79 % and 93 %", "tool id T7", "3.1 times the rate", "Nothing from sensors of OP20"):
        assert words in page
    assert len(opened.find_elements(By.CSS_SELECTOR, ".curve polyline.trace")) == 3
    assert "outside" in text_of(opened, ".curve")
    press(opened, "h")
    assert not shown(opened, ".heat")
    press(opened, "h")
    assert shown(opened, ".heat")


def test_a_closer_look_a_good_part_all_cameras_and_from_a_cause_to_its_evidence(
    opened: webdriver.Chrome, live: Live
) -> None:
    for part, score in (("GOOD-1", 0.4), ("GOOD-2", 0.1)):
        frame_ref, heatmap_ref, _ = keep_evidence(live.settings, part)
        seen = make_findings(part, frame_ref=frame_ref, heatmap_ref=heatmap_ref, score=score)
        publish(live.log, live.settings, findings=[seen], verdicts=[make_pass(part)])
    side = make_findings("B1", frame_id="top@second")
    publish(live.log, live.settings, findings=[side])
    until(lambda: live.service.here.reader.part("GOOD-2"), "the good parts")
    until(lambda: len(live.service.here.reader.findings("B1")) == 2, "the second frame")
    opened.get(f"{live.base}/parts/B1")
    scale = "return new DOMMatrix(getComputedStyle(document.querySelector('.stack')).transform).a"
    press(opened, "+")
    assert opened.execute_script(scale) > 1
    press(opened, "0")
    assert opened.execute_script(scale) == 1
    assert "GOOD-2" in text_of(opened, ".good-said"), "of the good parts the one that looks most usual"
    press(opened, "g")
    good = "return getComputedStyle(document.querySelector('.stack .good')).visibility"
    assert opened.execute_script(good) == "visible"
    press(opened, "g")
    assert opened.execute_script(good) == "hidden"
    press(opened, "s")
    assert [one.is_displayed() for one in opened.find_elements(By.CSS_SELECTOR, "figure.frame")] == [True, True]
    press(opened, "s")
    assert [one.is_displayed() for one in opened.find_elements(By.CSS_SELECTOR, "figure.frame")] == [True, False]
    opened.find_element(By.CSS_SELECTOR, "[data-cause='tool_id=T7']").click()
    until(lambda: shown(opened, ".chip.pointed-at"), "the visit that booked the tool")


def test_a_key_records_a_review_and_goes_to_the_next_part(opened: webdriver.Chrome, live: Live) -> None:
    publish(live.log, live.settings, verdicts=[make_verdict(f"C{n}", risk=0.9 + n / 100) for n in range(3)])
    live.collected(live.service.here.reader.last_row_id())
    until(lambda: live.service.here.reader.part("C2"), "the parts in the store")
    opened.get(f"{live.base}/parts/C2")
    opened.find_element(By.NAME, "defect_code").send_keys("dodo", Keys.ESCAPE)  # d and o typed are not keys pressed
    press(opened, "d")
    until(lambda: opened.current_url.endswith("/parts/C1"), "the next part")
    press(opened, "o")
    until(lambda: opened.current_url.endswith("/parts/C0"), "the next part")
    press(opened, "u")
    until(lambda: opened.current_url.endswith("/parts/B1"), "the next part")
    outcomes = {}
    for part in ("C0", "C1", "C2"):
        record = live.service.here.reader.part(part)
        assert record is not None
        outcomes[part] = [(one.defect.outcome, one.defect.defect_code) for one in record.reviews]
    assert outcomes == {"C2": [("defect", "dodo")], "C1": [("ok", "")], "C0": [("unsure", "")]}


def test_a_scanned_code_opens_its_part_and_decides_nothing(opened: webdriver.Chrome, live: Live) -> None:
    publish(live.log, live.settings, verdicts=[make_verdict("DOU-1"), make_pass("DOW-2")])
    until(lambda: live.service.here.reader.part("DOW-2"), "the parts in the store")
    opened.get(f"{live.base}/parts/C0")
    scan(opened, "DOU-1")
    until(lambda: opened.current_url.endswith("/parts/DOU-1"), "the part of the code")
    scan(opened, "DOW-2")
    until(lambda: opened.current_url.endswith("/parts/DOW-2"), "a part that passed")
    scan(opened, "DOX-3")
    until(lambda: "DOX-3" in text_of(opened, "#toast"), "a word about the code that nobody knows")
    assert opened.current_url.endswith("/parts/DOW-2")
    for part in ("DOU-1", "DOW-2"):
        record = live.service.here.reader.part(part)
        assert record is not None
        assert record.reviews == ()


def test_a_missed_defect_is_reported_with_its_kind_and_taken_back_by_one_key(
    opened: webdriver.Chrome, live: Live
) -> None:
    opened.get(f"{live.base}/parts/DOW-2")
    until(lambda: "dodo" in text_of(opened, "#kinds"), "the kinds that people named before")
    press(opened, "1")
    assert opened.find_element(By.NAME, "defect_code").get_attribute("value") == "dodo"
    press(opened, "d")
    until(lambda: shown(opened, "#undo"), "the bar that takes it back")
    assert "DOW-2 is recorded as defect" in text_of(opened, "#undo")
    press(opened, "z")
    until(lambda: opened.current_url.endswith("/parts/DOW-2"), "the part again")
    assert "DOW-2" not in text_of(opened, "#undo"), "what was decided before it may be taken back next"
    record = live.service.here.reader.part("DOW-2")
    assert record is not None
    assert [one.defect.outcome for one in record.reviews] == ["defect", "unsure"]
    assert record.reviews[0].defect.defect_code == "dodo"
    assert [(case.state, case.outcome) for case in record.cases] == [("done", None)]
    made = record.reviews[0].made
    assert made.verdict_id
    assert made.risk_shown is True
    assert made.took_ms is not None


def test_a_decision_made_while_the_connection_is_lost_is_recorded_once_when_it_is_back(
    opened: webdriver.Chrome, live: Live
) -> None:
    opened.get(f"{live.base}/parts/DOU-1")
    offline(opened, True)
    press(opened, "o")
    until(lambda: "Not yet recorded" in text_of(opened, "#said"), "a word that it is not recorded yet")
    offline(opened, False)
    until(lambda: "/parts/DOU-1" not in opened.current_url, "the next part")
    record = live.service.here.reader.part("DOU-1")
    assert record is not None
    assert [one.defect.outcome for one in record.reviews] == ["ok"]


def test_keys_are_changed_on_the_screen_and_a_taken_one_is_refused(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/parts/C0")
    press(opened, "?")
    until(lambda: shown(opened, "#keys-dialog"), "the dialog of keys")
    field = opened.find_element(By.CSS_SELECTOR, "#keys-dialog input[aria-label=Unsure]")
    field.send_keys("d")
    assert "D is taken: Defect." in text_of(opened, "#keys-dialog [role=status]")
    field.send_keys("x")
    assert text_of(opened, "#keys-dialog [role=status]") == ""
    opened.find_element(By.CSS_SELECTOR, "#keys-dialog .primary").click()
    assert opened.find_element(By.CSS_SELECTOR, "kbd[data-action=unsure]").text == "X"
    opened.execute_script("localStorage.removeItem('qcfuse.keys')")


def offline(browser: webdriver.Chrome, lost: bool) -> None:
    browser.execute_cdp_cmd("Network.enable", {})
    conditions = {"offline": lost, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)


def test_manual_mode_is_told_on_every_page(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/")
    until(lambda: shown(opened, "#mode-button"), "the stop button")
    opened.find_element(By.ID, "mode-button").click()
    until(lambda: shown(opened, "#mode-dialog"), "the question why")
    opened.switch_to.active_element.send_keys("drill", Keys.TAB, Keys.TAB, Keys.ENTER)
    until(lambda: shown(opened, "#manual"), "the banner")
    until(lambda: "every line, ordered by anna (drill)" in text_of(opened, "#manual"), "who ordered it")
    opened.get(f"{live.base}/parts/B1")
    until(lambda: shown(opened, "#manual"), "the banner on the part's page")
    opened.find_element(By.ID, "mode-button").click()
    opened.find_element(By.CSS_SELECTOR, "#mode-dialog .primary").click()
    until(lambda: not shown(opened, "#manual"), "the banner to go")


def test_a_broken_road_is_told(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/")
    until(lambda: "fusion: no sign of life" in text_of(opened, "#trouble"), "the trouble")


def test_a_lost_connection_is_told_and_found_again(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/")
    until(lambda: rows(opened), "the queue")
    opened.execute_cdp_cmd("Network.enable", {})
    lost = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    opened.execute_cdp_cmd("Network.emulateNetworkConditions", lost)
    until(lambda: shown(opened, "#lost"), "the lost-connection banner")
    publish(live.log, live.settings, verdicts=[make_verdict("D1")])
    opened.execute_cdp_cmd(
        "Network.emulateNetworkConditions", lost | {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
    )
    until(lambda: "D1" in rows(opened), "what came meanwhile")
    until(lambda: not shown(opened, "#lost"), "the banner to go")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (768, 1024)])
def test_nothing_runs_out_of_the_screen(opened: webdriver.Chrome, live: Live, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for path in ("/", "/parts/B1", "/batches"):
        opened.get(f"{live.base}{path}")
        until(lambda: "…" not in text_of(opened, "#road"), "the page to be live")
        assert opened.execute_script("return document.documentElement.scrollWidth") <= width, path
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_no_page_asks_another_host_or_fails(opened: webdriver.Chrome, live: Live) -> None:
    for path in ("/", "/parts/B1", "/batches"):
        opened.get(f"{live.base}{path}")
        names = opened.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert names
        assert all(name.startswith(live.base) for name in names)


def test_a_part_nobody_knows_is_told_in_a_page(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/parts/nobody")
    assert "Part nobody is not known here" in text_of(opened, "body")


def test_logging_out_leads_to_the_login_page_and_the_token_back(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/")
    opened.find_element(By.CSS_SELECTOR, ".who button").click()
    until(lambda: opened.current_url.endswith("/login"), "the login page")
    until(lambda: opened.get(f"{live.base}/") or opened.current_url.endswith("/login"), "the session to be gone")
    opened.find_element(By.CSS_SELECTOR, ".login summary").click()
    opened.find_element(By.ID, "token").send_keys(issue_token(live.settings, "bo", "inspector"), Keys.ENTER)
    until(lambda: opened.current_url == f"{live.base}/", "the queue")
    assert "Inspector" in text_of(opened, ".who")
