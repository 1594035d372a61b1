"""Every state a screen can be in: name -> how it comes about on a real plant, and what must be read there.

`test_states.py` holds the screens to it; `pictures.py` takes the pictures of the documents by the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.api.conftest import until
from tests.browser.pictures_audited import blind_part, told_of_a_known_part
from tests.browser.pictures_homes import until_whole
from tests.browser.pictures_plant import forget
from tests.browser.pictures_scene import DESK, TABLET, Scene

Arrive = Callable[[Scene], AbstractContextManager[None]]


@dataclass(frozen=True)
class State:
    """One state. `arrive`: brings it about, and ends it again; `read`: what stands there in between; `plant`: where
    (`road`: parts have come; `new`: nothing has come yet; `untrained`: no model; `store`: PostgreSQL over a line;
    `audited`: the plan shows parts blind, to two people, and exercises)."""

    arrive: Arrive
    read: tuple[str, ...]
    plant: str = "road"
    role: str = "inspector"
    size: tuple[int, int] = DESK
    dark: bool = False
    language: str = "en"


def at(path: str) -> Arrive:
    """As this page opens."""

    @contextmanager
    def arrive(scene: Scene) -> Iterator[None]:
        scene.open(path)
        yield

    return arrive


@contextmanager
def loading(scene: Scene) -> Iterator[None]:
    """The answer to the queue's first question is on its way."""
    line = scene.plant.line
    assert line is not None
    line.hold(b"GET /api/queue")
    try:
        scene.open("/")
        yield
    finally:
        line.free()
    until(scene.parts, "the queue after all")


@contextmanager
def server_hangs(scene: Scene) -> Iterator[None]:
    """The server takes requests and answers none: the machine swaps."""
    scene.first_part()
    scene.plant.freeze("api")
    try:
        yield
    finally:
        scene.plant.thaw("api")
    scene.until_gone("Connection lost")


@contextmanager
def stream_stopped(scene: Scene) -> Iterator[None]:
    """The judge was killed and nobody starts it again."""
    scene.first_part()
    scene.plant.kill("fusion")
    try:
        yield
    finally:
        for beat in (Path(scene.plant.settings.home) / "run").glob("fusion-*.json"):
            beat.unlink()
        scene.plant.start("fusion")
    until_whole(scene.plant)


@contextmanager
def manual_mode(scene: Scene) -> Iterator[None]:
    """Somebody pressed the button."""
    with scene.plant.asked_by("bo", "qa") as other:
        told = {"mode": "manual", "reason": "light of the camera flickers"}
        assert other.post("/api/control/mode", json=told).status_code == 202
        try:
            scene.open("/")
            yield
        finally:
            assert other.post("/api/control/mode", json={"mode": "auto", "reason": "mended"}).status_code == 202
    scene.until_gone("Manual mode")


@contextmanager
def connection_lost(scene: Scene) -> Iterator[None]:
    """The server's process is killed under an open page."""
    scene.first_part()
    scene.plant.kill("api")
    try:
        yield
    finally:
        scene.plant.start("api")
    scene.until_gone("Connection lost")
    assert scene.parts()


@contextmanager
def decision_waits(scene: Scene) -> Iterator[None]:
    """A key was pressed while the server was away."""
    scene.open(scene.first_part())
    scene.plant.kill("api")
    try:
        scene.press("u")
        yield
    finally:
        scene.plant.start("api")
    until(lambda: "is recorded as" in scene.text(), "the decision to be recorded after all")
    scene.press("z")


@contextmanager
def image_gone(scene: Scene) -> Iterator[None]:
    """Retention took the picture; the record stays."""
    address = scene.first_part()
    part = address.removeprefix("/parts/").partition("?")[0]
    with scene.plant.asked_by("bo", "qa") as other:
        frames = other.get(f"/api/parts/{part}").json()["evidence"]["frames"]
    blobs = Path(scene.plant.settings.blobs)
    refs = [ref for one in frames for ref in (one["findings"]["frame_ref"], one["findings"]["heatmap_ref"]) if ref]
    kept = {blobs / ref: forget(blobs / ref) for ref in refs}
    scene.browser.execute_cdp_cmd("Network.clearBrowserCache", {})  # a browser shows for an hour what it has seen
    try:
        scene.open(address)
        yield
    finally:
        for path, body in kept.items():
            path.write_bytes(body)
        scene.browser.execute_cdp_cmd("Network.clearBrowserCache", {})


@contextmanager
def part_held(scene: Scene) -> Iterator[None]:
    """Another inspector has the part open."""
    address = scene.first_part()
    part = address.removeprefix("/parts/").partition("?")[0]
    with scene.plant.asked_by("bo", "inspector") as other:
        assert other.post(f"/api/parts/{part}/hold?take=1").json()["mine"]
        try:
            scene.open(address)
            yield
        finally:
            other.delete(f"/api/parts/{part}/hold")


@contextmanager
def held_in_the_list(scene: Scene) -> Iterator[None]:
    with part_held(scene):
        scene.open("/")
        yield


@contextmanager
def unknown_code_scanned(scene: Scene) -> Iterator[None]:
    """A hand scanner reads a code that no part has."""
    scene.first_part()
    scene.browser.find_element(By.TAG_NAME, "body").send_keys("X-4711" + Keys.ENTER)
    yield


@contextmanager
def store_away(scene: Scene) -> Iterator[None]:
    """The line to the database is cut under an open page; who comes now gets a page that says so."""
    line = scene.plant.line
    assert line is not None
    scene.open("/")
    line.cut()
    try:
        scene.open("/batches")
        yield
    finally:
        line.mend()
    until(lambda: scene.open("/") or "Flagged parts" in scene.text(), "the queue again")  # type: ignore[func-returns-value]


@contextmanager
def refused_log_in(scene: Scene) -> Iterator[None]:
    scene.browser.delete_all_cookies()
    scene.open("/login")
    scene.browser.find_element(By.ID, "name").send_keys("ina", Keys.TAB, "no password of hers", Keys.ENTER)
    yield


STATES: dict[str, State] = {
    "queue-empty": State(at("/"), ("Nothing waits for you", "New ones appear here by themselves"), "new"),
    "queue-nothing-fits": State(at("/?product=none"), ("Nothing that waits fits this filter", "Clear the filter")),
    "queue-loading": State(loading, ("Loading",)),
    "queue-held": State(held_in_the_list, ("held by bo",), size=TABLET),
    "stream-stopped": State(stream_stopped, ("No new verdicts since", "fusion: silent for")),
    "stream-stopped-tablet-dark": State(
        stream_stopped, ("No new verdicts since", "fusion: silent for"), size=TABLET, dark=True
    ),
    "model-not-ready": State(at("/"), ("No model is ready", "every part goes to a person"), "untrained"),
    "manual-mode": State(manual_mode, ("Manual mode", "every line, ordered by bo (light of the camera flickers)")),
    "manual-mode-tablet-dark": State(
        manual_mode, ("Manual mode", "Every part goes to a person"), size=TABLET, dark=True
    ),
    "connection-lost": State(connection_lost, ("Connection lost", "may be out of date")),
    "server-hangs": State(server_hangs, ("Connection lost", "may be out of date")),
    "part-blind": State(blind_part, ("Your own eyes first", "shown when you have decided"), "audited"),
    "told-known": State(told_of_a_known_part, ("was an exercise", "Known by: teardown report 17"), "audited"),
    "decision-waits": State(decision_waits, ("Not yet recorded", "leave this page open")),
    "no-permission": State(at("/people"), ("You lack the right to look after accounts", "Back to the flagged parts")),
    "image-gone": State(image_gone, ("no longer kept",)),
    "part-unknown": State(at("/parts/none"), ("Part none is not known", "Back to the flagged parts")),
    "part-held": State(part_held, ("bo has been looking at this part", "Take it over")),
    "code-unknown": State(unknown_code_scanned, ("X-4711",)),
    "store-away": State(store_away, ("The store does not answer",), "store"),
    "login-refused": State(refused_log_in, ("do not fit",)),
}
