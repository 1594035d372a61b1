"""The join's memory as records of the compacted topic `qc.state`: only what changed, and back again after a takeover.

Keys are `<line_id> US <kind> US <rest>` (US, the unit separator, stands in no id); kinds `part`, `chunk`, `clock`,
`shared`.
"""

from __future__ import annotations

from ingest.join.assemble import Assembler
from ingest.join.parts import Asleep, PartMemory, pack_part, unpack_part
from ingest.join.samples import pack_chunk, unpack_chunk

SEPARATOR = "\x1f"
_KINDS = ("part", "chunk", "clock", "shared")


def state_key(line_id: str, kind: str, rest: str) -> str:
    """The key of one piece of state."""
    return SEPARATOR.join((line_id, kind, rest))


def changes(join: Assembler) -> list[tuple[str, bytes | None]]:
    """What changed since the last call, as (key, body); None: no longer needed."""
    memory = join.memory
    out: list[tuple[str, bytes | None]] = []
    for key in sorted(memory.changed):
        part = memory.parts[key]
        if isinstance(part, Asleep):
            body = part.body
        else:
            for visit in part.visits:
                if not visit.frozen and visit.dirty:
                    memory.window(part.line_id, part.part_id, visit)
            body = pack_part(part)
        out.append((state_key(key[0], "part", key[1]), body))
    out += [(state_key(line_id, "part", part_id), None) for line_id, part_id in sorted(memory.gone)]
    memory.changed.clear()
    memory.gone.clear()
    return out + _chunk_changes(join) + _station_changes(join)


def _chunk_changes(join: Assembler) -> list[tuple[str, bytes | None]]:
    """Chunks that a visit may still need are kept; those that are used up or too old are taken back."""
    out: list[tuple[str, bytes | None]] = []
    for (line_id, station_id), station in join.memory.stations.items():
        prefix = f"{station_id}{SEPARATOR}"
        for chunk_id in station.unsettled():
            chunk, written = station.samples.chunks[chunk_id], station.pending[chunk_id]
            if station.covered(chunk):
                del station.pending[chunk_id]
                if written:
                    station.gone.append(chunk_id)
                if chunk.part_id is not None:
                    station.samples.drop([chunk])  # nobody else's visit will ever ask for them
            elif not written:
                station.pending[chunk_id] = True
                out.append((state_key(line_id, "chunk", f"{prefix}{chunk_id}"), pack_chunk(chunk)))
        out += [(state_key(line_id, "chunk", f"{prefix}{chunk_id}"), None) for chunk_id in station.gone]
        station.gone.clear()
    return out


def _station_changes(join: Assembler) -> list[tuple[str, bytes | None]]:
    out: list[tuple[str, bytes | None]] = []
    for (line_id, station_id), station in join.memory.stations.items():
        if station.clock.take_changed():
            out.append((state_key(line_id, "clock", f"sensors:{station_id}"), station.clock.pack()))
        if station.shared and not station.shared_told:
            station.shared_told = True
            out.append((state_key(line_id, "shared", station_id), b"1"))
    for (line_id, camera_id), clock in join.memory.cameras.items():
        if clock.take_changed():
            out.append((state_key(line_id, "clock", f"camera:{camera_id}"), clock.pack()))
    return out


def restore(join: Assembler, key: str, body: bytes | None) -> bool:
    """Put one record of the changelog back, in log order. False: not the join's. Call `finish` at the end."""
    line_id, kind, rest = key.split(SEPARATOR, 2)
    if kind not in _KINDS or line_id not in join.memory.lines:
        return kind in _KINDS
    if kind == "part":
        join.memory.parts.pop((line_id, rest), None)
        if body is not None:
            part = unpack_part(body)
            join.memory.parts[(line_id, rest)] = _asleep(part, body)
    elif kind == "chunk":
        _restore_chunk(join, line_id, rest, body)
    elif kind == "shared":
        station = join.memory.station(line_id, rest)
        station.shared = station.shared_told = True
    elif body is not None:
        source, _, name = rest.partition(":")
        clock = join.memory.camera(line_id, name) if source == "camera" else join.memory.station(line_id, name).clock
        clock.unpack(body)
    return True


def _asleep(part: PartMemory, body: bytes) -> PartMemory | Asleep:
    attempts = [attempt for _, attempt in part.attempts()]
    resting = bool(attempts) and all(a.final for a in attempts) and all(v.frozen for v in part.visits)
    return Asleep(part.heard_at, body) if resting and not part.unseen else part


def _restore_chunk(join: Assembler, line_id: str, rest: str, body: bytes | None) -> None:
    station_id, _, number = rest.rpartition(SEPARATOR)
    station = join.memory.station(line_id, station_id)
    known = station.samples.chunks.get(int(number))
    if known is not None:
        station.samples.drop([known])
        station.pending.pop(int(number), None)
    station.samples.next_id = max(station.samples.next_id, int(number) + 1)
    if body is not None:
        station.samples.put(unpack_chunk(body))
        station.pending[int(number)] = True


def finish(join: Assembler) -> None:
    """After the last record: order parts by when they were heard of, enter their visits, set their timers."""
    memory = join.memory
    for key in sorted(memory.parts, key=lambda key: memory.parts[key].heard_at):
        memory.parts.move_to_end(key)
    for station in memory.stations.values():
        for chunk in sorted(station.samples.chunks.values(), key=lambda chunk: chunk.chunk_id):
            station.samples.chunks.move_to_end(chunk.chunk_id)
    for part in list(memory.parts.values()):
        if isinstance(part, Asleep):
            continue
        join.gates.restore_timers(part)
        for visit in part.visits:
            visit.dirty = not visit.frozen  # its station's clock may have been corrected since it was packed
            memory.station(part.line_id, visit.visit.station_id).enter_visit(part, visit)
