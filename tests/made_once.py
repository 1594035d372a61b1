"""What a whole test run makes once, whichever of its processes comes first: some training outlasts many a test file."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

Made = TypeVar("Made")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Made]) -> tuple[Path, Made]:
    """The folder that `make` filled, and what it returned (picklable); the others wait for whoever makes it.

    Nobody may change the folder: all processes of the run read it."""
    run = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent
    folder, returned = run / name, run / f"{name}.pickle"
    with (run / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not returned.exists():
            folder.mkdir()
            made = pickle.dumps(make(folder))
            returned.write_bytes(made)
    answer: Made = pickle.loads(returned.read_bytes())
    return folder, answer
