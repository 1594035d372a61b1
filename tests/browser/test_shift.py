"""A shift: log in, decide on twenty parts by keyboard, take one back, report a missed one, lose the server, come back.

The API is a real process, killed as a power cut does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from api.access.people import add_person
from tests.api.conftest import until
from tests.api.factory import keep_evidence, make_findings, make_pass, make_verdict, make_visit, publish, settings_at
from tests.browser.conftest import opened_browser
from tests.browser.pictures_homes import until_waiting
from tests.browser.pictures_plant import Line, Plant, at_work
from tests.browser.pictures_scene import Scene

pytestmark = pytest.mark.browser

PARTS = [f"S{number:02}" for number in range(20)]  # the first the most urgent
BOTH = [f"T{number:02}" for number in range(12)]
OWN = "my own password"
FREE = """const free = [...document.querySelectorAll(".row")].find((one) => !one.querySelector(".held:not([hidden])"));
    return free ? free.pathname : null"""
GONE = "return document.readyState === 'complete' && location.pathname !== arguments[0]"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Twenty parts wait, and one passed that should not have."""
    with at_work(settings_at(tmp_path_factory.mktemp("shift") / "home"), "api") as served:
        frame_ref, heatmap_ref, evidence_ref = keep_evidence(served.settings, "S00")
        flagged = [make_verdict(part, risk=0.95 - n / 100, evidence_ref=evidence_ref) for n, part in enumerate(PARTS)]
        with served.log() as log:
            publish(
                log,
                served.settings,
                production=[make_visit(part) for part in PARTS],
                findings=[make_findings(part, frame_ref=frame_ref, heatmap_ref=heatmap_ref) for part in PARTS],
                verdicts=[make_pass("MISSED"), *flagged],
            )
        until_waiting(served, len(PARTS))
        yield served


@pytest.fixture(scope="module")
def asking(plant: Plant) -> Iterator[httpx.Client]:
    """A client that looks at the record, past the line and the browser."""
    with plant.asked_by("record", "machine") as client:
        yield client


def outcomes(asking: httpx.Client, part: str) -> list[str]:
    """What was recorded of this part, the first first."""
    return [one["outcome"] for one in asking.get(f"/api/parts/{part}").json()["reviews"]]


def at_part(scene: Scene, part: str) -> None:
    ready = "return document.readyState === 'complete' && location.pathname === arguments[0]"
    until(lambda: scene.browser.execute_script(ready, f"/parts/{part}"), f"the page of {part}")


def first_log_in(scene: Scene, name: str) -> None:
    """With the one-time password, and one of one's own: no mouse."""
    secret = add_person(scene.plant.settings, name, "inspector", by="test")
    scene.open("/login")
    scene.browser.delete_all_cookies()
    scene.open("/")
    scene.browser.find_element(By.ID, "name").send_keys(name, Keys.TAB, secret, Keys.ENTER)
    until(lambda: scene.browser.current_url.endswith("/account"), "the page that asks for a password")
    scene.browser.find_element(By.ID, "old").send_keys(secret, Keys.TAB, OWN, Keys.TAB, OWN, Keys.ENTER)
    until(scene.parts, "the queue")


def test_a_shift(browser: webdriver.Chrome, plant: Plant, asking: httpx.Client) -> None:
    scene = Scene(browser, plant)
    first_log_in(scene, "ina")
    scene.press("j")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    decided = work_off(scene, PARTS[:10])
    take_the_last_back(scene)
    report_a_missed_defect(scene, asking)
    killed_before_it_arrives(scene, asking)
    decided |= work_off(scene, PARTS[11:15])
    killed_before_it_answers(scene, asking)
    decided |= work_off(scene, PARTS[16:])
    scene.until_read("Nothing waits for you", "21 by you")
    told = {part: outcomes(asking, part) for part in [*PARTS, "MISSED"]}
    assert told == {part: [outcome] for part, outcome in decided.items()} | {
        PARTS[9]: ["ok", "unsure", "defect"],
        "MISSED": ["defect"],
        PARTS[10]: ["ok"],
        PARTS[15]: ["defect"],
    }


def work_off(scene: Scene, parts: list[str]) -> dict[str, str]:
    """Decide on these one after the other; every third is a defect."""
    decided = {}
    for number, part in enumerate(parts):
        at_part(scene, part)
        decided[part] = "defect" if number % 3 == 0 and number != 9 else "ok"
        scene.press("d" if decided[part] == "defect" else "o")
    return decided


def take_the_last_back(scene: Scene) -> None:
    """A slip of the finger: back to it, and decided otherwise."""
    at_part(scene, PARTS[10])
    scene.press("z")
    at_part(scene, PARTS[9])
    scene.press("d")
    at_part(scene, PARTS[10])


def report_a_missed_defect(scene: Scene, asking: httpx.Client) -> None:
    """A part that passed lies on the bench with a scratch: scan it, report it; the next part waits as before."""
    scene.browser.find_element(By.TAG_NAME, "body").send_keys("MISSED" + Keys.ENTER)
    at_part(scene, "MISSED")
    scene.press("d")
    at_part(scene, PARTS[10])
    assert outcomes(asking, "MISSED") == ["defect"]


def line_of(scene: Scene) -> Line:
    assert scene.plant.line is not None
    return scene.plant.line


def killed_before_it_arrives(scene: Scene, asking: httpx.Client) -> None:
    """The server dies while the decision is on its way to it."""
    part = PARTS[10]
    line_of(scene).hold(b"POST /api/parts/" + part.encode() + b"/reviews")
    scene.press("o")
    until(line_of(scene).holds, "the decision on its way")
    assert outcomes(asking, part) == []
    scene.plant.kill("api")
    line_of(scene).free()
    scene.until_read("Not yet recorded", "leave this page open")
    scene.plant.start("api")
    at_part(scene, PARTS[11])


def killed_before_it_answers(scene: Scene, asking: httpx.Client) -> None:
    """The decision is recorded, and the server dies before it has said so: sent again, it is not recorded twice."""
    part = PARTS[15]
    at_part(scene, part)
    line_of(scene).hold(b"POST /api/parts/" + part.encode() + b"/reviews", answers=True)
    scene.press("d")
    until(lambda: outcomes(asking, part) == ["defect"], "the decision in the record")
    scene.plant.kill("api")
    line_of(scene).cut()
    line_of(scene).free()
    scene.until_read("Not yet recorded")
    line_of(scene).mend()
    scene.plant.start("api")
    at_part(scene, PARTS[16])
    assert outcomes(asking, part) == ["defect"]


def test_two_inspectors_in_two_browsers_share_the_parts(
    browser: webdriver.Chrome, chromium: tuple[str, str], plant: Plant, asking: httpx.Client
) -> None:
    with plant.log() as log:
        publish(log, plant.settings, verdicts=[make_verdict(part, batch_id="BOTH") for part in BOTH])
    waiting = "/api/queue?batch_id=BOTH"
    until(lambda: len(asking.get(waiting).json()["items"]) == len(BOTH), "the parts of both")
    with opened_browser(chromium) as second, ThreadPoolExecutor(2) as hands:
        scenes = [Scene(browser, plant), Scene(second, plant)]
        first_log_in(scenes[0], "jo")
        first_log_in(scenes[1], "kim")
        for scene in scenes:
            open_a_free_part(scene)
        shares = [one.result() for one in [hands.submit(until_nothing_waits, scene) for scene in scenes]]
    assert all(shares)
    assert sorted(shares[0] + shares[1]) == BOTH
    for name, share in zip(("jo", "kim"), shares, strict=True):
        for part in share:
            reviews = asking.get(f"/api/parts/{part}").json()["reviews"]
            assert [(one["recorded_by"], one["outcome"]) for one in reviews] == [(name, "ok")]


def open_a_free_part(scene: Scene) -> None:
    """The first of the list that nobody holds. The list may be a moment old: of a part that somebody has just taken the
    page says so, and whoever reads it looks again."""

    def is_mine() -> bool:
        scene.open("/?batch_id=BOTH")
        until(lambda: scene.browser.execute_script(FREE), "a part that nobody holds")
        scene.open(scene.browser.execute_script(FREE))
        told = "return holding.mine || !document.getElementById('held').hidden"
        until(lambda: scene.browser.execute_script(told), "who holds the part")
        return bool(scene.browser.execute_script("return holding.mine"))

    until(is_mine, "the part to be held")


def until_nothing_waits(scene: Scene) -> list[str]:
    """Decide on this part and the next, until none of the batch waits. Returns the parts decided on."""
    decided = []
    while (here := scene.browser.execute_script("return location.pathname")) != "/":
        scene.until_read("waiting for you")
        decided.append(here.removeprefix("/parts/"))
        scene.press("o")
        until(lambda here=here: scene.browser.execute_script(GONE, here), "the next page")  # type: ignore[misc]
    return decided
