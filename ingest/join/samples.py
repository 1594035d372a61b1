"""Recent samples of one station: chunks as they came, from which each visit cuts its window.

A chunk is kept until it is too old or the station holds too many samples; nothing is lost uncounted.
"""

from __future__ import annotations

import bisect
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from ingest.join.windows import order_samples
from ingest.messages import FloatArray


@dataclass(slots=True)
class Chunk:
    """Samples of one record. `ts_ms` float64[n] ascending, already shifted by `shift_ms`; `part_id` if it was given."""

    chunk_id: int
    part_id: str | None
    ts_ms: FloatArray
    channels: dict[str, FloatArray]
    shift_ms: float
    logged_at: int

    @property
    def size(self) -> int:
        return int(self.ts_ms.size)


class _PackedChunk(msgspec.Struct, array_like=True):
    chunk_id: int
    part_id: str | None
    ts_ms: bytes
    channels: dict[str, bytes]
    shift_ms: float
    logged_at: int


_unpacker = msgspec.msgpack.Decoder(_PackedChunk)


def pack_chunk(chunk: Chunk) -> bytes:
    """A chunk as it stands in the changelog."""
    return msgspec.msgpack.encode(
        _PackedChunk(
            chunk.chunk_id, chunk.part_id, chunk.ts_ms.tobytes(),
            {name: values.tobytes() for name, values in chunk.channels.items()}, chunk.shift_ms, chunk.logged_at,
        )
    )  # fmt: skip


def unpack_chunk(body: bytes) -> Chunk:
    packed = _unpacker.decode(body)
    channels = {name: np.frombuffer(values) for name, values in packed.channels.items()}
    return Chunk(
        packed.chunk_id, packed.part_id, np.frombuffer(packed.ts_ms), channels, packed.shift_ms, packed.logged_at
    )


class StationSamples:
    """The chunks of one station, oldest first."""

    def __init__(self, keep_ms: int, samples_max: int) -> None:
        self.keep_ms = keep_ms
        self.samples_max = samples_max
        self.chunks: OrderedDict[int, Chunk] = OrderedDict()
        self.held = 0
        self.next_id = 0
        self._by_time: dict[str | None, list[tuple[float, int]]] = {None: []}  # by whose samples they are
        self._longest_ms = 0.0

    def add(
        self, part_id: str | None, ts_ms: FloatArray, channels: dict[str, FloatArray], shift_ms: float, logged_at: int
    ) -> Chunk:
        """Keep one record's samples; the times are shifted here."""
        moments, ordered = order_samples(ts_ms + shift_ms if shift_ms else ts_ms, channels)
        chunk = Chunk(self.next_id, part_id, moments, ordered, shift_ms, logged_at)
        self.put(chunk)
        return chunk

    def put(self, chunk: Chunk) -> None:
        """Put a chunk back as it was (after a restart) or a new one at the end."""
        self.chunks[chunk.chunk_id] = chunk
        self.held += chunk.size
        if chunk.size:
            bisect.insort(self._by_time.setdefault(chunk.part_id, []), (float(chunk.ts_ms[0]), chunk.chunk_id))
            self._longest_ms = max(self._longest_ms, float(chunk.ts_ms[-1] - chunk.ts_ms[0]))
        self.next_id = max(self.next_id, chunk.chunk_id + 1)

    def outdated(self, now: int) -> list[Chunk]:
        """What is too old or too much, oldest first; `drop` takes it out once the windows that want it are frozen."""
        out: list[Chunk] = []
        held = self.held
        for chunk in self.chunks.values():
            if held <= self.samples_max and chunk.logged_at >= now - self.keep_ms:
                break
            held -= chunk.size
            out.append(chunk)
        return out

    def drop(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            del self.chunks[chunk.chunk_id]
            self.held -= chunk.size
            if chunk.size:
                order = self._by_time[chunk.part_id]
                del order[bisect.bisect_left(order, (float(chunk.ts_ms[0]), chunk.chunk_id))]
                if not order and chunk.part_id is not None:
                    del self._by_time[chunk.part_id]

    def shift(self, by_ms: float, to_ms: float) -> None:
        """The station's clock is corrected otherwise from now on: move what is kept."""
        for chunk in self.chunks.values():
            chunk.ts_ms = chunk.ts_ms + by_ms
            chunk.shift_ms = to_ms
        for part_id, order in self._by_time.items():
            self._by_time[part_id] = [(first + by_ms, number) for first, number in order]

    def touching(self, part_id: str, started: int, ended: int) -> Iterator[Chunk]:
        """Chunks with samples that may belong to this part's visit."""
        for order in (self._by_time[None], self._by_time.get(part_id, [])):
            low = bisect.bisect_left(order, (started - self._longest_ms, -1))
            high = bisect.bisect_right(order, (ended, self.next_id))
            for _, number in order[low:high]:
                chunk = self.chunks[number]
                if chunk.ts_ms[-1] >= started:
                    yield chunk

    def cut(self, part_id: str, started: int, ended: int) -> tuple[FloatArray, dict[str, FloatArray], float]:
        """The ordered samples inside [started, ended] and the largest clock shift among them."""
        parts = [
            (chunk, slice(*np.searchsorted(chunk.ts_ms, (started, ended + 1e-6))))
            for chunk in self.touching(part_id, started, ended)
        ]
        shift = max((chunk.shift_ms for chunk, _ in parts), key=abs, default=0.0)
        if len(parts) == 1:
            chunk, inside = parts[0]
            return chunk.ts_ms[inside], {name: values[inside] for name, values in chunk.channels.items()}, shift
        names = sorted({name for chunk, _ in parts for name in chunk.channels})
        ts_ms = np.concatenate([chunk.ts_ms[inside] for chunk, inside in parts]) if parts else np.empty(0)
        columns = {name: np.concatenate([_column(chunk, name, inside) for chunk, inside in parts]) for name in names}
        moments, merged = order_samples(ts_ms, columns)
        return moments, merged, shift


def _column(chunk: Chunk, name: str, inside: slice) -> FloatArray:
    values = chunk.channels.get(name)
    if values is not None:
        return values[inside]
    return np.full(chunk.ts_ms[inside].size, np.nan)
