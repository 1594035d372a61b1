"""How people's judgement is audited, on a plant at work: blind parts, an exercise, and figures of many decisions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx

from api.access.people import Wish, add_person
from tests.api.conftest import until
from tests.api.factory import make_defect, publish
from tests.browser.pictures_plant import Plant
from tests.browser.pictures_scene import Scene

GROUPS = {"early shift": ("ada", "ben", "cem"), "late shift": ("dana", "eli", "finn")}
PEOPLE = [(name, group) for group, names in GROUPS.items() for name in names]
PASSWORD = "a long one of their own"
LEAVE_NOTHING = ("quality", "audit")  # of what waits: these pictures come last
ROUNDS_MAX = 400  # parts that one person is given at most
SEED = 5
GOOD, RIGHT_ALONE, FOLLOWS = 0.6, 0.94, 0.25  # of flagged parts good; of words without the model; led by a wrong one


@contextmanager
def blind_part(scene: Scene) -> Iterator[None]:
    """The most urgent part that is shown without the model's word."""
    scene.open("/")
    until(scene.parts, "a part in the queue")
    script = "return document.querySelector('.row:has(.pill.blind)').getAttribute('href')"
    scene.open(scene.browser.execute_script(script))
    yield


@contextmanager
def told_of_a_known_part(scene: Scene) -> Iterator[None]:
    """An exercise came before the next part, was taken for one, and is told."""
    scene.open(scene.first_part())
    scene.settle()
    scene.press("o")
    until(lambda: "is recorded as" in scene.text(), "the decision, and the exercise")
    scene.settle()
    scene.press("o")
    yield


@contextmanager
def judged_by_many(scene: Scene) -> Iterator[None]:
    """Two groups of three have decided on all that waited, and the truth of it has come since."""
    _decide_on_everything(scene.plant)
    scene.open("/quality")
    yield


@contextmanager
def audit_of_a_day(scene: Scene) -> Iterator[None]:
    """The trail of what people did, without who logged in."""
    _decide_on_everything(scene.plant)
    scene.open("/audit?action=review")
    yield


def _decide_on_everything(plant: Plant) -> None:
    """Once a plant: people leave nothing that waits for them."""
    drawn = random.Random(SEED)
    truth: dict[str, str] = {}
    with ExitStack() as opened, plant.asked_by("quinn", "qa") as lead:
        if _has_figures(lead):
            return
        people = [opened.enter_context(_person(plant, *one)) for one in PEOPLE]
        for _ in range(ROUNDS_MAX):
            if not [one for one in people if _decide_on_one(one, truth, drawn)]:
                break
        lines = {part: lead.get(f"/api/parts/{part}").json()["line_id"] for part in truth}
    with plant.log() as log:
        told = [
            make_defect(part, line_id=lines[part], source="audit", outcome=said, defect_code="")
            for part, said in truth.items()
        ]
        publish(log, plant.settings, defects=told)
    with plant.asked_by("quinn", "qa") as lead:
        until(lambda: _has_figures(lead), "the truths to be collected")


def _has_figures(lead: httpx.Client) -> bool:
    return lead.get("/api/quality").json()["figures"]["bias"]["difference"] is not None


@contextmanager
def _person(plant: Plant, name: str, group: str) -> Iterator[httpx.Client]:
    """An inspector with an account, logged in."""
    secret = add_person(plant.settings, name, "inspector", by="anna", wish=Wish("inspector", group_name=group))
    with httpx.Client(base_url=f"http://127.0.0.1:{plant.settings.port}", timeout=30.0) as client:
        assert client.post("/api/login", json={"name": name, "password": secret}).status_code == 200
        changed = {"password": secret, "new_password": PASSWORD}
        assert client.post("/api/account", json=changed).status_code == 204
        yield client


def _decide_on_one(person: httpx.Client, truth: dict[str, str], drawn: random.Random) -> bool:
    """The next part of a person, decided on; False: nothing waits for him."""
    following = person.get("/api/next").json()
    if following["part_id"] is None:
        return False
    path = f"/api/parts/{following['part_id']}"
    told = person.get(path).json()
    is_true = truth.setdefault(following["part_id"], "ok" if drawn.random() < GOOD else "defect")
    hidden = told["verdicts"][0]["risk"] is None
    if not hidden and is_true == "ok" and drawn.random() < FOLLOWS:
        said = "defect"
    else:
        said = is_true if drawn.random() < RIGHT_ALONE else {"ok": "defect", "defect": "ok"}[is_true]
    shown = {"verdict_id": told["verdicts"][0]["verdict_id"], "risk_shown": not hidden}
    answer = {
        "outcome": said,
        "gate_id": following["gate_id"],
        "took_ms": drawn.randrange(4000, 30_000),
        "shown": shown,
    }
    others = [one["gate_id"] for one in told["cases"] if one["state"] == "open" and one["gate_id"] != answer["gate_id"]]
    return person.post(f"{path}/reviews", json=answer | {"closes": others}).status_code == 201
