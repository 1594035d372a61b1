"""A part that is blind is so at all of its gates: neither what another gate says, nor its place there, nor a filter
that finds it by the one or the other tells what is hidden."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from api.agreement.draw import Draw
from api.store.database import open_engine
from api.store.queue import QueueFilter, QueueStore, Waiting
from api.store.rows import Harvest
from api.store.write import StoreWriter
from ingest.messages import Cause, Verdict, encode
from ingest.plan.plan import Reviews
from tests.api.conftest import Live, serve, until
from tests.api.factory import make_pass, make_verdict, now, publish
from tests.api.test_blind import planned, says_nothing
from tests.api.test_store import back_to

CAUSES = ("tool_id=T7", "tool_id=T8", "camera:top")
PARTS = [f"P{number}" for number in range(12)]


def flagged(part: str, gate: str, risk: float, cause: str, **changes: Any) -> Verdict:
    named = [Cause(cause=cause, kind="attribute", station_id="OP20", share=0.8, evidence=["3.1 times the rate"])]
    return make_verdict(part, gate_id=gate, risk=risk, risk_low=risk, risk_high=risk, causes=named, **changes)


def two_gates(number: int) -> list[Verdict]:
    """A part that MID finds for one cause and EOL for another, each with a risk and a decision of its own."""
    risks, decisions = (0.05 + number / 20, 0.6 - number / 20), ("review", "cannot_tell")
    return [
        flagged(PARTS[number], gate, risks[(place + number) % 2], CAUSES[(place + number) % 3],
                decision=decisions[(place + number // 2) % 2])
        for place, gate in enumerate(("MID", "EOL"))
    ]  # fmt: skip


@pytest.fixture(scope="module")
def half_blind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    settings = planned(tmp_path_factory.mktemp("gates") / "home", "blind_share: 0.5")
    with serve(settings) as live:
        publish(live.log, settings, verdicts=[one for number in range(len(PARTS)) for one in two_gates(number)])
        live.collected(2 * len(PARTS))
        yield live


def blind_rows(client: httpx.Client, **asked: str) -> list[tuple[str, str, list[str]]]:
    found = client.get("/api/queue", params=asked).json()["items"]
    hidden = [one for one in found if one["verdict"]["risk"] is None]
    return [(one["verdict"]["part_id"], one["verdict"]["gate_id"], one["also_at"]) for one in hidden]


def test_every_filter_by_what_the_model_says_shows_blind_parts_alike(half_blind: Live) -> None:
    with half_blind.client("inspector") as client:
        shown = blind_rows(client)
        assert 0 < len(shown) < len(PARTS), "some are blind, some not"
        asked = [{"cause": cause} for cause in (*CAUSES, "tool_id=never")]
        asked += [{"decision": "review"}, {"decision": "cannot_tell"}, {"camera": "top"}, {"camera": "side"}]
        for one in asked:
            assert blind_rows(client, **one) == shown, one
        for one in asked[:4]:
            listed = client.get("/api/verdicts", params=one).json()["items"]
            assert not {row["part_id"] for row in listed} & {part for part, _, _ in shown}
        for part, gate, _ in shown:
            nobody = client.get("/api/queue", params={"cause": "tool_id=never"}).json()["items"]
            assert (part, gate) in {(row["verdict"]["part_id"], row["verdict"]["gate_id"]) for row in nobody}


def test_what_another_gate_said_is_hidden_too_though_it_passed_there(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = planned(tmp_path_factory.mktemp("passed") / "home", "blind_share: 1.0")
    with serve(settings) as live, live.client("inspector") as client, live.client("qa") as lead:
        publish(live.log, settings, verdicts=[make_pass("P1", gate_id="MID"), flagged("P1", "EOL", 0.8731, CAUSES[0])])
        live.collected(2)
        for state in ("", "open", "done"):
            listed = client.get("/api/verdicts", params={"state": state}).json()["items"]
            assert all(one["risk"] is None for one in listed), state
            assert says_nothing(str(listed))
        assert client.get("/api/verdicts", params={"decision": "pass"}).json()["items"] == []
        assert [one["risk"] for one in lead.get("/api/verdicts").json()["items"]] == [0.8731, 0.004]
        answer = client.post("/api/parts/P1/reviews", json={"outcome": "ok", "gate_id": "EOL"})
        assert answer.status_code == 201
        until(lambda: client.get("/api/verdicts").json()["items"][0]["risk"] == 0.8731, "the model's word")


def queue_of(url: str, *verdicts: Verdict, shares: Reviews) -> list[Waiting]:
    writer, queue = StoreWriter(url, "one", Draw(b"key", shares)), QueueStore(url)
    writer.apply(Harvest(verdicts=tuple((one, encode(one).decode()) for one in verdicts)), now())
    found = queue.page(QueueFilter(inspector="anna"), now(), 100)
    writer.close()
    queue.close()
    return found


@pytest.mark.parametrize("begins_blind", [True, False])
def test_what_was_drawn_of_a_part_at_its_first_gate_holds_at_the_next(store_url: str, begins_blind: bool) -> None:
    shares = (Reviews(blind_share=1.0), Reviews())
    first, later = shares if begins_blind else shares[::-1]
    queue_of(store_url, flagged("P1", "MID", 0.2, CAUSES[0]), shares=first)
    (found,) = queue_of(store_url, flagged("P1", "EOL", 0.9, CAUSES[1]), shares=later)
    assert (found.blind, found.gate_id) == (begins_blind, "MID" if begins_blind else "EOL")


def test_a_store_that_drew_gate_by_gate_is_put_right_by_its_migration(store_url: str) -> None:
    queue_of(store_url, *two_gates(0), *two_gates(1), make_pass("P3", gate_id="MID"), shares=Reviews())
    engine = open_engine(store_url, writing=True)
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE cases SET blind = true, urgency = 1 WHERE part_id = 'P0' AND gate_id = 'MID'")
        )
    back_to(store_url, "0013")
    with engine.connect() as connection:
        stand = connection.execute(sa.text("SELECT part_id, gate_id, blind, urgency FROM cases")).all()
    engine.dispose()
    told = {(part, gate): (bool(blind), urgency) for part, gate, blind, urgency in stand}
    assert told[("P0", "EOL")] == told[("P0", "MID")] == (True, 1.0)
    assert not any(blind for (part, _), (blind, _) in told.items() if part != "P0")
