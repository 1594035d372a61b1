"""`plan.yaml` read into a `Plan`, or refused with the file and the line that is wrong (CONTRACT section 6).

The YAML is only composed (nodes with line marks), never constructed: the types of `plan.py` say what may stand where,
`rules.py` what must not contradict what.
"""

from __future__ import annotations

import functools
import hashlib
import math
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import yaml

from ingest.errors import BadInput
from ingest.plan.plan import Plan, PlanStruct
from ingest.plan.rules import Steps, contradictions

PLAN_BYTES_MAX = 1024 * 1024  # a plan of a thousand stations is a fifth of this
NODES_MAX = 200_000  # what 1 MiB can hold honestly; aliases that multiply further are a YAML bomb
DEPTH_MAX = 20  # the contract's deepest value stands at depth 7
PROBLEMS_SHOWN = 8  # enough to mend a plan in one go, few enough for one sentence


class _Missing:
    """What a value is when it could not be read; its problem has been noted."""


_MISSING = _Missing()


def load_plan(path: Path | str) -> Plan:
    """The control plan of this file. Raises BadInput, one sentence naming file, line and what is wrong."""
    path = Path(path)
    content = _read(path)
    root = _compose(path, content)
    reader = _Reader()
    value = reader.struct(root, Plan, (), "the plan")
    if not reader.problems and isinstance(value, Plan):
        plan = msgspec.structs.replace(value, sha256=hashlib.sha256(content).hexdigest())
        reader.problems = [(reader.line_of(steps), sentence) for steps, sentence in contradictions(plan)]
        if not reader.problems:
            return plan
    shown = sorted(set(reader.problems))[:PROBLEMS_SHOWN]
    more = len(set(reader.problems)) - len(shown)
    sentence = "; ".join(f"{path}:{line}: {what}" for line, what in shown)
    raise BadInput(sentence + (f"; and {more} more" if more else ""))


def dump_plan(plan: Plan) -> str:
    """The plan as YAML that `load_plan` reads back (without the hash: that is of the bytes)."""
    content = _without_nulls(msgspec.to_builtins(plan))
    content.pop("sha256", None)
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=140, default_flow_style=None))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(item) for item in value]
    return value


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(PLAN_BYTES_MAX + 1)
    except OSError as error:
        raise BadInput(f"{path}: cannot read the control plan ({error.strerror})") from error
    if len(content) > PLAN_BYTES_MAX:
        raise BadInput(f"{path}: a control plan is at most {PLAN_BYTES_MAX} bytes")
    return content


def _compose(path: Path, content: bytes) -> yaml.Node:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{path}:{line}: not UTF-8") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise BadInput(f"{path}:{line}: not YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadInput(f"{path}:{line}: not YAML: {error.reason}") from error
    except RecursionError as error:
        raise BadInput(f"{path}:1: nested too deeply to be a plan") from error
    if root is None:
        raise BadInput(f"{path}:1: the control plan is empty")
    return root


class _Reader:
    """Turns nodes into plan values by their declared types, noting every problem with its line."""

    def __init__(self) -> None:
        self.problems: list[tuple[int, str]] = []
        self._lines: dict[Steps, int] = {}
        self._nodes = 0

    def line_of(self, steps: Steps) -> int:
        """The line where the value at `steps` stands; of what holds it when it is not in the file."""
        while steps and steps not in self._lines:
            steps = steps[:-1]
        return self._lines.get(steps, 1)

    def struct(self, node: yaml.Node, kind: type[PlanStruct], steps: Steps, name: str) -> Any:
        self._lines[steps] = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            return self._wrong(node, f"{name} wants a mapping of keys")
        kinds, known = _declared(kind)
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key not in known:
                self._wrong(key_node, f"unknown key {_shown(key_node)} in {name}")
            elif key in values:
                self._wrong(key_node, f"key '{key}' stands twice in {name}")
            else:
                values[key] = self.value(value_node, kinds[key], (*steps, key), key)
        for key, field in known.items():
            if field.required and key not in values:
                what = f"missing owner '{key}' (who is accountable)" if name == "owners" else f"missing key '{key}'"
                self._wrong(node, f"{what} in {name}")
                values[key] = _MISSING
        if any(value is _MISSING for value in values.values()):
            return _MISSING
        return kind(**values)

    def value(self, node: yaml.Node, kind: Any, steps: Steps, name: str) -> Any:
        self._lines[steps] = node.start_mark.line + 1
        self._nodes += 1
        if self._nodes > NODES_MAX or len(steps) > DEPTH_MAX:
            if self._nodes == NODES_MAX + 1:
                self._wrong(node, "the plan's aliases multiply into too many values")
            return _MISSING
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if origin is types.UnionType:
            if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"):
                return None
            return self.value(node, inner[0], steps, name)
        if origin is tuple:
            return self._sequence(node, inner[0], steps, name)
        if origin is typing.Literal:
            return self._one_of(node, inner, name)
        if kind is str:
            return self._text(node, name)
        if kind is float:
            return self._number(node, name)
        return self.struct(node, kind, steps, name)

    def _sequence(self, node: yaml.Node, kind: Any, steps: Steps, name: str) -> Any:
        if not isinstance(node, yaml.SequenceNode):
            return self._wrong(node, f"{name} wants a list")
        values = tuple(self.value(item, kind, (*steps, place), name) for place, item in enumerate(node.value))
        return _MISSING if any(value is _MISSING for value in values) else values

    def _one_of(self, node: yaml.Node, choices: tuple[Any, ...], name: str) -> Any:
        for choice in choices:
            if isinstance(node, yaml.ScalarNode) and node.value == str(choice):
                return choice
        wanted = " or ".join(str(choice) for choice in choices)
        return self._wrong(node, f"{name} wants {wanted}, not {_shown(node)}")

    def _text(self, node: yaml.Node, name: str) -> Any:
        if not isinstance(node, yaml.ScalarNode) or not node.tag.endswith(":str"):
            quoted = " (put it in quotes)" if isinstance(node, yaml.ScalarNode) and node.value else ""
            return self._wrong(node, f"{name} wants text, not {_shown(node)}{quoted}")
        if len(node.value) > 200 or not all(c.isprintable() for c in node.value):
            return self._wrong(node, f"{name} wants at most 200 printable characters")
        return node.value

    def _number(self, node: yaml.Node, name: str) -> Any:
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        try:
            number = float(node.value) if plain else math.nan
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            return self._wrong(node, f"{name} wants a number, not {_shown(node)}")
        return number

    def _wrong(self, node: yaml.Node, what: str) -> _Missing:
        self.problems.append((node.start_mark.line + 1, what))
        return _MISSING


@functools.cache
def _declared(kind: type[PlanStruct]) -> tuple[dict[str, Any], dict[str, msgspec.structs.FieldInfo]]:
    """The types and fields of a part of the plan, as they may stand in the file."""
    known = {field.name: field for field in msgspec.structs.fields(kind) if field.name != "sha256"}
    return typing.get_type_hints(kind), known


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return f"'{node.value[:40]}'" if node.value else "nothing"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
