"""Looking through the audit trail: by who, what and when, a page at a time, as a file."""

from __future__ import annotations

import ast
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from api.screens.audit import LINES_SHOWN, _moment
from api.store.audit import AuditWanted
from api.store.desk import Desk
from api.store.read import StoreReader
from api.store.rows import AuditEntry
from api.wording import vocabulary
from ingest.messages import Instant
from tests.api.conftest import Live

DAY_MS = 86_400_000
BEGUN = Instant(1_767_225_600_000)  # 2026-01-01


def fill(store: str) -> None:
    """A year of one line a day: every tenth by anna, the others by bo."""
    desk = Desk(store)
    for day in range(300):
        by, action = ("anna", "mode_manual") if day % 10 == 0 else ("bo", "review")
        desk.write_audit(AuditEntry(Instant(BEGUN + day * DAY_MS), by, "qa", action, f"P{day}", "=1+1"))
    desk.close()


def test_both_stores_find_lines_by_who_what_and_when(store_url: str) -> None:
    fill(store_url)
    reader = StoreReader(store_url)
    try:
        assert len(reader.audit(1000, None, AuditWanted(by="anna"))) == 30
        assert len(reader.audit(1000, None, AuditWanted(action="review"))) == 270
        assert reader.audit(1000, None, AuditWanted(by="anna", action="review")) == []
        week = AuditWanted(since=Instant(BEGUN + 10 * DAY_MS), until=Instant(BEGUN + 17 * DAY_MS))
        assert [line.subject for line in reader.audit(1000, None, week)] == [f"P{day}" for day in range(16, 9, -1)]
        first = reader.audit(5, None, AuditWanted(by="bo"))
        after = reader.audit(5, first[-1].audit_id, AuditWanted(by="bo"))
        assert [line.subject for line in first + after][:2] == ["P299", "P298"]
        assert len({line.audit_id for line in first + after}) == 10
    finally:
        reader.close()


@pytest.fixture(scope="module")
def filled(live: Live) -> Iterator[httpx.Client]:
    fill(live.settings.store)
    with live.client("engineer") as client:
        yield client


def subjects(page: str) -> list[str]:
    return re.findall(r'class="any">(P\d+)<', page)


def test_the_page_goes_through_all_lines_and_repeats_none(filled: httpx.Client) -> None:
    found: list[str] = []
    address = "/audit?by=bo&action=review"
    while address:
        page = filled.get(address).text
        found += subjects(page)
        older = re.findall(r'href="(/audit\?[^"]*cursor=\d+)"', page)
        address = older[0].replace("&amp;", "&") if older else ""
    assert len(found) == len(set(found)) == 270
    assert LINES_SHOWN < 270


def test_times_are_asked_by_the_plants_clock() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert _moment("since", "2026-07-01T00:00", berlin) == Instant.parse("2026-06-30T22:00:00Z")
    assert _moment("since", "2026-07-01T00:00:00Z", berlin) == Instant.parse("2026-07-01T00:00:00Z")
    assert _moment("since", "", berlin) is None


@pytest.mark.parametrize("query", ["since=tomorrow", "until=9999-99-99T00:00", "cursor=x", "by=" + "x" * 201])
def test_what_cannot_be_asked_is_refused(filled: httpx.Client, query: str) -> None:
    assert filled.get(f"/audit?{query}").status_code == 422


def test_the_file_holds_the_same_lines_and_runs_nothing_in_a_spreadsheet(filled: httpx.Client) -> None:
    answer = filled.get("/audit.csv?by=anna")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 30
    assert {row["detail"] for row in rows} == {"'=1+1"}
    assert rows[0]["at"] > rows[1]["at"]


def test_the_api_takes_the_same_filter(filled: httpx.Client) -> None:
    told = filled.get("/api/audit?by=anna&since=2026-06-01T00:00:00Z&limit=1000").json()
    assert {one["by"] for one in told["items"]} == {"anna"}
    assert 0 < len(told["items"]) < 30


def test_nothing_fits_is_said(filled: httpx.Client) -> None:
    assert "No line fits" in filled.get("/audit?by=nobody").text


def written_actions() -> set[str]:
    """The action of every call in the API that writes a line of the trail, where it stands there as a word."""
    places = {"audit": 1, "AuditEntry": 3, "_publish": 3}
    found = set()
    for path in Path(vocabulary.__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                said = node.args[places[name]] if name in places and len(node.args) > places[name] else None
                if isinstance(said, ast.Constant) and isinstance(said.value, str):
                    found.add(said.value)
    return found


def test_every_action_that_is_written_down_has_its_words() -> None:
    assert len(written_actions()) > 8
    assert written_actions() <= set(vocabulary.ACTIONS)
