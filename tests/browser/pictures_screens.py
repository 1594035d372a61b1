"""Every screen on a good day: name -> how to get there, and what must be read there; see `pictures_states.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from api.access.people import add_person
from tests.api.conftest import until
from tests.browser.pictures_audited import audit_of_a_day, judged_by_many
from tests.browser.pictures_scene import TABLET, Scene
from tests.browser.pictures_states import Arrive, State, at

SEEN_BY_TWO = 20  # of the most urgent parts one was seen by several cameras


def part(*typed: str) -> Arrive:
    """The most urgent part that several cameras saw, and these keys pressed."""

    @contextmanager
    def arrive(scene: Scene) -> Iterator[None]:
        scene.first_part()
        for address in scene.parts()[:SEEN_BY_TWO]:
            scene.open(address)
            if scene.browser.find_elements(By.ID, "side-by-side"):
                break
        scene.settle()
        scene.press(*typed)
        yield

    return arrive


def queue(*typed: str) -> Arrive:
    """The queue with its first parts there, and these keys pressed."""

    @contextmanager
    def arrive(scene: Scene) -> Iterator[None]:
        scene.first_part()
        scene.press(*typed)
        yield

    return arrive


@contextmanager
def part_close(scene: Scene) -> Iterator[None]:
    """The region that vision marked, one pixel of the frame on at least one of the screen."""
    with part()(scene):
        region = scene.browser.find_element(By.CSS_SELECTOR, ".boxes rect")
        ActionChains(scene.browser).double_click(region).perform()
        yield


@contextmanager
def exposed(scene: Scene) -> Iterator[None]:
    """Every part that met the likely cause of the most urgent part which has one that a booking names."""
    with scene.plant.asked_by("watch", "machine") as asking:
        found = asking.get("/api/verdicts", params={"decision": "review", "limit": 200}).json()["items"]
    causes = [one["cause"] for verdict in found for one in verdict["causes"] if "=" in one["cause"]]
    scene.open(f"/exposed?cause={causes[0]}")
    yield


@contextmanager
def report(scene: Scene) -> Iterator[None]:
    """The report of the first batch of the list."""
    scene.open("/batches")
    scene.open(
        scene.browser.find_element(By.CSS_SELECTOR, "main table a")
        .get_attribute("href")
        .partition(scene.plant.address)[2]
    )
    yield


@contextmanager
def logged_out(scene: Scene) -> Iterator[None]:
    scene.browser.delete_all_cookies()
    scene.open("/login")
    yield


@contextmanager
def settled(scene: Scene) -> Iterator[None]:
    """One part decided on, and the list of those that are."""
    scene.open(scene.first_part())
    scene.settle()
    scene.press("o")
    until(lambda: "is recorded as" in scene.text(), "the decision to be recorded")
    scene.open("/")
    scene.click("#tab-done")
    until(scene.parts, "the settled part")
    yield
    scene.press("z")


@contextmanager
def own_password(scene: Scene) -> Iterator[None]:
    """Somebody logs in for the first time, with the one-time password."""
    secret = add_person(scene.plant.settings, "mia", "inspector", by="anna")
    with logged_out(scene):
        scene.browser.find_element(By.ID, "name").send_keys("mia", Keys.TAB, secret, Keys.ENTER)
        yield


SCREENS: dict[str, State] = {
    "login": State(logged_out, ("Your name", "Password")),
    "queue": State(queue(), ("Flagged parts", "Waiting")),
    "queue-tablet-dark": State(queue(), ("Flagged parts", "Waiting"), size=TABLET, dark=True),
    "queue-settled": State(settled, ("Settled",)),
    "part": State(part(), ("Why", "Likely causes", "Evidence")),
    "part-close": State(part_close, ("Why",)),
    "part-side-by-side": State(part("s"), ("Why",)),
    "part-good": State(part("g"), ("good example",)),
    "part-tablet-dark": State(part(), ("Why",), size=TABLET, dark=True),
    "keys": State(queue("?"), ("Keys", "Type another key")),
    "exposed": State(exposed, ("Those that wait",), role="qa"),
    "batches": State(at("/batches"), ("Batches",), role="qa"),
    "report": State(report, ("Batch",), role="qa"),
    "quality": State(judged_by_many, ("Quality of decisions", "points, between"), "audited", role="qa"),
    "plant": State(at("/plant"), ("Gates", "Models in use", "Who is at work"), role="engineer"),
    "rules": State(at("/rules"), ("How parts are shown",)),
    "audit": State(audit_of_a_day, ("Audit", "decided"), "audited", role="qa"),
    "people": State(at("/people"), ("People", "ina"), role="admin"),
    "password": State(own_password, ("My account", "Choose one that only you know")),
    "docs": State(at("/docs"), ("/api/parts/",), role="engineer"),
    "queue-german": State(queue(), (), language="de"),
    "part-german": State(part(), (), language="de"),
}
