"""One part that waits at two gates, in a real Chromium: one row, one decision for both, or gate by gate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from api.access.tokens import issue_token
from tests.api.conftest import Live, serve, until
from tests.api.factory import make_pass, make_verdict, publish, settings_at
from tests.browser.test_part import press, text_of
from tests.browser.test_queue import rows

pytestmark = pytest.mark.browser

ALSO = "return document.querySelector('[data-key^=\"' + arguments[0] + '|\"] .also').textContent"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serve(settings_at(tmp_path_factory.mktemp("gates") / "home")) as served:
        parts = {"A": 0.9, "B": 0.8, "C": 0.7}
        middle = [make_verdict(part, gate_id="MID", risk=risk) for part, risk in parts.items()]
        end = [make_verdict(part, risk=risk - 0.5) for part, risk in parts.items() if part != "C"]
        publish(served.log, served.settings, verdicts=middle + end)
        served.collected(5)
        yield served


@pytest.fixture(scope="module")
def opened(browser: webdriver.Chrome, live: Live) -> webdriver.Chrome:
    browser.get(f"{live.base}/?token={issue_token(live.settings, 'anna', 'inspector')}")
    return browser


def states(live: Live, part: str) -> dict[str, str]:
    record = live.service.here.reader.part(part)
    assert record is not None
    return {case.gate_id: case.state for case in record.cases}


def test_it_is_one_row_and_a_gate_that_flags_it_later_joins_it(opened: webdriver.Chrome, live: Live) -> None:
    until(lambda: rows(opened) == ["A", "B", "C"], "a row a part")
    assert text_of(opened, "#open-count") == "3"
    assert opened.execute_script(ALSO, "A") == "also at gate EOL"
    publish(live.log, live.settings, verdicts=[make_verdict("C", risk=0.1)])
    until(lambda: opened.execute_script(ALSO, "C") == "also at gate EOL", "the second gate")
    assert rows(opened) == ["A", "B", "C"]
    publish(live.log, live.settings, verdicts=[make_pass("C", gate_id="MID", revision=2)])
    until(lambda: "L1 · EOL" in text_of(opened, '[data-key^="C|"] .row-who'), "the gate that is left")
    assert opened.execute_script(ALSO, "C") == ""


def test_one_key_settles_both_and_one_takes_both_back(opened: webdriver.Chrome, live: Live) -> None:
    opened.find_element(By.CSS_SELECTOR, '[data-key^="A|"]').click()
    until(lambda: "also waits at gate EOL: 40 %" in text_of(opened, ".part-head"), "the other gate, named")
    assert opened.find_element(By.ID, "settles-all").is_selected()
    press(opened, "d")
    until(lambda: "Settled at gate EOL too" in text_of(opened, "#undo"), "both recorded")
    assert states(live, "A") == {"MID": "done", "EOL": "done"}
    opened.get(f"{live.base}/parts/A")
    assert "anna at MID, for EOL too" in text_of(opened, ".record")
    press(opened, "z")
    until(lambda: set(states(live, "A").values()) == {"open"}, "both open again")


def test_gate_by_gate_the_part_stays_in_hand(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/parts/B")
    assert "MID" in text_of(opened, ".facts"), "the more urgent gate, where none is named"
    press(opened, "e")
    until(lambda: not opened.find_element(By.ID, "settles-all").is_selected(), "the tick to go")
    press(opened, "o")
    until(lambda: "EOL" in text_of(opened, ".facts") and "B is recorded" in text_of(opened, "#undo"), "its other gate")
    assert opened.current_url.endswith("/parts/B")
    assert states(live, "B") == {"MID": "done", "EOL": "open"}
    assert not opened.find_elements(By.ID, "settles-all")


def test_an_empty_queue_tells_what_was_decided_and_when_the_latest_part_was_judged(
    opened: webdriver.Chrome, live: Live
) -> None:
    opened.get(f"{live.base}/parts/A")
    press(opened, "d")
    until(lambda: "A is recorded" in text_of(opened, "#undo"), "the decision")
    with live.client("qa") as other:
        for part in ("B", "C"):
            assert other.post(f"/api/parts/{part}/reviews", json={"outcome": "ok", "gate_id": "EOL"}).status_code == 201
    opened.get(f"{live.base}/")
    until(lambda: "You made 2 decisions today: 1 defect, 1 OK, 0 unsure." in text_of(opened, "#shift"), "the counts")
    assert "The latest part was judged" in text_of(opened, "#shift-line")
    listed = [one.split()[:2] for one in text_of(opened, "#shift-list").splitlines() if one]
    assert listed == [["A", "defect"], ["B", "OK"]], "the latest first"
    opened.get(f"{live.base}/?product=none")
    until(lambda: "Nothing that waits fits" in text_of(opened, "#empty"), "a filter that nothing fits")
    assert not opened.find_element(By.ID, "shift").is_displayed()
