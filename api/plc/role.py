"""The PLC role: reads verdicts and visits from the log, and shows each gate over OPC UA."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import msgspec

from api.collect import wall_clock
from api.http.views import read_verdict
from api.plc.board import Board, GateKey, RoadSigns
from api.plc.opcua import GateServer, TokenUsers
from api.road import heartbeats
from api.store.database import StoreUnavailable, migrate
from api.store.desk import Desk
from api.store.read import StoreReader
from ingest.decode.door import Door
from ingest.errors import BadInput, BadRecord, LogUnavailable
from ingest.log.opening import open_log
from ingest.log.seam import Log, Reader, Record
from ingest.messages import Instant, Verdict, Visit, encode
from ingest.plan.file import load_plan
from ingest.role import BEAT_S, Role
from ingest.settings import Settings
from ingest.topics import create_topics

WARM_RECORDS = 2000  # of each partition read again at start: enough to hold every gate's last verdict
POLL_S = 0.1
PAUSE_S = 2.0  # whoever has not read for so long may have much before it
RETRY_S = 1.0


class LogWatch:
    """Reads verdicts and visits into the board; begins again where it was when the log comes back.

    `current`: is all read that was there when reading began, or went on after a pause? Until then the board shows what
    was once at the gates, and a gate whose part is not judged yet would not hold."""

    def __init__(self, settings: Settings, board: Board, door: Door, open_the_log: Callable[[], Log]) -> None:
        self._short = {settings.topic(name): name for name in ("verdicts", "production")}
        self._board = board
        self._door = door
        self._open_log = open_the_log
        self._log: Log | None = None
        self._reader: Reader | None = None
        self._at: dict[tuple[str, int], int] | None = None
        self._ends: dict[tuple[str, int], int] = {}
        self._read_at = -math.inf
        self.current = False

    def read(self) -> list[Record]:
        """What is new. Blocks for a moment. Raises LogUnavailable."""
        reader = self._reader or self._open()
        try:
            if time.monotonic() - self._read_at > PAUSE_S:
                self._ends, self.current = reader.ends(), False
            records = reader.poll(POLL_S)
            self._at = reader.positions()
        except LogUnavailable:
            self.close()
            raise
        self._read_at = time.monotonic()
        self.current = self.current or all(self._at.get(place, 0) >= end for place, end in self._ends.items())
        return records

    def _open(self) -> Reader:
        self._log = self._open_log()
        start = self._at
        if start is None:
            reader = self._log.reader(list(self._short), "end")
            start = {place: max(0, end - WARM_RECORDS) for place, end in reader.ends().items()}
            reader.close()
        self._reader = self._log.reader(list(self._short), start)
        return self._reader

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        if self._log is not None:
            self._log.close()
        self._reader = self._log = None
        self._read_at = -math.inf

    def take(self, records: Iterable[Record]) -> None:
        """Put records on the board; bad ones are the workers' dead letters, not ours."""
        for record in records:
            try:
                message = self._door.decode(self._short[record.topic], record)
            except BadRecord:
                continue
            if isinstance(message, Verdict):
                self._board.verdict(message)
            elif isinstance(message, Visit):
                self._board.visit(message)


class PlcRole:
    """One life: read, look whether the road lives, show."""

    def __init__(self, settings: Settings, board: Board, watch: LogWatch, reader: StoreReader) -> None:
        self._settings = settings
        self._board = board
        self._watch = watch
        self._reader = reader
        self._fusion_is_here = settings.log.startswith("embedded:")
        self._signs = RoadSigns(Instant(0), None, self._fusion_is_here)

    async def find(self, part_id: str, gate: GateKey | None) -> str:
        """GetVerdict: the last verdict as JSON, from memory or from the store."""
        verdict = self._board.last(part_id, gate) or await asyncio.to_thread(self._ask_store, part_id, gate)
        if verdict is not None:
            return encode(verdict).decode()
        return msgspec.json.encode({"part_id": part_id, "decision": None, "hold": True}).decode()

    def _ask_store(self, part_id: str, gate: GateKey | None) -> Verdict | None:
        try:
            record = self._reader.part(part_id)
        except StoreUnavailable:
            return None
        for stored in record.verdicts if record else ():
            verdict = read_verdict(stored)
            if gate is None or (verdict.line_id, verdict.gate_id) == gate:
                return verdict
        return None

    async def live(self, server: GateServer, role: Role) -> None:
        """Run until told to stop."""
        began = time.monotonic()
        while not role.stopping:
            await self.read()
            stale = self.is_stale()
            beats = int((time.monotonic() - began) / BEAT_S)
            for gate in self._board.gates:
                await server.show(gate, self._board.sign(gate, stale), beats)
            if role.beat(partial(self._told, stale)):
                self._look_for_fusion()

    def _told(self, stale: bool) -> dict[str, int]:
        return {"stale": int(stale), "gates": len(self._board.gates)}

    def is_stale(self) -> bool:
        """Must every gate hold, whatever the board shows?"""
        return not self._watch.current or self._signs.is_stale(wall_clock(), self._settings.stale_ms)

    async def read(self) -> None:
        """Put on the board what is new."""
        try:
            self._watch.take(await asyncio.to_thread(self._watch.read))
        except LogUnavailable:
            await asyncio.sleep(RETRY_S)
            return
        self._signs = replace(self._signs, log_read_at=wall_clock())

    def _look_for_fusion(self) -> None:
        now = wall_clock()
        ages = [max(0, now - beat.at) for beat in heartbeats(self._settings) if beat.role == "fusion"]
        if ages:
            self._signs = replace(self._signs, fusion_age_ms=min(ages), fusion_is_here=True)
        elif self._signs.fusion_age_ms is not None:
            self._signs = replace(self._signs, fusion_age_ms=None)  # it left: what was here must be here


def run(settings: Settings) -> None:
    """Serve until told to stop. Raises BadInput (plan, store, port), LogUnavailable, StoreUnavailable."""
    plan = load_plan(settings.plan)
    migrate(settings.store)
    log = open_log(settings)
    try:
        create_topics(log, settings)
    finally:
        log.close()
    board = Board(plan)
    watch = LogWatch(settings, board, Door(settings, plan), lambda: open_log(settings))
    desk, reader = Desk(settings.store), StoreReader(settings.store)
    plc = PlcRole(settings, board, watch, reader)
    try:
        with Role("plc", settings.home) as role:
            asyncio.run(_serve(settings, plc, TokenUsers(desk, wall_clock), board.gates, role))
    finally:
        watch.close()
        desk.close()
        reader.close()


async def _serve(settings: Settings, plc: PlcRole, users: TokenUsers, gates: tuple[GateKey, ...], role: Role) -> None:
    server = GateServer(settings, users, gates, plc.find)
    try:
        await server.start()
    except OSError as error:
        raise BadInput(f"QCFUSE_OPCUA_PORT: cannot listen on {server.url} ({error.strerror or error})") from error
    try:
        await plc.live(server, role)
    finally:
        await server.stop()
