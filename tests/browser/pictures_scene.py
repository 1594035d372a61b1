"""A person before a screen: what a browser shows of a plant, what is typed, and the picture of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.api.conftest import until
from tests.browser.pictures_plant import Plant
from tests.browser.pictures_png import small_png

DESK, TABLET = (1280, 800), (768, 1024)
HAND_S = 0.12  # between two keys of a hand: slower than a scanner
SETTLED = """const inSight = (one) => { const at = one.getBoundingClientRect();
        return at.width && at.bottom > 0 && at.top < innerHeight; };  // others load when somebody scrolls to them
    return document.readyState === "complete" && [...document.images].every((one) => one.complete || !inSight(one))
        && document.getAnimations().every((one) => one.playState !== "running")"""


@dataclass(frozen=True)
class Scene:
    """This browser at this plant."""

    browser: webdriver.Chrome
    plant: Plant

    def log_in(self, role: str, name: str = "anna") -> None:
        """Open the queue as this person, whoever sat here before."""
        self.browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.browser.get(f"{self.plant.address}/?token={self.plant.token(name, role)}")
        self.browser.execute_script("sessionStorage.clear()")  # what one who had the same name has decided

    def open(self, path: str) -> None:
        self.browser.get(self.plant.address + path)

    def text(self) -> str:
        """All that can be read now; nothing while another page is on its way."""
        read: str = self.browser.execute_script("return document.body ? document.body.innerText : ''")
        return read

    def until_read(self, *words: str) -> None:
        for one in words:
            until(lambda one=one: one in self.text(), f"{one!r} to be read")  # type: ignore[misc]

    def until_gone(self, *words: str) -> None:
        for one in words:
            until(lambda one=one: one not in self.text(), f"{one!r} to go")  # type: ignore[misc]

    def press(self, *typed: str) -> None:
        for key in typed:
            self.browser.find_element(By.TAG_NAME, "body").send_keys(key)
            time.sleep(HAND_S)

    def click(self, css: str) -> None:
        self.browser.find_element(By.CSS_SELECTOR, css).click()

    def parts(self) -> list[str]:
        """Addresses of the parts in the list, the most urgent first."""
        script = "return [...document.querySelectorAll('.row')].map((one) => one.getAttribute('href'))"
        found: list[str] = self.browser.execute_script(script)
        return found

    def first_part(self) -> str:
        """The address of the most urgent part."""
        self.open("/")
        until(self.parts, "a part in the queue")
        return self.parts()[0]

    def look(self, size: tuple[int, int], dark: bool, language: str = "en") -> None:
        """On a screen of this size, by day or by night, in this language, with nothing that moves by itself."""
        agent = self.browser.execute_script("return navigator.userAgent")
        spoken = {"userAgent": agent, "acceptLanguage": language}
        self.browser.execute_cdp_cmd("Emulation.setUserAgentOverride", spoken)
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def settle(self) -> None:
        """Wait until what is on its way is there and nothing moves."""
        until(lambda: self.browser.execute_script(SETTLED), "the page to settle")

    def picture(self, path: Path) -> None:
        """What is shown now, as a small PNG."""
        path.write_bytes(small_png(self.browser.get_screenshot_as_png()))
