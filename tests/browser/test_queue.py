"""The queue in a real Chromium: its order, its filters, what is new, and who holds what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from api.access.tokens import issue_token
from tests.api.conftest import Live, serve, until
from tests.api.factory import make_pass, make_verdict, make_visit, now, publish, settings_at

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serve(settings_at(tmp_path_factory.mktemp("queue") / "home")) as served:
        risks = {"LOW": 0.2, "HIGH": 0.9, "MIDDLE": 0.5}
        publish(served.log, served.settings, verdicts=[make_verdict(part, risk=risk) for part, risk in risks.items()])
        publish(served.log, served.settings, verdicts=[make_verdict("L2-1", line_id="L2", risk=0.6, batch_id="B7")])
        served.collected(4)
        yield served


@pytest.fixture(scope="module")
def opened(browser: webdriver.Chrome, live: Live) -> webdriver.Chrome:
    browser.get(f"{live.base}/?token={issue_token(live.settings, 'anna', 'inspector')}")
    return browser


def rows(browser: webdriver.Chrome) -> list[str]:
    script = "return [...document.querySelectorAll('.row .row-who b')].map((node) => node.textContent)"
    return list(browser.execute_script(script))


def text_of(browser: webdriver.Chrome, css: str) -> str:
    return " ".join(one.text for one in browser.find_elements(By.CSS_SELECTOR, css))


def test_the_riskiest_stand_first(opened: webdriver.Chrome) -> None:
    until(lambda: rows(opened) == ["HIGH", "L2-1", "MIDDLE", "LOW"], "the queue in order of urgency")
    assert text_of(opened, "#open-count") == "4"
    assert "0 by you" in text_of(opened, "#done-counts")


def test_nothing_moves_under_the_finger_and_what_is_new_waits_behind_a_bar(
    opened: webdriver.Chrome, live: Live
) -> None:
    third = opened.find_elements(By.CSS_SELECTOR, ".row")[2]
    ActionChains(opened).move_to_element(third).perform()
    at = third.location["y"]
    publish(live.log, live.settings, verdicts=[make_verdict("NEW", risk=0.95)])
    until(lambda: "1 new" in text_of(opened, "#new-parts"), "the bar")
    assert rows(opened) == ["HIGH", "L2-1", "MIDDLE", "LOW"]
    bar = opened.find_element(By.ID, "new-parts")
    assert third.location["y"] == at
    bar.click()
    until(lambda: rows(opened)[0] == "NEW", "the new part at its place")


def test_a_filter_stands_in_the_address_and_is_kept_under_a_name(opened: webdriver.Chrome, live: Live) -> None:
    opened.find_element(By.CSS_SELECTOR, "#filter-line_id option:nth-of-type(3)").click()
    until(lambda: rows(opened) == ["L2-1"], "one line's parts")
    assert opened.current_url.endswith("/?line_id=L2")
    opened.find_element(By.CSS_SELECTOR, "#more-filters summary").click()
    opened.find_element(By.ID, "view-name").send_keys("second line", Keys.ENTER)
    until(lambda: "second line" in text_of(opened, "#views"), "the view")
    opened.find_element(By.ID, "filter-clear").click()
    until(lambda: len(rows(opened)) == 5, "everything")
    assert opened.current_url == f"{live.base}/"
    opened.get(f"{live.base}/?batch_id=B7&cause=tool_id%3DT7")
    until(lambda: rows(opened) == ["L2-1"], "the filter of the address")
    opened.get(f"{live.base}/?product=none")
    until(lambda: "fits this filter" in text_of(opened, "#empty"), "the empty state of a filter")
    opened.find_element(By.CSS_SELECTOR, "#views [data-query]").click()
    until(lambda: rows(opened) == ["L2-1"], "the parts of the view")


def test_a_part_that_another_looks_at_is_marked_in_the_list_and_on_its_page(
    opened: webdriver.Chrome, live: Live
) -> None:
    with live.client("qa") as bo:
        assert bo.post("/api/parts/MIDDLE/hold").json()["mine"]
        opened.get(f"{live.base}/")
        until(lambda: "held by test-qa" in text_of(opened, ".row"), "the mark in the list")
        opened.get(f"{live.base}/parts/MIDDLE")
        until(lambda: "test-qa has been looking" in text_of(opened, "#held"), "the mark on the page")
        opened.find_element(By.CSS_SELECTOR, "#held button").click()
        until(lambda: not opened.find_element(By.ID, "held").is_displayed(), "the part to be taken over")
        assert bo.post("/api/parts/MIDDLE/hold").json()["held_by"] == "anna"
        opened.get(f"{live.base}/")
        until(lambda: bo.post("/api/parts/MIDDLE/hold").json()["mine"], "a part that was left to be free")


def test_what_another_decides_stays_where_it_is_while_somebody_is_at_work(opened: webdriver.Chrome, live: Live) -> None:
    publish(
        live.log,
        live.settings,
        verdicts=[make_verdict(part, risk=risk) for part, risk in (("UP", 0.99), ("DOWN", 0.98))],
    )
    opened.get(f"{live.base}/")
    until(lambda: rows(opened)[:2] == ["UP", "DOWN"], "both on top")
    under = opened.find_elements(By.CSS_SELECTOR, ".row")[2]
    ActionChains(opened).move_to_element(under).perform()
    before, at = rows(opened), under.location["y"]
    publish(live.log, live.settings, verdicts=[make_pass("UP", revision=2)])
    until(lambda: "passed by a correction" in text_of(opened, ".row.gone"), "the corrected part greyed")
    with live.client("qa") as bo:
        assert bo.post("/api/parts/DOWN/reviews", json={"outcome": "defect"}).status_code == 201
    until(lambda: "decided: defect" in text_of(opened, ".row.gone"), "the decided part greyed")
    assert (rows(opened), under.location["y"]) == (before, at), "nothing moved"
    ActionChains(opened).move_to_element(opened.find_element(By.TAG_NAME, "h1")).perform()
    until(lambda: rows(opened) == before[2:], "gone when nobody is at work")


def test_a_row_says_why_it_stands_where_it_does(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/")
    until(lambda: "LOW" in rows(opened), "the queue")
    assert not opened.find_element(By.ID, "why-here").is_displayed()
    opened.find_element(By.TAG_NAME, "body").send_keys("j")
    until(lambda: "an escape costs 450 USD" in text_of(opened, "#why-here"), "the sentence")
    assert "nobody knows when it leaves gate EOL" in text_of(opened, "#why-here")


def test_the_queue_begins_with_what_its_owner_chose(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/?line_id=L2")
    until(lambda: opened.find_element(By.ID, "begin-here").is_displayed(), "the choice")
    opened.find_element(By.ID, "begin-here").click()
    until(lambda: "begins here" in text_of(opened, "#begin-here"), "the choice to be kept")
    opened.get(f"{live.base}/")
    assert opened.current_url == f"{live.base}/?line_id=L2"
    opened.find_element(By.ID, "filter-clear").click()
    until(lambda: "LOW" in rows(opened), "everything")
    opened.refresh()
    until(lambda: "LOW" in rows(opened), "everything, though the queue begins elsewhere")
    opened.get(f"{live.base}/")
    until(lambda: "begins here" in text_of(opened, "#begin-here"), "the beginning")
    opened.find_element(By.ID, "begin-here").click()
    until(lambda: "Begin my queue" in text_of(opened, "#begin-here"), "the choice to be taken back")
    opened.get(f"{live.base}/")
    assert opened.current_url == f"{live.base}/"


def test_cameras_and_ages_filter_and_views_tell_how_many_wait(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/?camera=top&age=under:60&line_id=L2")
    until(lambda: rows(opened) == ["L2-1"], "the second line's part")
    until(lambda: "second line 1" in text_of(opened, "#views"), "the count of the view")
    opened.get(f"{live.base}/?age=over:60")
    until(lambda: "fits this filter" in text_of(opened, "#empty"), "nothing that old")


def test_the_next_part_comes_from_the_filter(opened: webdriver.Chrome, live: Live) -> None:
    publish(live.log, live.settings, verdicts=[make_verdict("L2-2", line_id="L2", risk=0.1)])
    opened.get(f"{live.base}/?line_id=L2")
    until(lambda: rows(opened) == ["L2-1", "L2-2"], "the second line's parts")
    opened.find_element(By.CSS_SELECTOR, ".row").click()
    until(lambda: "/parts/L2-1" in opened.current_url, "the part")
    opened.find_element(By.TAG_NAME, "body").send_keys("o")
    until(lambda: opened.current_url.endswith("/parts/L2-2"), "the next of the filter, though others are riskier")
    opened.find_element(By.TAG_NAME, "body").send_keys("o")
    until(lambda: opened.current_url.endswith("/?line_id=L2"), "the filter's empty queue")
    until(lambda: "2 by you" in text_of(opened, "#done-counts"), "both counted")


def test_an_incident_stands_on_top_with_its_parts_one_click_away(opened: webdriver.Chrome, live: Live) -> None:
    publish(live.log, live.settings, production=[make_visit("MIDDLE"), make_visit("GOOD")])
    until(lambda: live.service.here.reader.count_exposed("tool_id=T7", None) == 2, "the visits in the store")
    told = {
        "line_id": "L1", "incident": "excess", "camera_id": "", "cause": "tool_id=T7", "parts": ["MIDDLE"],
        "since": "2026-01-01T00:00:00.000Z", "parts_count": 2, "what": "Parts with tool_id=T7: 9 defects.",
    }  # fmt: skip
    run = Path(live.settings.home) / "run"
    run.mkdir(exist_ok=True)
    beat = run / "fusion-1.json"
    state = {"incidents": [told], "incidents_open": 1}
    beat.write_text(json.dumps({"role": "fusion", "pid": 1, "at": now().isoformat(), "state": state}))
    opened.get(f"{live.base}/")
    until(lambda: "9 defects" in text_of(opened, "#incidents"), "the incident")
    assert "2 parts" in text_of(opened, "#incidents")
    assert "9 defects" not in text_of(opened, "#trouble"), "told once"
    opened.get(f"{live.base}/parts/MIDDLE")
    until(lambda: "1 incident is open" in text_of(opened, "#trouble"), "how many there are, where no card tells them")
    opened.get(f"{live.base}/")
    until(lambda: "9 defects" in text_of(opened, "#incidents"), "the incident")
    opened.find_element(By.ID, "incidents-fold").click()
    until(lambda: "9 defects" not in text_of(opened, "#incidents"), "the incidents folded away")
    opened.refresh()
    until(lambda: "Going wrong now 1" in text_of(opened, "#incidents"), "how many there are")
    assert "9 defects" not in text_of(opened, "#incidents")
    opened.find_element(By.ID, "incidents-fold").click()
    until(lambda: "9 defects" in text_of(opened, "#incidents"), "the incidents again")
    opened.find_element(By.LINK_TEXT, "All exposed parts").click()
    until(lambda: "/exposed?cause=tool_id" in opened.current_url, "the exposed parts")
    assert "GOOD" in text_of(opened, "main table")
    assert "2 parts" in text_of(opened, ".queue-head")
    opened.find_element(By.LINK_TEXT, "Those that wait").click()
    until(lambda: "MIDDLE" in rows(opened), "those of them that wait")
