"""What a hand does all day: from part to part, leaving one for later, taking back several, looking up what was said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from api.access.tokens import issue_token
from tests.api.conftest import Live, serve, until
from tests.api.factory import keep_evidence, make_findings, make_pass, make_verdict, publish, settings_at
from tests.browser.test_screen import press, rows, shown, text_of

pytestmark = pytest.mark.browser
PARTS = ("A1", "A2", "A3", "A4")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Four parts that wait, and a good one to hold beside them."""
    with serve(settings_at(tmp_path_factory.mktemp("hand") / "home")) as served:
        verdicts = [make_verdict(part, risk=0.9 - number / 10) for number, part in enumerate(PARTS)]
        frames = [keep_evidence(served.settings, part)[0] for part in (*PARTS, "GOOD")]
        seen = [make_findings(part, frame_ref=frame) for part, frame in zip((*PARTS, "GOOD"), frames, strict=True)]
        publish(served.log, served.settings, findings=seen, verdicts=[*verdicts, make_pass("GOOD")])
        served.collected(5)
        yield served


@pytest.fixture(scope="module")
def opened(browser: webdriver.Chrome, live: Live) -> webdriver.Chrome:
    browser.get(f"{live.base}/?token={issue_token(live.settings, 'anna', 'qa')}")
    until(lambda: rows(browser) == list(PARTS), "the queue")
    return browser


def at(browser: webdriver.Chrome, part: str) -> bool:
    return f"/parts/{part}" in browser.current_url and shown(browser, "#decide")


def test_one_key_begins_and_leaves_a_part_for_later(opened: webdriver.Chrome) -> None:
    press(opened, "n")
    until(lambda: at(opened, "A1"), "the first part for me")
    press(opened, "n")
    until(lambda: at(opened, "A2"), "the next one, nothing decided")
    press(opened, "p")
    until(lambda: at(opened, "A1"), "the part before")
    press(opened, "n")
    until(lambda: at(opened, "A2"), "and on again")
    opened.find_element(By.ID, "skip-part").click()
    until(lambda: at(opened, "A1"), "the most urgent again, which was let go of")


def test_the_good_part_is_laid_over_as_far_as_wanted_and_says_so(opened: webdriver.Chrome) -> None:
    assert not shown(opened, "#wipe")
    press(opened, "g")
    until(lambda: shown(opened, "#wipe"), "the slider")
    sign = "return getComputedStyle(document.querySelector('.picture[data-good]'), '::after').content"
    assert "GOOD" in opened.execute_script(sign)
    opened.execute_script(
        "const wipe = document.getElementById('wipe'); wipe.value = 40; wipe.dispatchEvent(new Event('input'));"
    )
    cut = "return getComputedStyle(document.querySelector('.stack .good')).clipPath"
    assert opened.execute_script(cut).replace("calc(60%)", "60%") == "inset(0px 60% 0px 0px)"
    press(opened, "g")
    assert not shown(opened, "#wipe")


def test_several_decisions_are_taken_back_the_latest_first(opened: webdriver.Chrome, live: Live) -> None:
    for part, key in (("A1", "o"), ("A2", "d"), ("A3", "o")):
        until(lambda part=part: at(opened, part), part)  # type: ignore[misc]
        press(opened, key)
    until(lambda: "A3 is recorded as OK" in text_of(opened, "#undo"), "the third decision")
    until(lambda: text_of(opened, "#progress") == "1 waiting · 3 by you today", "how far the shift is")
    for part, before in (("A3", "A2 is recorded as defect"), ("A2", "A1 is recorded as OK")):
        press(opened, "z")
        until(lambda part=part: at(opened, part), f"{part} again")  # type: ignore[misc]
        until(lambda before=before: before in text_of(opened, "#undo"), before)  # type: ignore[misc]
    states = [live.service.here.reader.part(part).cases[0].outcome for part in PARTS]  # type: ignore[union-attr]
    assert states == ["ok", None, None, None]


def test_what_is_settled_says_what_was_decided_and_by_whom(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(live.base)
    until(lambda: rows(opened) == ["A2", "A3", "A4"], "the queue")
    opened.find_element(By.ID, "tab-done").click()
    until(lambda: rows(opened) == ["A1"], "the settled part")
    assert text_of(opened, "#open-count") == "3"
    assert "decided: OK" in text_of(opened, ".row")
    assert "anna, " in text_of(opened, ".row")
    assert "Review" not in text_of(opened, ".row")


def test_certificates_stand_in_one_line_until_one_is_void(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(live.base)
    until(lambda: shown(opened, "#promises-said"), "the certificates")
    assert "void" in text_of(opened, "#promises-said")
    assert shown(opened, "#promises li"), "no judge is at work here: that is not folded away"
    calm = """const said = {standing: "valid", said: "Certified", since: null, conflict: ""};
        promises.show({certificates: ["MID", "EOL"].map((gate) => ({line_id: "L1", gate_id: gate, ...said}))});
        promises.fold().open = false"""
    opened.execute_script(calm)
    assert text_of(opened, "#promises-said") == "Escape certificates: 2 valid"
    assert not shown(opened, "#promises li")
    opened.execute_script("promises.fold().open = true")
    assert text_of(opened, "#promises li") == "L1 · MID, L1 · EOL Certified"
