"""The PLC's door: the board's rule of holding, and the OPC UA server with a client in another process."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access.tokens import issue_token
from api.plc.board import Board, RoadSigns
from api.plc.opcua import is_loopback
from api.plc.role import LogWatch, PlcRole
from api.store.read import StoreReader
from ingest.decode.door import Door
from ingest.log.opening import open_log
from ingest.log.seam import Log
from ingest.messages import Instant
from ingest.plan.file import load_plan
from ingest.plan.plan import Plan
from ingest.role import wall_ms
from ingest.settings import Settings
from tests.api.conftest import WAIT_S, free_port, until
from tests.api.factory import PLAN, make_pass, make_verdict, make_visit, publish, settings_at

ROOT = Path(__file__).resolve().parents[2]
GATE = ("L1", "EOL")
T0 = 1_767_600_000_000


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    path = tmp_path_factory.mktemp("plan") / "plan.yaml"
    path.write_text(PLAN)
    return load_plan(path)


def at_gate(part_id: str, ended_at: int) -> Any:
    return make_visit(part_id, station_id="OP40", started_at=Instant(ended_at - 10), ended_at=Instant(ended_at))


def judged(part_id: str, event_at: int, **changes: Any) -> Any:
    return make_pass(part_id, event_at=Instant(event_at), **changes)


def test_a_gate_holds_until_its_first_verdict(plan: Plan) -> None:
    board = Board(plan)
    assert board.gates == (GATE, ("L2", "END"))
    assert board.sign(GATE, road_is_stale=False).hold
    board.verdict(judged("P1", 100))
    assert not board.sign(GATE, road_is_stale=False).hold
    assert board.sign(("L2", "END"), road_is_stale=False).hold


def test_a_part_that_has_come_and_is_not_judged_holds_its_gate(plan: Plan) -> None:
    board = Board(plan)
    board.verdict(judged("P1", 100))
    board.visit(at_gate("P2", 200))
    assert board.sign(GATE, road_is_stale=False).hold
    board.verdict(judged("P2", 200))
    assert not board.sign(GATE, road_is_stale=False).hold


def test_a_repeated_booking_does_not_hold_and_rework_does(plan: Plan) -> None:
    board = Board(plan)
    board.verdict(judged("P1", 100))
    board.visit(at_gate("P1", 100))
    assert not board.sign(GATE, road_is_stale=False).hold
    board.visit(at_gate("P1", 500))
    assert board.sign(GATE, road_is_stale=False).hold
    board.verdict(judged("P1", 100, revision=2))  # a late correction of the first attempt is no answer to the second
    assert board.sign(GATE, road_is_stale=False).hold
    board.verdict(judged("P1", 500, attempt=2))
    assert not board.sign(GATE, road_is_stale=False).hold


def test_a_late_correction_of_an_older_part_does_not_take_the_gates_place(plan: Plan) -> None:
    board = Board(plan)
    for verdict in (judged("P1", 100), judged("P2", 200), make_verdict("P1", revision=2, event_at=Instant(100))):
        board.verdict(verdict)
    shown = board.sign(GATE, road_is_stale=False).verdict
    assert shown is not None
    assert shown.part_id == "P2"
    last = board.last("P1", GATE)
    assert last is not None
    assert last.revision == 2
    board.verdict(make_verdict("P2", revision=2, event_at=Instant(200)))
    shown = board.sign(GATE, road_is_stale=False).verdict
    assert shown is not None
    assert (shown.part_id, shown.decision) == ("P2", "review")


@given(st.permutations([("visit", n) for n in range(4)] + [("verdict", n) for n in range(4)]))
def test_in_any_order_a_gate_holds_exactly_while_the_newest_part_is_not_judged(
    plan: Plan, order: list[tuple[str, int]]
) -> None:
    board = Board(plan)
    seen: set[tuple[str, int]] = set()
    for kind, n in order:
        seen.add((kind, n))
        if kind == "visit":
            board.visit(at_gate(f"P{n}", 100 * (n + 1)))
        else:
            board.verdict(judged(f"P{n}", 100 * (n + 1)))
        if seen >= {(kind, n) for kind in ("visit", "verdict") for n in range(4)}:
            assert not board.sign(GATE, road_is_stale=False).hold
        newest = max((n for kind, n in seen if kind == "visit"), default=None)
        if newest is not None and ("verdict", newest) not in seen:
            assert board.sign(GATE, road_is_stale=False).hold


@pytest.mark.parametrize(
    ("log_age", "fusion_age", "here", "stale"),
    [
        (0, 0, True, False),
        (9000, 0, True, True),
        (0, 9000, True, True),
        (0, None, True, True),
        (0, None, False, False),
        (9000, None, False, True),
    ],
)
def test_the_road_is_stale_without_log_or_fusion(log_age: int, fusion_age: int | None, here: bool, stale: bool) -> None:
    assert RoadSigns(Instant(100_000 - log_age), fusion_age, here).is_stale(Instant(100_000), 5000) is stale


def test_only_loopback_may_do_without_encryption() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "::1", "localhost", "127.8.8.8")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.5", "plant.example")))


def starting(settings: Settings, plan: Plan) -> tuple[PlcRole, Board, LogWatch]:
    board = Board(plan)
    watch = LogWatch(settings, board, Door(settings, plan), lambda: open_log(settings))
    (Path(settings.home) / "run").mkdir(exist_ok=True)
    role = PlcRole(settings, board, watch, StoreReader(settings.store))
    role._signs = RoadSigns(Instant(0), fusion_age_ms=0, fusion_is_here=True)
    return role, board, watch


def read_until_awaited(role: PlcRole, board: Board, part_id: str) -> list[str]:
    """The parts for which the gate did not hold until it awaits this one, and has seen a verdict."""
    free: list[str] = []
    for _ in range(40):
        asyncio.run(role.read())
        sign = board.sign(GATE, role.is_stale())
        free += [sign.verdict.part_id] if sign.verdict and not sign.hold else []
        awaited = board._awaited.get(GATE)
        if awaited is not None and awaited.part_id == part_id and sign.verdict is not None:
            return free
    raise AssertionError(f"{part_id} is not awaited")


def test_who_starts_or_wakes_lets_no_gate_go_for_a_part_of_long_ago(settings: Settings, log: Log, plan: Plan) -> None:
    """What was at the gates is read again a piece at a time; the part that is there now is not judged yet."""
    publish(log, settings, production=[at_gate(f"old-{n}", T0 + n) for n in range(600)])
    publish(log, settings, verdicts=[judged(f"old-{n}", T0 + n) for n in range(600)])
    role, board, watch = starting(settings, plan)
    publish(log, settings, production=[at_gate("P9", T0 + 9000)])
    assert read_until_awaited(role, board, "P9") == []
    publish(log, settings, verdicts=[judged("P9", T0 + 9000)])
    asyncio.run(role.read())
    assert not board.sign(GATE, role.is_stale()).hold
    publish(log, settings, production=[at_gate(f"more-{n}", T0 + 10_000 + n) for n in range(600)])
    publish(log, settings, verdicts=[judged(f"more-{n}", T0 + 10_000 + n) for n in range(600)])
    publish(log, settings, production=[at_gate("P9", T0 + 20_000)])
    watch._read_at -= 60.0  # it slept for a minute
    assert read_until_awaited(role, board, "P9") == []
    watch.close()


class RunningPlc:
    """`qcfuse plc` in a process of its own, and a client in another."""

    def __init__(self, settings: Settings, token: str) -> None:
        self.settings = settings
        self.token = token
        self.env = {
            **os.environ,
            "QCFUSE_HOME": settings.home,
            "QCFUSE_PARTITIONS": "2",
            "QCFUSE_STALE_MS": str(settings.stale_ms),
            "QCFUSE_OPCUA_PORT": str(settings.opcua_port),
        }
        self.running = subprocess.Popen([sys.executable, "-m", "api.cli", "plc"], cwd=ROOT, env=self.env)

    def ask(self, *arguments: str, user: str = "plc", password: str | None = None) -> Any:
        """What the client process saw, or the name of the error it was answered with."""
        url = f"opc.tcp://127.0.0.1:{self.settings.opcua_port}/qcfuse/"
        told = self.token if password is None else password
        client = [sys.executable, str(Path(__file__).parent / "plc_client.py"), url, user, told, *arguments]
        done = subprocess.run(client, capture_output=True, text=True, check=True, timeout=60)
        return json.loads(done.stdout)

    def beat(self) -> None:
        run = Path(self.settings.home) / "run"
        at = Instant(wall_ms()).isoformat()
        (run / "fusion-1.json").write_text(json.dumps({"role": "fusion", "pid": 1, "at": at, "state": {}}))


def test_a_port_that_is_taken_is_one_sentence_and_exit_2(settings: Settings, log: Log) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        env = {**os.environ, "QCFUSE_HOME": settings.home, "QCFUSE_OPCUA_PORT": str(port), "QCFUSE_PARTITIONS": "2"}
        ended = subprocess.run(
            [sys.executable, "-m", "api.cli", "plc"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
        )
    assert ended.returncode == 2
    told = ended.stderr.strip()
    assert told.startswith(f"qcfuse: QCFUSE_OPCUA_PORT: cannot listen on opc.tcp://127.0.0.1:{port}/")
    assert "\n" not in told


@pytest.fixture(scope="module")
def plc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningPlc, Log]]:
    from ingest.log.opening import open_log
    from ingest.topics import create_topics

    home = tmp_path_factory.mktemp("plc") / "home"
    settings = settings_at(home, opcua_port=free_port(), stale_ms=60_000)
    log = open_log(settings)
    create_topics(log, settings)
    publish(log, settings, verdicts=[judged(f"old-{n}", 50) for n in range(3)])
    process = RunningPlc(settings, issue_token(settings, "plc-7", "machine"))
    try:
        until(lambda: list((home / "run").glob("plc-*.json")), "the PLC role to live")
        yield process, log
    finally:
        process.running.terminate()
        assert process.running.wait(WAIT_S) == 0
        log.close()


@pytest.mark.slow
def test_a_client_reads_typed_variables_and_gets_verdicts(plc: tuple[RunningPlc, Log]) -> None:
    process, log = plc
    seen = process.ask("L1", "EOL")
    assert seen["Hold"] == ["Boolean", True]  # no fusion worker has shown itself
    assert seen["PartId"] == ["String", "old-2"]  # warmed from the recent log
    process.beat()
    publish(log, process.settings, verdicts=[make_verdict("P9", sequence=12)])
    seen = process.ask("L1", "EOL", "until", "P9")
    assert {name: kind for name, (kind, _) in seen.items() if name != "GetVerdict"} == {
        "PartId": "String", "Decision": "String", "Risk": "Double", "Reason": "String", "Sequence": "Int64",
        "DecidedAt": "DateTime", "Hold": "Boolean", "Heartbeat": "UInt32",
    }  # fmt: skip
    assert (seen["Decision"][1], seen["Sequence"][1], seen["Hold"][1]) == ("review", 12, False)
    assert seen["Risk"][1] == pytest.approx(0.8731)
    assert seen["Reason"][1] == "risk_over_threshold"
    assert process.ask("L1", "EOL", "get", "P9")["decision"] == "review"
    assert process.ask("L1", "EOL", "get", "nobody") == {"part_id": "nobody", "decision": None, "hold": True}


@pytest.mark.slow
def test_the_heartbeat_counts_seconds(plc: tuple[RunningPlc, Log]) -> None:
    process, _ = plc
    first, later = process.ask("L1", "EOL", "twice")
    assert 1 <= later - first <= 4  # two seconds apart


@pytest.mark.slow
@pytest.mark.parametrize(("user", "password"), [("", ""), ("plc-7", "wrong"), ("admin", "admin")])
def test_nobody_gets_in_without_a_token(plc: tuple[RunningPlc, Log], user: str, password: str) -> None:
    process, _ = plc
    refused = process.ask("L1", "EOL", user=user, password=password)
    assert refused in ("BadIdentityTokenRejected", "BadUserAccessDenied")


@pytest.mark.slow
def test_nobody_may_write(plc: tuple[RunningPlc, Log]) -> None:
    process, _ = plc
    assert process.ask("L1", "EOL", "write") == "BadUserAccessDenied"
