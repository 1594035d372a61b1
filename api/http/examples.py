"""Requests and answers of a small plant, as they went over the wire. Made by `tests/api/write_examples.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

_FILE = Path(__file__).with_name("examples.json")

#: `METHOD path` -> `request` and `answer`, as far as there are bodies.
EXAMPLES: dict[str, dict[str, Any]] = msgspec.json.decode(_FILE.read_bytes())
