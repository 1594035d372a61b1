"""What goes around every page: the state of the road, dialogs instead of prompts, languages, the plant's clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from api.access.tokens import issue_token
from tests.api.conftest import Live, serve, until
from tests.api.factory import make_verdict, publish, settings_at

pytestmark = pytest.mark.browser

#: How far the frame is from each edge of the window, and how thick it is.
AROUND = """
const frame = document.querySelector(".state-frame"), box = frame.getBoundingClientRect();
const {clientWidth, clientHeight} = document.documentElement, {display, borderTopWidth} = getComputedStyle(frame);
return [display, box.left, box.top, clientWidth - box.right, clientHeight - box.bottom, parseFloat(borderTopWidth)];
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serve(settings_at(tmp_path_factory.mktemp("frame") / "home", time_zone="America/St_Johns")) as served:
        publish(served.log, served.settings, verdicts=[make_verdict("A1")])
        served.collected(1)
        yield served


@pytest.fixture
def opened(browser: webdriver.Chrome, live: Live) -> webdriver.Chrome:
    browser.get(f"{live.base}/?token={issue_token(live.settings, 'anna', 'admin')}")
    return browser


def speak(browser: webdriver.Chrome, language: str) -> None:
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"Accept-Language": language}})


def state_of(browser: webdriver.Chrome) -> str:
    return str(browser.find_element(By.TAG_NAME, "body").get_attribute("data-state"))


def word_of(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.ID, "state-word").text.lower()


def test_a_broken_road_and_a_lost_connection_go_around_the_whole_screen(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/")
    until(lambda: state_of(opened) == "stopped", "the frame")
    display, *edges, thick = opened.execute_script(AROUND)
    assert (display, edges) == ("block", [0, 0, 0, 0])
    assert thick >= 6
    assert word_of(opened) == "road broken"
    assert "inspect them as your work instruction says" in opened.find_element(By.ID, "trouble").text
    opened.execute_cdp_cmd("Network.enable", {})
    lost = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    opened.execute_cdp_cmd("Network.emulateNetworkConditions", lost)
    until(lambda: state_of(opened) == "lost", "the frame of a lost connection")
    assert "Connection lost since" in opened.find_element(By.ID, "lost").text
    opened.execute_cdp_cmd("Network.emulateNetworkConditions", lost | {"offline": False})
    until(lambda: state_of(opened) == "stopped", "the connection back")


def test_the_frame_lets_every_click_through(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/")
    until(lambda: state_of(opened) == "stopped", "the frame")
    assert opened.execute_script("return document.elementFromPoint(2, innerHeight / 2).className") != "state-frame"


def test_the_question_before_a_stop_works_by_keyboard_alone(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/batches")
    button = opened.find_element(By.ID, "mode-button")
    until(button.is_displayed, "the stop button")
    button.send_keys(Keys.ENTER)
    dialog = opened.find_element(By.ID, "mode-dialog")
    until(dialog.is_displayed, "the question")
    reason = opened.switch_to.active_element
    assert reason.get_attribute("id") == "mode-reason"
    assert opened.find_element(By.CSS_SELECTOR, "label[for=mode-reason]").text.startswith("Why?")
    reason.send_keys(Keys.ESCAPE)
    until(lambda: not dialog.is_displayed(), "Escape to close it")
    assert opened.switch_to.active_element == button
    assert live.service.here.reader.newest_orders() == {}


def test_an_order_that_fails_says_so_in_its_place_and_keeps_what_was_typed(
    opened: webdriver.Chrome, live: Live
) -> None:
    opened.get(f"{live.base}/batches")
    button = opened.find_element(By.ID, "mode-button")
    until(button.is_displayed, "the stop button")
    button.click()
    opened.switch_to.active_element.send_keys("smoke")
    lost = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    opened.execute_cdp_cmd("Network.enable", {})
    opened.execute_cdp_cmd("Network.emulateNetworkConditions", lost)
    try:
        opened.find_element(By.CSS_SELECTOR, "#mode-dialog .primary").click()
        until(lambda: "The order was not given" in opened.find_element(By.ID, "mode-said").text, "why not")
        assert opened.find_element(By.ID, "mode-reason").get_attribute("value") == "smoke"
    finally:
        opened.execute_cdp_cmd("Network.emulateNetworkConditions", lost | {"offline": False})


def test_the_first_tab_leads_past_the_head(opened: webdriver.Chrome, live: Live) -> None:
    opened.get(f"{live.base}/batches")
    opened.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    skip = opened.switch_to.active_element
    assert skip.text == "Skip to the content"
    assert skip.rect["y"] >= 0
    skip.send_keys(Keys.ENTER)
    assert opened.switch_to.active_element.get_attribute("id") == "main"


def test_scripts_and_pages_speak_german_to_a_german_browser(opened: webdriver.Chrome, live: Live) -> None:
    speak(opened, "de-DE,de;q=0.9")
    try:
        opened.get(f"{live.base}/")
        until(lambda: opened.find_elements(By.CSS_SELECTOR, ".row .pill"), "the queue")
        german = live.service.here.languages.spoken["de"]
        assert opened.find_element(By.CSS_SELECTOR, ".row .pill").text == german.say("Review", {})
        until(lambda: word_of(opened) == german.say("Road broken", {}).lower(), "the frame in German")
        assert opened.execute_script("return percent(0.005)") == "0,5 %"
    finally:
        speak(opened, "en")


def test_times_are_the_plants_wherever_the_reader_sits(opened: webdriver.Chrome, live: Live) -> None:
    opened.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    try:
        opened.get(f"{live.base}/batches")
        shown = opened.find_element(By.CSS_SELECTOR, "td time")
        by_script = opened.execute_script("return moment(new Date(arguments[0].dateTime))", shown)
        assert shown.text == by_script
        minutes = opened.execute_script("return new Date(arguments[0].dateTime).getUTCMinutes()", shown)
        assert int(shown.text[-5:-3]) == (minutes + 30) % 60  # St. John's is half an hour off
        assert "America/St_Johns, UTC-0" in opened.find_element(By.CLASS_NAME, "foot").text
        assert "America/St_Johns" in str(shown.get_attribute("title"))
    finally:
        opened.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


def test_who_wants_no_motion_gets_none(opened: webdriver.Chrome, live: Live) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    )
    try:
        opened.get(f"{live.base}/")
        until(lambda: opened.find_elements(By.CSS_SELECTOR, ".row"), "the queue")
        moving = """return [...document.querySelectorAll("*")].filter((one) => {
            const style = getComputedStyle(one);
            return style.animationName !== "none" || parseFloat(style.transitionDuration) > 0; }).length"""
        assert opened.execute_script(moving) == 0
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
