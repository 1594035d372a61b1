"""A record that takes another one back, at the door and in a replay folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ingest.decode.door import Door
from ingest.errors import BadRecord
from ingest.folder.replay_folder import Folder
from ingest.log.seam import Record
from ingest.messages import Defect, Instant, encode
from ingest.settings import Settings
from tests.api.factory import PLAN

NOW = Instant.parse("2026-11-23T08:30:00.000Z")
OLD = {"part_id": "P1", "line_id": "L1", "recorded_at": NOW.isoformat(), "source": "inspector", "outcome": "unsure"}


def decode(**changes: Any) -> Defect:
    body = json.dumps(OLD | changes).encode()
    found = Door(Settings()).decode("defects", Record("qc.defects", 0, 0, b"L1", body, (), NOW))
    assert isinstance(found, Defect)
    return found


def test_a_record_says_its_name_and_which_one_it_takes_back() -> None:
    found = decode(record_id="r2", undoes="r1")
    assert (found.record_id, found.undoes, found.outcome) == ("r2", "r1", "unsure")


def test_a_record_without_a_name_is_the_same_bytes_as_before_there_were_names() -> None:
    found = decode()
    assert (found.record_id, found.undoes) == (msgspec.UNSET, msgspec.UNSET)
    assert not {"record_id", "undoes"} & json.loads(encode(found)).keys()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"undoes": "r1", "outcome": "defect"}, "bad_field"),
        ({"undoes": "r1", "outcome": "ok"}, "bad_field"),
        ({"undoes": ""}, "bad_id"),
        ({"undoes": "r" * 201}, "bad_id"),
        ({"record_id": "\n"}, "bad_id"),
        ({"record_id": 1}, "bad_field"),
    ],
)
def test_what_takes_back_and_says_something_too_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRecord) as refused:
        decode(**changes)
    assert refused.value.reason == reason


def test_a_folder_has_the_names_in_columns_that_may_be_absent_or_empty(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "production.csv").write_text("part_id,line_id,station_id,started_at,ended_at,batch_id,product\n")
    columns = "part_id,line_id,recorded_at,source,outcome,defect_code,cause_code,record_id,undoes"
    rows = [f"P1,L1,{NOW.isoformat()},inspector,{rest}" for rest in ("defect,burr,,r1,", "unsure,,,,r1", "ok,,,,r1")]
    (tmp_path / "defects.csv").write_text("\n".join([columns, *rows, ""]))
    folder = Folder(tmp_path)
    assert [(row.defect.record_id, row.defect.undoes) for row in folder.defects()] == [
        ("r1", msgspec.UNSET),
        (msgspec.UNSET, "r1"),
    ]
    assert [(dead.row, dead.reason) for dead in folder.dead_letters] == [(4, "bad_field")]
