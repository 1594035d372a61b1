"""Logging in for the first time, and an admin who adds somebody, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from api.access.people import FIRST_ADMIN, add_person, first_admin
from api.access.tokens import issue_token
from tests.api.conftest import Live, serve, until
from tests.api.factory import settings_at
from tests.api.oidc_provider import INA, Provider, running
from tests.api.test_oidc import settings_by

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
    assert "You lack the right to" in browser.page_source


def choose_password(browser: webdriver.Chrome, live: Live, secret: str) -> None:
    until(lambda: browser.current_url.endswith("/account"), "the page that asks for a password of one's own")
    browser.get(f"{live.base}/")
    assert browser.current_url.endswith("/account"), "nothing else is open before"
    fill(browser, old=secret, new=OWN, again=OWN + "x" + Keys.ENTER)
    until(lambda: "differ" in browser.page_source, "a word about the repetition")
    browser.execute_async_script("road.look().then(arguments[0])")
    assert not browser.find_element(By.ID, "lost").is_displayed(), "what is not open yet is not lost"
    fill(browser, old=secret, new=OWN, again=OWN + Keys.ENTER)
    until(lambda: browser.current_url == f"{live.base}/", "the queue")


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def with_directory(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Live]:
    with serve(settings_by(tmp_path_factory.mktemp("directory") / "home", provider)) as served:
        yield served


def test_somebody_of_the_plants_directory_logs_in_there_and_out_here(
    browser: webdriver.Chrome, with_directory: Live, provider: Provider
) -> None:
    provider.asks_a_person = True
    browser.get(f"{with_directory.base}/")
    browser.find_element(By.ID, "by-directory").click()
    until(lambda: browser.find_elements(By.ID, "go"), "the directory's own page")
    assert browser.current_url.startswith(provider.issuer)
    browser.find_element(By.ID, "go").click()
    until(lambda: browser.current_url == f"{with_directory.base}/", "the queue")
    assert "ina" in browser.find_element(By.CSS_SELECTOR, ".who").text
    browser.find_element(By.CSS_SELECTOR, ".who button").click()
    until(lambda: browser.current_url.endswith("/login"), "the log-in page")
    provider.person = dict(INA) | {"groups": []}
    browser.find_element(By.ID, "by-directory").click()
    until(lambda: browser.find_elements(By.ID, "go"), "the directory's own page")
    browser.find_element(By.ID, "go").click()
    until(lambda: "have no role here" in browser.page_source, "a sentence")
    browser.get(f"{with_directory.base}/")
    assert browser.current_url.endswith("/login")


def test_an_admin_finds_sorts_and_changes_people_by_keyboard(browser: webdriver.Chrome, with_directory: Live) -> None:
    for name, role in (("bea", "inspector"), ("carl", "qa"), ("dora", "inspector")):
        add_person(with_directory.settings, name, role, by="test")
    browser.get(f"{with_directory.base}/?token={issue_token(with_directory.settings, 'root', 'admin')}")
    browser.get(f"{with_directory.base}/people")

    def shown() -> list[str]:
        rows = browser.find_elements(By.CSS_SELECTOR, "tr[data-person]:not([hidden])")
        return [row.get_attribute("data-person") or "" for row in rows]

    def press(*keys: str) -> None:
        webdriver.ActionChains(browser).send_keys(*keys).perform()

    everybody = shown()
    assert {"bea", "carl", "dora"} <= set(everybody)
    browser.find_element(By.CSS_SELECTOR, "[data-sort=name]").click()
    assert shown() == list(reversed(everybody))
    find = browser.find_element(By.ID, "find-person")
    find.send_keys("inspector")
    assert set(shown()) == {"bea", "dora"}
    find.send_keys(Keys.ARROW_DOWN)
    assert shown()[0] == "dora"
    press("Dora D.", Keys.ESCAPE, "Dora Dorn", Keys.TAB, Keys.TAB, "Nacht", Keys.ENTER)
    until(lambda: "dora is changed" in browser.page_source, "a word that it is saved")
    browser.refresh()
    row = browser.find_element(By.CSS_SELECTOR, "tr[data-person=dora]")
    fields = [row.find_element(By.CSS_SELECTOR, f"[data-field={name}]") for name in ("display_name", "group", "role")]
    assert [field.get_attribute("value") for field in fields] == ["Dora Dorn", "Nacht", "inspector"]
    row.find_element(By.CSS_SELECTOR, "[data-disable]").click()
    until(lambda: browser.switch_to.active_element.get_attribute("value") == "yes", "a question first")
    press(Keys.ENTER)
    until(lambda: "shut" in row.find_element(By.CSS_SELECTOR, "[data-state]").text, "the new state")


def test_somebody_chooses_the_language_of_the_screens(browser: webdriver.Chrome, with_directory: Live) -> None:
    secret = add_person(with_directory.settings, "otto", "qa", by="test")
    browser.delete_all_cookies()
    browser.get(f"{with_directory.base}/login")
    fill(browser, name="otto", password=secret + Keys.ENTER)
    until(lambda: browser.current_url.endswith("/account"), "the page that asks for a password of one's own")
    fill(browser, old=secret, new=OWN, again=OWN + Keys.ENTER)
    until(lambda: browser.current_url == f"{with_directory.base}/", "the queue")
    browser.get(f"{with_directory.base}/account")
    Select(browser.find_element(By.ID, "language")).select_by_value("de")
    browser.find_element(By.CSS_SELECTOR, "#language-form button").click()
    until(lambda: browser.execute_script("return document.documentElement.lang") == "de", "the page in German")
