"""Logging in for the first time, and an admin who adds somebody, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from api.people import FIRST_ADMIN, first_admin
from tests.api.conftest import Live, serve, until
from tests.api.factory import settings_at

pytestmark = pytest.mark.browser
OWN = "my own password"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serve(settings_at(tmp_path_factory.mktemp("people") / "home")) as served:
        yield served


def fill(browser: webdriver.Chrome, **fields: str) -> None:
    for name, text in fields.items():
        browser.find_element(By.ID, name).clear()
        browser.find_element(By.ID, name).send_keys(text)


def test_the_first_admin_logs_in_changes_the_password_and_adds_an_inspector_who_does_the_same(
    browser: webdriver.Chrome, live: Live
) -> None:
    secret = first_admin(live.settings)
    assert secret is not None
    browser.get(f"{live.base}/")
    assert browser.current_url.endswith("/login")
    fill(browser, name=FIRST_ADMIN, password="wrong" + Keys.ENTER)
    until(lambda: "do not fit" in browser.page_source, "a word about the wrong password")
    fill(browser, name=FIRST_ADMIN, password=secret + Keys.ENTER)
    choose_password(browser, live, secret)
    browser.get(f"{live.base}/people")
    fill(browser, **{"person-name": "ina"})
    browser.find_element(By.CSS_SELECTOR, "#add-person button").click()
    until(lambda: browser.find_element(By.ID, "secret").text, "the one-time password of the new inspector")
    handed_over = browser.find_element(By.ID, "secret").text
    browser.find_element(By.CSS_SELECTOR, "#secret-dialog button").click()
    until(lambda: "has not logged in yet" in browser.page_source, "the new account in the table")
    assert handed_over not in browser.page_source
    browser.find_element(By.CSS_SELECTOR, ".who button").click()
    until(lambda: browser.current_url.endswith("/login"), "the log-in page")
    fill(browser, name="ina", password=handed_over + Keys.ENTER)
    choose_password(browser, live, handed_over)
    assert not browser.find_elements(By.CSS_SELECTOR, "nav a[href='/people']"), "inspectors see no accounts"
    browser.get(f"{live.base}/people")
    assert "has no right to people" in browser.page_source


def choose_password(browser: webdriver.Chrome, live: Live, secret: str) -> None:
    until(lambda: browser.current_url.endswith("/account"), "the page that asks for a password of one's own")
    browser.get(f"{live.base}/")
    assert browser.current_url.endswith("/account"), "nothing else is open before"
    fill(browser, old=secret, new=OWN, again=OWN + "x" + Keys.ENTER)
    until(lambda: "differ" in browser.page_source, "a word about the repetition")
    fill(browser, old=secret, new=OWN, again=OWN + Keys.ENTER)
    until(lambda: browser.current_url == f"{live.base}/", "the queue")
