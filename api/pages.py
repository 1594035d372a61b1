"""The templates, and what they may call."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api import words

HERE = Path(__file__).parent
STATIC = HERE / "static"


def _path(text: str) -> str:
    """An id as part of a path: slashes stay, the rest is escaped."""
    return quote(text, safe="/@:")


def _figure(value: float) -> str:
    """A measured value in three significant digits, whole when it is large."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _translate(text: str, **values: object) -> str:
    """A text of the screen in the reader's language, its `{names}` filled in."""
    return text.format(**values) if values else text


_environment = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["_"] = _translate
_environment.filters |= {
    "reason": words.say_reason,
    "source": words.say_source,
    "cause": words.say_cause,
    "problem": words.say_problem,
    "scorer": words.say_scorer,
    "percent": words.say_percent,
    "time": words.say_time,
    "decision": lambda decision: words.DECISIONS.get(decision, decision),
    "path": _path,
    "figure": _figure,
}


def render(template: str, **values: Any) -> str:
    """One page. A name the template uses and nobody gave is our bug."""
    return _environment.get_template(template).render(**values)
