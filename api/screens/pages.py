"""The templates, and what they may call.

In a template `_("Some text {name}", name=x)` is said in the reader's language; English is the key."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api.road import without_path
from api.screens.script_texts import STATIC, script_texts
from api.wording import words
from api.wording.clock import say_moment, say_offset
from api.wording.phrases import say_sentence
from api.wording.reader import reader, say
from api.wording.refusals import say_refusal
from ingest.messages import Instant

HERE = Path(__file__).parents[1]
__all__ = ["STATIC", "render"]


def _path(text: str) -> str:
    """An id as part of a path: slashes stay, the rest is escaped."""
    return quote(text, safe="/@:")


def _figure(value: float) -> str:
    """A measured value in three significant digits, whole when it is large."""
    return reader().language.number(value, ".0f" if abs(value) >= 100 else ".3g")


def _decimals(value: float, places: int) -> str:
    """A figure with so many decimals."""
    return reader().language.number(value, f".{places}f")


def _when(instant: Instant | None) -> Markup | str:
    """A time by the plant's clock, as an element that also tells it to machines."""
    if instant is None:
        return "–"
    who, now = reader(), Instant(time.time() * 1000)
    return Markup('<time datetime="{}" data-said>{}</time>').format(
        instant.isoformat(), say_moment(instant, now, who.zone, who.language)
    )


def _zone() -> str:
    """The plant's zone and how far it is from universal time now: `Europe/Berlin, UTC+01:00`."""
    zone, offset = reader().zone, say_offset(Instant(time.time() * 1000), reader().zone)
    return offset if zone.key == "UTC" else f"{zone.key}, {offset}"


def _texts_address() -> str:
    """Where the scripts of a page find what they say."""
    language = reader().language
    return f"/texts/{language.code}.js?v={script_texts(language).digest}"


_environment = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals |= {"_": say, "reader": reader, "zone": _zone, "texts_address": _texts_address}
_environment.filters |= {
    "reason": words.say_reason,
    "sentence": say_sentence,
    "refusal": say_refusal,
    "source": words.say_source,
    "cause": words.say_cause,
    "problem": words.say_problem,
    "scorer": words.say_scorer,
    "percent": words.say_percent,
    "chosen_share": words.say_share,
    "time": words.say_time,
    "when": _when,
    "decision": words.say_decision,
    "outcome": words.say_outcome,
    "found_by": words.say_found_by,
    "action": words.say_action,
    "role": words.say_role,
    "attribute": words.say_attribute,
    "path": _path,
    "age": words.say_age,
    "model_trouble": lambda trouble: say_sentence(without_path(trouble)),
    "figure": _figure,
    "decimals": _decimals,
}


def render(template: str, **values: Any) -> str:
    """One page. A name the template uses and nobody gave is our bug."""
    return _environment.get_template(template).render(**values)
