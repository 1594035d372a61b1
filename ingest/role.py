"""One life for every role: it runs until told to stop, and says every second that it lives and what it counted."""

from __future__ import annotations

import gc
import math
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from ingest.messages import Instant

SUPERVISED = "QCFUSE_SUPERVISED"  # set by `qcfuse up` for the roles it starts
SWEEP_S = 3600.0  # from one collection through everything to the next
BEAT_S = 1.0  # how often a role says that it lives; a stop is obeyed at least as fast


def wall_ms() -> int:
    """The wall clock, ms since 1970."""
    return time.time_ns() // 1_000_000


class Role:
    """Told to stop by SIGTERM or SIGINT; beats in `<home>/run/<role>-<pid>.json`, which ends with the role."""

    def __init__(self, name: str, home: str) -> None:
        self.name = name
        self.stopping = False
        self._path = Path(home) / "run" / f"{name}-{os.getpid()}.json"
        self._beaten, self._swept = 0.0, -math.inf
        self._parent = os.getppid()

    def __enter__(self) -> Role:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._sweep()
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Free what only the collector finds, and let it walk through the rest no more.

        Modules, models and what is remembered of thousands of parts stay: a full collection through them holds up
        verdicts by 100 to 200 ms, and comes by itself every 30 s on a fast line. So what has outlived a second is set
        apart, and all of it looked through once an hour only."""
        if time.monotonic() - self._swept < SWEEP_S:
            gc.collect(1)
        else:
            self._swept = time.monotonic()
            gc.unfreeze()
            gc.collect()
        gc.freeze()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def beat(self, state: Callable[[], Mapping[str, Any]]) -> bool:
        """Write a heartbeat if one is due. `state` is asked only then, and answers what is JSON. True when written."""
        if time.monotonic() - self._beaten < BEAT_S:
            return False
        if SUPERVISED in os.environ and os.getppid() != self._parent:
            self.stopping = True  # whoever watched over this role was killed: nobody would ever stop it
        self._beaten = time.monotonic()
        self._sweep()
        body = {"role": self.name, "pid": os.getpid(), "at": Instant(wall_ms()).isoformat(), "state": state()}
        half = self._path.with_suffix(".half")
        half.write_bytes(msgspec.json.encode(body))
        half.replace(self._path)
        return True


class ShelfWatch:
    """Notices that another version of some model went live."""

    def __init__(self, shelf: Path, pattern: str) -> None:
        self._shelf, self._pattern = shelf, pattern
        self._seen = self._look()

    def _look(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for pointer in self._shelf.glob(f"{self._pattern}/live"):
            try:
                found[str(pointer)] = pointer.stat().st_mtime_ns
            except FileNotFoundError:
                continue  # it is being replaced right now; the next look sees it
        return found

    def changed(self) -> bool:
        """Did anything change since the last call?"""
        seen, self._seen = self._seen, self._look()
        return seen != self._seen
