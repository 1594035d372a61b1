"""A shift: log in, decide on twenty parts by keyboard, take one back, report a missed one, lose the line, come back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from api.people import add_person
from tests.api.conftest import Live, serve, until
from tests.api.factory import keep_evidence, make_findings, make_pass, make_verdict, make_visit, publish, settings_at

pytestmark = pytest.mark.browser

PARTS = [f"S{number:02}" for number in range(20)]  # the first the most urgent
HAND_S = 0.08
OWN = "my own password"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serve(settings_at(tmp_path_factory.mktemp("shift") / "home")) as served:
        frame_ref, heatmap_ref, evidence_ref = keep_evidence(served.settings, "S00")
        publish(
            served.log,
            served.settings,
            production=[make_visit(part) for part in PARTS],
            findings=[make_findings(part, frame_ref=frame_ref, heatmap_ref=heatmap_ref) for part in PARTS],
            verdicts=[
                *(make_verdict(part, risk=0.95 - n / 100, evidence_ref=evidence_ref) for n, part in enumerate(PARTS)),
                make_pass("MISSED"),
            ],
        )
        served.collected(len(PARTS) + 1)
        yield served


def press(browser: webdriver.Chrome, key: str) -> None:
    browser.find_element(By.TAG_NAME, "body").send_keys(key)
    time.sleep(HAND_S)


def at_part(browser: webdriver.Chrome, part: str) -> None:
    ready = "return document.readyState === 'complete' && location.pathname === arguments[0]"
    until(lambda: browser.execute_script(ready, f"/parts/{part}"), f"the page of {part}")


def outcomes(live: Live, part: str) -> list[str]:
    record = live.service.here.reader.part(part)
    assert record is not None
    return [one.defect.outcome for one in record.reviews]


def offline(browser: webdriver.Chrome, lost: bool) -> None:
    conditions = {"offline": lost, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)


def test_a_shift(browser: webdriver.Chrome, live: Live) -> None:
    begin(browser, live)
    decided = work_off(browser, PARTS[:10])
    undone = take_the_last_back(browser, PARTS[9])
    report_a_missed_defect(browser, live)
    lose_the_line_and_come_back(browser, live, PARTS[10])
    decided |= work_off(browser, PARTS[11:])
    until(lambda: "Nothing waits for you" in browser.find_element(By.TAG_NAME, "main").text, "the empty queue")
    until(lambda: "21 by you" in browser.find_element(By.ID, "done-counts").text, "twenty and the missed one")
    del decided[undone]
    for part, outcome in decided.items():
        assert outcomes(live, part)[-1] == outcome, part
    assert outcomes(live, undone) == ["ok", "unsure", "defect"]
    assert outcomes(live, "MISSED") == ["defect"]
    assert outcomes(live, PARTS[10]) == ["ok"], "sent until it arrived, recorded once"


def begin(browser: webdriver.Chrome, live: Live) -> None:
    """Log in with the one-time password, choose one, open the first part: no mouse."""
    secret = add_person(live.settings, "ina", "inspector", by="test")
    browser.get(f"{live.base}/")
    browser.find_element(By.ID, "name").send_keys("ina", Keys.TAB, secret, Keys.ENTER)
    until(lambda: browser.current_url.endswith("/account"), "the page that asks for a password")
    browser.find_element(By.ID, "old").send_keys(secret, Keys.TAB, OWN, Keys.TAB, OWN, Keys.ENTER)
    until(lambda: browser.find_elements(By.CSS_SELECTOR, ".row"), "the queue")
    press(browser, "j")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    at_part(browser, PARTS[0])


def work_off(browser: webdriver.Chrome, parts: list[str]) -> dict[str, str]:
    """Decide on these one after the other; every third is a defect."""
    decided = {}
    for number, part in enumerate(parts):
        at_part(browser, part)
        decided[part] = "defect" if number % 3 == 0 and number != 9 else "ok"
        press(browser, "d" if decided[part] == "defect" else "o")
    return decided


def take_the_last_back(browser: webdriver.Chrome, part: str) -> str:
    """A slip of the finger: back to it, and decided otherwise."""
    at_part(browser, PARTS[10])
    press(browser, "z")
    at_part(browser, part)
    press(browser, "d")
    at_part(browser, PARTS[10])
    return part


def report_a_missed_defect(browser: webdriver.Chrome, live: Live) -> None:
    """A part that passed lies on the bench with a scratch: scan it, report it."""
    browser.find_element(By.TAG_NAME, "body").send_keys("MISSED" + Keys.ENTER)
    at_part(browser, "MISSED")
    press(browser, "d")
    until(lambda: outcomes(live, "MISSED") == ["defect"], "the report")


def lose_the_line_and_come_back(browser: webdriver.Chrome, live: Live, part: str) -> None:
    """The connection goes while a key is pressed; nothing is lost and nothing recorded twice."""
    at_part(browser, part)
    offline(browser, True)
    press(browser, "o")
    until(lambda: "Not yet recorded" in browser.find_element(By.ID, "said").text, "a word that it is not recorded yet")
    assert outcomes(live, part) == []
    offline(browser, False)
    at_part(browser, PARTS[11])
