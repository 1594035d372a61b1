"""Marks over HTTP: kept with the review, published, listed, counted; refused when they cannot be meant."""

from __future__ import annotations

from typing import Any

import alembic.command
import alembic.config
import msgspec
import pytest
import sqlalchemy as sa

from api.store.database import MIGRATIONS, migrate, open_engine
from api.store.read import StoreReader
from api.store.rows import Harvest, MarkCount, Review
from api.store.write import StoreWriter
from ingest.log.seam import Record
from ingest.messages import Defect, Mark, MarkBox, Stroke, encode, json_decoder
from tests.api.conftest import Live, until
from tests.api.factory import keep_evidence, make_defect, make_findings, make_verdict, now, publish

BOX = {"x": 150, "y": 70, "width": 34, "height": 30}
STROKE = {"points": [[10.5, 20.0], [60.0, 25.5]], "width_px": 6.0}
FRAME = {"camera_id": "top", "frame_id": "top-M1"}
PARTS = ("M1", "M2", "M3")


def frame_of(part: str) -> str:
    return f"top-{part}"


def mark(part: str, **changes: Any) -> dict[str, Any]:
    return {"camera_id": "top", "frame_id": frame_of(part), "box": BOX} | changes


@pytest.fixture(scope="module")
def filled(live: Live) -> Live:
    for part in PARTS:
        ref, _, _ = keep_evidence(live.settings, part)
        kept = ref if part != "M3" else ""
        publish(live.log, live.settings, findings=[make_findings(part, frame_id=frame_of(part), frame_ref=kept)])
        publish(live.log, live.settings, verdicts=[make_verdict(part)])
    live.collected(len(PARTS))
    until(lambda: all(live.service.here.reader.findings(part) for part in PARTS), "the findings in the store")
    return live


def published(live: Live, part: str) -> list[Defect]:
    """The part's records on `qc.defects`."""
    reader = live.log.reader([live.settings.topic("defects")], "beginning")
    found: list[Record] = []
    while got := reader.poll(0.2):
        found += got
    reader.close()
    records = [json_decoder(Defect).decode(record.body or b"") for record in found]
    return [record for record in records if record.part_id == part]


def test_marks_go_with_the_review_to_the_log_the_part_and_the_list(filled: Live) -> None:
    asked = {"outcome": "defect", "defect_code": "burr", "marks": [mark("M1"), {**FRAME, "stroke": STROKE}]}
    with filled.client("inspector") as client:
        answer = client.post("/api/parts/M1/reviews", json=asked)
        assert answer.status_code == 201, answer.text
        shown = client.get("/api/parts/M1").json()["reviews"][0]["marks"]
        assert shown == [mark("M1", kind="burr"), {**FRAME, "kind": "burr", "stroke": STROKE}]
        listed = client.get("/api/marks", params={"camera_id": "top", "kind": "burr", "limit": 1}).json()
        assert listed["counts"] == [{"camera_id": "top", "kind": "burr", "marks": 2, "parts": 1, "needed": 10}]
        rest = client.get("/api/marks", params={"limit": 1, "cursor": listed["next"]}).json()
        assert rest["next"] is None
        (first,), (second,) = listed["items"], rest["items"]
        assert (first["part_id"], first["recorded_by"]) == ("M1", "test-inspector")
        assert (first["mark"]["box"], second["mark"]["stroke"]) == (BOX, STROKE)
        assert client.get("/api/marks", params={"kind": "dent"}).json() == {"items": [], "next": None, "counts": []}
    (record,) = published(filled, "M1")
    assert [one.kind for one in record.drawn] == ["burr", "burr"]
    assert record.drawn[1].stroke == Stroke(points=[(10.5, 20.0), (60.0, 25.5)], width_px=6.0)
    # What the collector reads back from the log is the same marks, not a second time.
    until(lambda: filled.service.here.collector.state.lag_records == 0, "the collector to catch up")
    assert [count.marks for count in filled.service.here.reader.count_marks()] == [2]


def test_a_review_without_marks_is_published_as_ever(filled: Live) -> None:
    """Readers of older versions refuse keys they do not know, and equal records must stay equal."""
    with filled.client("inspector") as client:
        assert client.post("/api/parts/M2/reviews", json={"outcome": "unsure", "marks": []}).status_code == 201
    (record,) = published(filled, "M2")
    assert record.marks is msgspec.UNSET
    assert b"marks" not in encode(record)


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("M2", {"frame_id": "top-M1"}, "no frame top-M1"),
        ("M2", {"camera_id": "side"}, "of camera side"),
        ("M2", {"box": {"x": 300, "y": 0, "width": 21, "height": 5}}, "not within the picture of 320 x 256"),
        ("M2", {"box": {"x": -1, "y": 0, "width": 21, "height": 5}}, "marks"),
        ("M2", {"box": {"x": 1, "y": 0, "width": 0, "height": 5}}, "marks"),
        ("M2", {"stroke": STROKE}, "exactly one of box and stroke"),
        ("M2", {"box": None}, "exactly one of box and stroke"),
        ("M2", {"box": None, "stroke": {"points": [[0, 257]], "width_px": 3}}, "leaves the picture"),
        ("M2", {"box": None, "stroke": {"points": [], "width_px": 3}}, "marks"),
        ("M2", {"box": None, "stroke": {"points": [[1, 1]] * 2001, "width_px": 3}}, "marks"),
        ("M2", {"box": None, "stroke": {"points": [[1, 1]], "width_px": 0}}, "marks"),
        ("M3", {}, "is not kept"),
    ],
)
def test_a_mark_that_cannot_be_meant_is_refused_and_nothing_recorded(
    filled: Live, part: str, change: dict[str, Any], words: str
) -> None:
    asked = {"outcome": "defect", "defect_code": "burr", "marks": [mark(part, **change)]}
    with filled.client("inspector") as client:
        answer = client.post(f"/api/parts/{part}/reviews", json=asked)
    assert answer.status_code == 422
    assert words in answer.text
    assert not [record for record in published(filled, part) if record.outcome == "defect"]


def test_marks_on_a_part_that_is_ok_and_too_many_marks_are_refused(filled: Live) -> None:
    with filled.client("inspector") as client:
        for body in ({"outcome": "ok", "marks": [mark("M2")]}, {"outcome": "defect", "marks": [mark("M2")] * 51}):
            answer = client.post("/api/parts/M2/reviews", json=body)
            assert answer.status_code == 422
            assert "marks" in answer.text


def test_as_much_as_the_door_takes_goes_in_one_review(filled: Live) -> None:
    points = [[round(100 + i % 977 / 10, 1), round(100 + i % 787 / 10, 1)] for i in range(2000)]
    strokes = [{**FRAME, "frame_id": "top-M2", "stroke": {"points": points, "width_px": 2.5}}] * 10
    with filled.client("inspector") as client:
        assert client.post("/api/parts/M2/reviews", json={"outcome": "defect", "marks": strokes}).status_code == 201
        more = [*strokes, mark("M2"), strokes[0]]
        answer = client.post("/api/parts/M2/reviews", json={"outcome": "defect", "marks": more})
    assert answer.status_code == 422
    assert "20000 points" in answer.text


def test_marks_may_be_read_by_all_and_drawn_by_those_who_review(filled: Live) -> None:
    with filled.client("machine") as client:
        assert client.get("/api/marks").status_code == 200
        asked = {"outcome": "defect", "marks": [mark("M2")]}
        assert client.post("/api/parts/M2/reviews", json=asked).status_code == 403
    with filled.client(None) as client:
        assert client.get("/api/marks").status_code == 401


def marked(part: str, *kinds: str) -> Defect:
    marks = [
        Mark(camera_id="top", frame_id=f"{kind}-frame", kind=kind, box=MarkBox(x=1, y=2, width=3, height=4))
        for kind in kinds
    ]
    return make_defect(part, marks=marks)


def test_the_store_counts_marks_once_by_kind_and_never_loses_one(store_url: str) -> None:
    burrs, dents = marked("P1", "burr", "", "dent"), marked("P2", "dent")
    review = Review("r1", "EOL", 1, burrs)
    writer, reader = StoreWriter(store_url, "one"), StoreReader(store_url)
    for _ in range(2):
        writer.apply(Harvest(defects=(burrs, dents), reviews=(review,)), now())
    assert reader.count_marks() == [MarkCount("top", "burr", 2, 1), MarkCount("top", "dent", 2, 2)]
    assert {one.part_id for one in reader.marks("top", "dent", 10)} == {"P1", "P2"}
    first = reader.marks("", "", 3)
    assert len(first) == 3
    assert len(reader.marks("", "", 3, first[-1].stands)) == 1
    writer.close()
    reader.close()
    engine = open_engine(store_url, writing=True)
    for change in ("DELETE FROM marks", "UPDATE marks SET kind = 'x'"):
        with pytest.raises(sa.exc.DBAPIError, match="only added to"), engine.begin() as connection:
            connection.execute(sa.text(change))
    engine.dispose()


def test_marks_of_a_decision_taken_back_are_neither_listed_nor_counted(store_url: str) -> None:
    slip, other = marked("P1", "burr"), marked("P2", "dent")
    undo = make_defect("P1", outcome="unsure", comment="undone", undoes="r1")
    writer, reader = StoreWriter(store_url, "one"), StoreReader(store_url)
    writer.apply(Harvest(defects=(slip, other), reviews=(Review("r1", "EOL", 1, slip),)), now())
    assert len(reader.marks("", "", 10)) == 2
    writer.apply(Harvest(defects=(undo,), reviews=(Review("r2", "EOL", 1, undo, undoes="r1"),)), now())
    assert [one.part_id for one in reader.marks("", "", 10)] == ["P2"]
    assert reader.count_marks() == [MarkCount("top", "dent", 1, 1)]
    writer.close()
    reader.close()


def test_the_table_of_marks_can_be_taken_back_and_made_again(store_url: str) -> None:
    engine = open_engine(store_url, writing=True)
    with engine.connect() as connection:
        config = alembic.config.Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "0001")
        connection.commit()
        assert "marks" not in sa.inspect(connection).get_table_names()
    migrate(store_url)
    assert "marks" in sa.inspect(engine).get_table_names()
    engine.dispose()
