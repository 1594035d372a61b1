"""Blind parts and exercises as an inspector meets them: nothing of the model in the page before, all of it after."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from api.access.tokens import issue_token
from ingest.messages import Instant
from tests.api.conftest import Live, serve, until
from tests.api.factory import keep_evidence, make_defect, make_findings, make_verdict, now, publish
from tests.api.test_blind import MODELS_WORDS, planned
from tests.browser.test_marks import drag

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Every part is blind, and has an exercise before it."""
    settings = planned(tmp_path_factory.mktemp("blind") / "home", "blind_share: 1.0, known_share: 1.0")
    with serve(settings) as served:
        old = Instant(now() - 40 * 86_400_000)
        refs = {part: keep_evidence(settings, part) for part in ("P1", "P2", "K1")}
        publish(
            served.log,
            settings,
            findings=[make_findings(part, frame_ref=ref[0], heatmap_ref=ref[1]) for part, ref in refs.items()],
            verdicts=[
                make_verdict("P1", evidence_ref=refs["P1"][2]),
                make_verdict("P2", evidence_ref=refs["P2"][2]),
                make_verdict("K1", event_at=old, decided_at=old, evidence_ref=refs["K1"][2]),
            ],
            defects=[make_defect("K1", recorded_at=Instant(old + 1000), outcome="ok", defect_code="")],
        )
        served.collected(3)
        until(lambda: served.service.here.reader.part("K1").defects, "the label")  # type: ignore[union-attr]
        with served.client("qa") as lead:
            assert lead.post("/api/known", json={"part_id": "K1", "reason": "opened up"}).status_code == 201
        yield served


def open_part(browser: webdriver.Chrome, live: Live, part: str) -> None:
    browser.get(f"{live.base}/?token={issue_token(live.settings, 'anna', 'inspector')}")
    browser.get(f"{live.base}/parts/{part}")
    at(browser, f"/parts/{part}")


def at(browser: webdriver.Chrome, path: str) -> None:
    ready = "return document.readyState === 'complete' && location.pathname === arguments[0]"
    until(lambda: browser.execute_script(ready, path), f"the page {path}")


def press(browser: webdriver.Chrome, key: str) -> None:
    browser.find_element(By.TAG_NAME, "body").send_keys(key)


def told(browser: webdriver.Chrome) -> str:
    found = browser.find_elements(By.CSS_SELECTOR, ".banner.told")
    return found[0].text if found else ""


def draw_a_box(browser: webdriver.Chrome) -> None:
    press(browser, "r")
    until(lambda: browser.execute_script("return marks.tool") == "box", "the box in hand")
    drawing = browser.find_element(By.CSS_SELECTOR, "figure.frame:not([hidden]) svg.marks")
    drag(browser, drawing, (60, 50), (95, 82))
    until(lambda: browser.execute_script("return marks.drawn.length") == 1, "the box drawn")


def test_a_blind_parts_page_holds_nothing_of_the_model_and_tells_it_after_the_decision(
    browser: webdriver.Chrome, live: Live
) -> None:
    browser.get(f"{live.base}/?token={issue_token(live.settings, 'anna', 'inspector')}")
    until(lambda: browser.find_elements(By.CSS_SELECTOR, "#queue .row"), "the queue")
    listed = browser.find_element(By.ID, "queue")
    assert not [word for word in MODELS_WORDS if word in str(listed.get_attribute("innerHTML"))]
    assert "Your own eyes first" in listed.text
    browser.find_element(By.CSS_SELECTOR, '#queue .row[href^="/parts/P1"]').send_keys(Keys.ENTER)
    at(browser, "/parts/P1")
    assert not [word for word in MODELS_WORDS if word in browser.page_source]
    assert not browser.find_elements(By.CSS_SELECTOR, "img.heat, .boxes rect, .cause-name, .pill")
    press(browser, "o")
    at(browser, "/parts/K1")  # what comes next is an exercise, and looks like any other part
    said = told(browser)
    assert "P1 was shown without the model's word. You said OK." in said
    assert "The model had said defect: 87 % likely defective, because of tool id T7" in said
    assert "waiting for you" in browser.find_element(By.CLASS_NAME, "part-head").text
    assert "opened up" not in browser.page_source
    draw_a_box(browser)
    press(browser, "d")
    at(browser, "/parts/P2")
    assert "K1 was an exercise: you said defect, it is OK. Known by: opened up." in told(browser)
    assert "the marks you drew are not kept" in told(browser)
    assert browser.find_element(By.ID, "undo").get_attribute("hidden") is not None, "nothing to take back"
    browser.refresh()
    at(browser, "/parts/P2")
    assert told(browser) == "", "told once"
    record = live.service.here.reader.part("K1")
    assert record is not None
    assert record.reviews == ()


def test_what_was_decided_shows_all_that_was_hidden(browser: webdriver.Chrome, live: Live) -> None:
    open_part(browser, live, "P1")
    assert "87 %" in browser.find_element(By.CSS_SELECTOR, ".why").text
    assert browser.find_elements(By.CSS_SELECTOR, ".boxes rect")
    browser.get(f"{live.base}/rules")
    assert "100 % of parts are blind" in browser.find_element(By.TAG_NAME, "main").text


def test_a_qa_lead_takes_a_known_part_away_and_names_it_again_on_its_own_page(
    browser: webdriver.Chrome, live: Live
) -> None:
    browser.get(f"{live.base}/?token={issue_token(live.settings, 'quinn', 'qa')}")
    record = "return document.querySelector('.record').innerText"
    browser.get(f"{live.base}/parts/K1")
    assert "Shown to inspectors as an exercise: ok, known by opened up." in browser.execute_script(record)
    browser.find_element(By.CSS_SELECTOR, "[data-known]").send_keys(Keys.ENTER)
    until(lambda: "Its truth is sure: ok." in browser.execute_script(record), "it to be none")
    browser.find_element(By.ID, "known-reason").send_keys("measured twice", Keys.ENTER)
    until(lambda: "known by measured twice" in browser.execute_script(record), "it to be one again")
    browser.get(f"{live.base}/parts/P1")
    assert "It cannot be one: its truth is not sure." in browser.execute_script(record)
    browser.get(f"{live.base}/?token={issue_token(live.settings, 'anna', 'inspector')}")
    browser.get(f"{live.base}/parts/P1")
    assert "Known part" not in browser.execute_script(record)
