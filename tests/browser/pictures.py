#!/usr/bin/env python3
"""Pictures of every screen and state for the documents, of the plant that `make demo` left: deploy/pictures/*.png.

    python tests/browser/pictures.py [--home HOME] [NAME ...]      HOME: `.qcfuse`; NAME: only these pictures

The home is copied, and all roles run on the copy; nothing in it changes. `deploy/screens.md` shows what comes out.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from api.access.people import Wish, add_person  # noqa: E402
from tests.browser.pictures_audited import LEAVE_NOTHING  # noqa: E402
from tests.browser.pictures_homes import PLANTS  # noqa: E402
from tests.browser.pictures_scene import DESK, Scene  # noqa: E402
from tests.browser.pictures_screens import SCREENS  # noqa: E402
from tests.browser.pictures_states import STATES, State  # noqa: E402

PICTURES = ROOT / "deploy" / "pictures"
SHOWN = SCREENS | STATES
PEOPLE = (("ina", "inspector", "early shift"), ("jon", "inspector", "late shift"), ("eva", "engineer", ""))


def take(scene: Scene, name: str, shown: State, into: Path) -> None:
    """One picture, of what must be read there."""
    scene.look(shown.size, shown.dark, shown.language)
    scene.log_in(shown.role)
    with shown.arrive(scene):
        scene.until_read(*shown.read)
        scene.settle()
        scene.picture(into / f"{name}.png")
    print(into / f"{name}.png", flush=True)


def take_all(browser: webdriver.Chrome, demo: Path, names: list[str], into: Path) -> list[str]:
    """These pictures, plant by plant. Returns what could not be taken, and why."""
    failed = []
    for kind, plant_of in PLANTS.items():
        here = sorted((name for name in names if SHOWN[name].plant == kind), key=LEAVE_NOTHING.__contains__)
        if not here:
            continue
        with tempfile.TemporaryDirectory(prefix="qcfuse-pictures-") as folder, plant_of(Path(folder), demo) as plant:
            if kind == "road":
                for name, role, group in PEOPLE:
                    add_person(plant.settings, name, role, by="anna", wish=Wish(role, group_name=group))
            for name in here:
                try:
                    take(Scene(browser, plant), name, SHOWN[name], into)
                except (AssertionError, WebDriverException) as error:
                    failed.append(f"{name}: {str(error).splitlines()[0]}")
    return failed


def main() -> int:
    """Take the pictures. Returns the exit status."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--home", type=Path, default=Path(".qcfuse"))
    asked.add_argument("--into", type=Path, default=PICTURES)
    asked.add_argument("names", nargs="*", choices=[[], *SHOWN], metavar="NAME")
    given = asked.parse_args()
    if not (given.home / "store.db").is_file():
        print(f"{given.home} holds no store: run `make demo` first, or name a home", file=sys.stderr)
        return 2
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    size = f"--window-size={DESK[0]},{DESK[1]}"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", size):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or ""))
    try:
        failed = take_all(browser, given.home, given.names or list(SHOWN), given.into)
    finally:
        browser.quit()
    for one in failed:
        print(f"NOT TAKEN: {one}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
