"""Sentences that the judge wrote into a record, said in another language.

A record keeps the English sentence as evidence. Where it has one of the forms (api/wording/forms.py), its figures are
put into the reader's sentence; any other stays as it was written. English readers read the record's own words, by the
plant's clock.
"""

from __future__ import annotations

import re
import time
from functools import cache

from api.wording.clock import say_moment
from api.wording.forms import MEASURES, PHRASES
from api.wording.languages import ENGLISH_CODE
from api.wording.reader import reader, say
from api.wording.words import say_cause, say_source
from ingest.messages import Instant

_TIME = re.compile(r"(?<![^\s(])(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d(?:\.\d{1,9})?)?(?:Z| UTC)")
_FIGURE = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
_ANY = ("entity", "figures", "others", "more_others", "frame", "measured", "camera", "kind", "when", "across", "along",
        "gate", "calibrated", "group", "shown", "why", "name", "version", "file", "error", "model")  # fmt: skip
_PLACES = {
    **dict.fromkeys(_ANY, ".+?"),
    **dict.fromkeys(("unit", "station", "measure"), r"\S+"),
    **dict.fromkeys(("now", "low", "high"), rf"{_FIGURE}(?: standard deviations| \S+)?"),
    "attribute": r"\w+=.+?",
    "origin": r"(?:camera|sensors):.+?",
    "doubt": "(?:a camera|dirt|an eye|more defects|a source|drift|risks|parts are)[a-z ]*",
    **dict.fromkeys(("share", "labelled"), r"\d+%"),
    "rate": rf"{_FIGURE} %",
}


def say_sentence(sentence: str) -> str:
    """A sentence of a record in the reader's language, as far as there is a phrase for it, its times by the plant's
    clock."""
    if reader().language.code == ENGLISH_CODE:
        return _by_the_plants_clock(sentence)
    for phrase in PHRASES:
        if found := form_of(phrase).fullmatch(sentence):
            said = say(phrase, **{name: _in_words(text) for name, text in found.groupdict().items()})
            return _by_the_plants_clock(said)
    return _by_the_plants_clock(sentence)


def say_sentences(joined: str) -> str:
    """Sentences with `; ` between them, each in the reader's language; some hold one themselves: the shortest run that
    has a form is one."""
    pieces, said = joined.split("; "), []
    while pieces:
        runs = ("; ".join(pieces[:number]) for number in range(1, len(pieces) + 1))
        found = next((run for run in runs if _has_form(run)), pieces[0])
        said.append(say_sentence(found))
        del pieces[: found.count("; ") + 1]
    return "; ".join(said)


def _has_form(sentence: str) -> bool:
    return any(form_of(phrase).fullmatch(sentence) for phrase in PHRASES)


def _by_the_plants_clock(sentence: str) -> str:
    """The judge writes times in UTC, `2026-01-05 14:02 UTC` or RFC 3339."""
    return _TIME.sub(_moment, sentence)


def _moment(found: re.Match[str]) -> str:
    day, minute, second = found.groups()
    try:
        at = Instant.parse(f"{day}T{minute}{second or ':00'}Z")
    except ValueError:
        return found[0]  # a lot of that name, not a time
    who = reader()
    told = say_moment(at, Instant(time.time() * 1000), who.zone, who.language)
    return told if second else told.removesuffix(":00")


@cache
def form_of(phrase: str) -> re.Pattern[str]:
    """`{a} of {b}` as a pattern; a place that comes again holds the same again."""
    seen: set[str] = set()

    def place(found: re.Match[str]) -> str:
        name = found[1]
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return f"(?P<{name}>{_PLACES.get(name, _FIGURE)})"

    return re.compile(re.sub(r"\\\{(\w+)\\\}", place, re.escape(phrase)))


def _in_words(text: str) -> str:
    """What stood in a place: a figure in the reader's form, a cause or a measure in words, a sentence within one."""
    if text in MEASURES:
        return say(MEASURES[text])
    if re.fullmatch(r"\d+%", text):
        return f"{text[:-1]} %"
    if re.fullmatch(r"(?:camera|sensors)[: ]\S+", text):
        return say_source(text.replace(" ", ":", 1))
    if re.fullmatch(r"\w+=[^:]+|[\w-]+\.[a-z]\w*", text):
        return say_cause(text)
    if (sentence := say_sentence(text)) != text:
        return sentence
    figure = re.match(_FIGURE + r"(?= |$)", text)
    if not figure:
        return text
    unit = text[figure.end() + 1 :]
    told = figure[0].replace(".", reader().language.decimal)
    return f"{told} {say(MEASURES[unit]) if unit in MEASURES else unit}".rstrip()
