"""The plants that the states are shown on: where parts have come, where nothing has yet, untrained, on PostgreSQL, and
where people's judgement is audited.

With the home of a demonstration the first two are that plant (copied: nothing in it changes); else a small one.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest.settings import Settings
from tests.api.conftest import until
from tests.api.factory import (
    keep_evidence,
    make_defect,
    make_findings,
    make_pass,
    make_verdict,
    make_visit,
    now,
    publish,
    settings_at,
)
from tests.api.postgres import make_cluster, postgres_programs, served_cluster
from tests.browser.pictures_plant import Line, Plant, at_work

ROLES = ("api", "fusion", "vision")
PARTS = ("A1", "A2", "A3")
SHARES = "reviews: {blind_share: 0.4, second_share: 0.3, known_share: 1.0}\n"
ALL_BLIND = SHARES.replace("0.4", "1.0")


@contextmanager
def road(folder: Path, demo: Path | None) -> Iterator[Plant]:
    """Every role at work, parts wait."""
    if demo is not None:
        shutil.copytree(demo, folder / "home", ignore=shutil.ignore_patterns("run", "plant"))
        settings = Settings(home=str(folder / "home"))
    else:
        settings = settings_at(folder / "home")
    with at_work(settings, *ROLES) as plant:
        if demo is None:
            fill(plant)
        until_whole(plant)
        yield plant


@contextmanager
def new(folder: Path, demo: Path | None) -> Iterator[Plant]:
    """Every role at work, nothing has come yet."""
    settings = settings_at(folder / "home")
    if demo is not None:
        home = Path(settings.home)
        shutil.copy(demo / "plan.yaml", home / "plan.yaml")
        shutil.copytree(demo / "shelf", home / "shelf")
    with at_work(settings, *ROLES) as plant:
        until_whole(plant)
        yield plant


@contextmanager
def untrained(folder: Path, _demo: Path | None) -> Iterator[Plant]:
    """Nobody has trained a model; what comes is judged all the same, by saying so."""
    with at_work(settings_at(folder / "home"), *ROLES) as plant:
        until_whole(plant)
        with plant.log() as log:
            sawn = [make_visit(f"W{n}", line_id="L2", station_id="OP10", ended_at=now()) for n in range(3)]
            publish(log, plant.settings, production=sawn)
        until_waiting(plant, len(sawn))
        yield plant


@contextmanager
def store(folder: Path, _demo: Path | None) -> Iterator[Plant]:
    """The store is a PostgreSQL at the end of a line."""
    programs = postgres_programs()
    assert programs is not None, "no PostgreSQL here (apt-get install postgresql)"
    (folder / "postgres").mkdir()
    with served_cluster(programs, make_cluster(programs, folder / "postgres")) as url:
        line = Line(int(url.rpartition(":")[2]))
        settings = settings_at(folder / "home", store=f"postgresql+psycopg://qcfuse@127.0.0.1:{line.port}/postgres")
        with at_work(settings, *ROLES, line=line) as plant:
            until_whole(plant)
            yield plant


@contextmanager
def audited(folder: Path, demo: Path | None) -> Iterator[Plant]:
    """Every role at work; the plan says how parts are shown, and every part was collected under it."""
    if demo is not None:
        home = folder / "home"
        shutil.copytree(demo, home, ignore=shutil.ignore_patterns("run", "plant", "store.db*"))
        settings, shares = Settings(home=str(home)), SHARES
    else:
        settings, shares = settings_at(folder / "home"), ALL_BLIND
    plan = Path(settings.home) / "plan.yaml"
    told = re.sub(r"(?m)^reviews:.*\n", "", plan.read_text("utf-8"))
    plan.write_text(told + shares, "utf-8")
    with at_work(settings, *ROLES) as plant:
        if demo is None:
            fill(plant)
        until_whole(plant)
        _name_known_parts(plant)
        yield plant


def _name_known_parts(plant: Plant) -> None:
    """Of each line that had one a part that passed, and that was opened up since: it is defective."""
    with plant.asked_by("quinn", "qa") as lead:
        passed = lambda: lead.get("/api/verdicts", params={"decision": "pass", "limit": 200}).json()["items"]  # noqa: E731
        until(passed, "a part that passed")
        chosen = {one["line_id"]: one["part_id"] for one in passed()}
        opened = [make_defect(part, line_id=line, source="audit", comment="opened up") for line, part in chosen.items()]
        with plant.log() as log:
            publish(log, plant.settings, defects=opened)
        for part in chosen.values():
            known = {"part_id": part, "reason": "teardown report 17"}
            until(lambda known=known: lead.post("/api/known", json=known).status_code == 201, "the truth of it")  # type: ignore[misc]


PLANTS = {"road": road, "new": new, "untrained": untrained, "store": store, "audited": audited}


def fill(plant: Plant) -> None:
    """Three parts that wait, with all a part may have, and one that passed."""
    frame_ref, heatmap_ref, evidence_ref = keep_evidence(plant.settings, "A1")
    seen = [make_findings(part, frame_ref=frame_ref, heatmap_ref=heatmap_ref) for part in PARTS]
    risks = {part: 0.9 - n / 10 for n, part in enumerate(PARTS)}
    judged = [
        make_verdict(part, risk=risk, risk_low=risk - 0.1, risk_high=risk + 0.05, evidence_ref=evidence_ref)
        for part, risk in risks.items()
    ]
    with plant.log() as log:
        visits = [make_visit(part) for part in PARTS]
        publish(log, plant.settings, production=visits, findings=seen, verdicts=[*judged, make_pass("GOOD")])
    until_waiting(plant, len(PARTS))


def until_waiting(plant: Plant, parts: int) -> None:
    with plant.asked_by("watch", "machine") as asking:
        until(lambda: asking.get("/api/overview").json().get("open") == parts, f"{parts} parts that wait")


def until_whole(plant: Plant) -> None:
    with plant.asked_by("watch", "machine") as asking:
        until(lambda: asking.get("/api/overview").json()["troubles"] == [], "every role at work")
