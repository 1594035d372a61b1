#!/usr/bin/env python3
"""Pictures of the screens for the documents, of the plant that `make demo` left: deploy/pictures/*.png.

    python tests/browser/pictures.py [HOME]      HOME: `.qcfuse`

The home is copied; nothing in it changes. Only the API role runs, so that the screens also say what is not at work.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from api.people import add_person  # noqa: E402
from api.tokens import issue_token  # noqa: E402
from ingest.settings import Settings  # noqa: E402
from tests.api.conftest import serve, until  # noqa: E402

PICTURES = ROOT / "deploy" / "pictures"
DESK, TABLET = (1280, 800), (768, 1024)
Act = Callable[[webdriver.Chrome], None]


def nothing(_: webdriver.Chrome) -> None:
    """As the page opens."""


def press(*typed: str) -> Act:
    """Type keys as a hand does."""

    def act(browser: webdriver.Chrome) -> None:
        for key in typed:
            browser.find_element(By.TAG_NAME, "body").send_keys(key)
            time.sleep(0.15)

    return act


def first_part(then: Act) -> Act:
    """Open the most urgent part."""

    def act(browser: webdriver.Chrome) -> None:
        until(lambda: browser.find_elements(By.CSS_SELECTOR, ".row"), "the queue")
        for row in [one.get_attribute("href") or "" for one in browser.find_elements(By.CSS_SELECTOR, ".row")[:20]]:
            browser.get(row)
            time.sleep(1.0)
            if browser.find_elements(By.ID, "side-by-side"):  # one that several cameras saw
                break
        then(browser)

    return act


#: name -> address, what is done there, size, dark?
SHOTS: dict[str, tuple[str, Act, tuple[int, int], bool]] = {
    "queue": ("/", nothing, DESK, False),
    "queue-tablet-dark": ("/", nothing, TABLET, True),
    "queue-nothing-fits": ("/?product=none", nothing, DESK, False),
    "part": ("/", first_part(nothing), DESK, False),
    "part-close": ("/", first_part(press("+", "+")), DESK, False),
    "part-side-by-side": ("/", first_part(press("s")), DESK, False),
    "part-tablet-dark": ("/", first_part(nothing), TABLET, True),
    "part-unknown": ("/parts/none", nothing, DESK, False),
    "keys": ("/", press("?"), DESK, False),
    "batches": ("/batches", nothing, DESK, False),
    "people": ("/people", nothing, DESK, False),
}


def take(browser: webdriver.Chrome, base: str, name: str) -> None:
    """One picture."""
    address, act, (width, height), dark = SHOTS[name]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    browser.get(base + address)
    time.sleep(1.5)
    act(browser)
    time.sleep(0.5)
    browser.save_screenshot(str(PICTURES / f"{name}.png"))
    print(PICTURES / f"{name}.png")


def main(arguments: list[str]) -> int:
    """Take every picture. Returns the exit status."""
    home = Path(arguments[0] if arguments else ".qcfuse")
    if not (home / "store.db").is_file():
        print(f"{home} holds no store: run `make demo` first, or name a home", file=sys.stderr)
        return 2
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    with tempfile.TemporaryDirectory(prefix="qcfuse-pictures-") as folder:
        copied = Path(folder) / "home"
        shutil.copytree(home, copied, ignore=shutil.ignore_patterns("run"))
        settings = Settings(home=str(copied))
        browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or ""))
        try:
            with serve(settings) as live:
                add_person(settings, "ina", "inspector", by="pictures")
                browser.get(f"{live.base}/login")
                browser.set_window_size(*DESK)
                browser.save_screenshot(str(PICTURES / "login.png"))
                browser.get(f"{live.base}/?token={issue_token(settings, 'anna', 'admin')}")
                for name in SHOTS:
                    take(browser, live.base, name)
        finally:
            browser.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
