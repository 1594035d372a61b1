"""The languages of the screens. English is the key of every text; another language is one JSON file of key -> text.

`languages/` beside this file comes with the product; a plant adds or corrects in `<home>/languages/xx.json`, where `xx`
is a language tag (RFC 5646). A text is a sentence, or one sentence for each plural form, chosen by `{count}`:

    {"@name": "Deutsch", "Batches": "Lose", "{count} parts": {"one": "{count} Teil", "other": "{count} Teile"}}

What is missing is said in English.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from api.wording.plurals import FORMS, form_of
from ingest.errors import BadInput

PRODUCT = Path(__file__).parents[1] / "languages"
ENGLISH_CODE = "en"
TEXT_CHARACTERS_MAX = 4000  # longer than any text of a screen: what is beyond is a mistake in the file
FILE_BYTES_MAX = 2_000_000
TAG = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_PLACE = re.compile(r"\{(\w+)\}")

#: How a language writes: its own name, its months, a day of this year and of another, and the sign before decimals.
MANNERS = MappingProxyType(
    {
        "@name": "English",
        "@months": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
        "@day": "{day} {month}",
        "@date": "{day} {month} {year}",
        "@decimal": ".",
    }
)

Text = str | Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """One language. `manners`: see MANNERS."""

    code: str
    texts: Mapping[str, Text]
    manners: Mapping[str, str] = field(default_factory=lambda: MANNERS)

    @property
    def name(self) -> str:
        return self.manners["@name"]

    @property
    def decimal(self) -> str:
        return self.manners["@decimal"]

    def say(self, text: str, values: Mapping[str, object]) -> str:
        """A text of the screen, its `{names}` filled in; in English where this language has no such text."""
        found = self.texts.get(text, text)
        if not isinstance(found, str):
            count = values.get("count")
            found = found.get(form_of(self.code, count) if isinstance(count, int) else "other") or found["other"]
        return _PLACE.sub(lambda place: self._fill(place, values), found) if values else found

    def _fill(self, place: re.Match[str], values: Mapping[str, object]) -> str:
        value = values.get(place[1], place[0])
        return self.number(value) if isinstance(value, float) else str(value)

    def number(self, value: float, form: str = "g") -> str:
        """A number with this language's decimal sign: `number(0.5, ".1f")` -> `0,5` in German."""
        return format(value, form).replace(".", self.decimal)


@dataclass(frozen=True, slots=True)
class Languages:
    """The languages of an installation, by their tag in lower case. `usual`: where a reader asks for none of them."""

    spoken: Mapping[str, Language]
    usual: str = ENGLISH_CODE

    def pick(self, chosen: str, accepted: str) -> Language:
        """The reader's own choice, else the best of what the browser accepts, else the usual one."""
        for tag in (chosen, *_wanted(accepted)):
            for known in (tag.lower(), tag.lower().partition("-")[0]):
                if known in self.spoken:
                    return self.spoken[known]
        return self.spoken[self.usual]


def _wanted(accepted: str) -> list[str]:
    """The tags of an Accept-Language header, most wanted first (RFC 9110, 12.5.4); what cannot be read is left out."""
    found = []
    for place, part in enumerate(accepted[:500].split(",")):
        tag, _, weight = part.strip().partition(";")
        try:
            wish = float(weight.strip().removeprefix("q=") or 1.0)
        except ValueError:
            continue
        if TAG.fullmatch(tag.strip().lower()) and wish > 0:
            found.append((-wish, place, tag.strip()))
    return [tag for _, _, tag in sorted(found)]


def load_languages(home: str | Path, usual: str = "") -> Languages:
    """The product's languages and the plant's, which add to them and correct them. `usual`: the setting, empty for
    English. Raises BadInput naming the file and the text that is wrong, or the language that there is not."""
    texts: dict[str, dict[str, Text]] = {ENGLISH_CODE: {}}
    for folder in (PRODUCT, Path(home) / "languages"):
        for path in sorted(folder.glob("*.json")):
            texts.setdefault(_tag_of(path), {}).update(read_language(path))
    spoken = {code: _language(code, found) for code, found in texts.items()}
    wanted = usual.lower() or ENGLISH_CODE
    if wanted not in spoken:
        raise BadInput(f"QCFUSE_LANGUAGE: there is no language {usual!r}; there are {', '.join(sorted(spoken))}")
    return Languages(MappingProxyType(spoken), wanted)


def _tag_of(path: Path) -> str:
    tag = path.stem.lower()
    if not TAG.fullmatch(tag):
        raise BadInput(f"{path}: name it by its language's tag, like pl.json or pt-br.json")
    return tag


def _language(code: str, found: Mapping[str, Text]) -> Language:
    manners = {key: text for key, text in found.items() if key in MANNERS and isinstance(text, str)}
    own = {"@name": code} if code != ENGLISH_CODE else {}
    texts = {key: text for key, text in found.items() if key not in MANNERS}
    return Language(code, texts, {**MANNERS, **own, **manners})


def read_language(path: Path) -> dict[str, Text]:
    """One file of a language. Raises BadInput."""
    try:
        body = path.read_bytes()
        told = json.loads(body) if len(body) <= FILE_BYTES_MAX else None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BadInput(f"{path}: not a JSON file: {error}") from error
    if not isinstance(told, dict):
        raise BadInput(f"{path}: wants one JSON object of texts, of at most {FILE_BYTES_MAX} bytes")
    for key, text in told.items():
        if trouble := _trouble(key, text):
            raise BadInput(f"{path}: {key!r}: {trouble}")
    return told


def _trouble(key: str, text: Any) -> str:
    """Why this may not stand for that key; empty when it may."""
    if key.startswith("@"):
        return _trouble_of_manner(key, text)
    if isinstance(text, dict):
        if "other" not in text or not set(text) <= set(FORMS):
            return f"its plural forms are {', '.join(FORMS)}, of which other is always there"
        return next(filter(None, (_trouble(key, form) for form in text.values())), "")
    if not isinstance(text, str) or not 0 < len(text) <= TEXT_CHARACTERS_MAX:
        return f"wants a text of 1 to {TEXT_CHARACTERS_MAX} characters"
    allowed, used = set(_PLACE.findall(key)), set(_PLACE.findall(text))
    if unknown := sorted(used - allowed):
        return f"there is no {{{unknown[0]}}} in the English text"
    if lost := sorted(allowed - used - {"count"}):  # a plural form may say "one part" in words
        return f"{{{lost[0]}}} of the English text is missing"
    return ""


def _trouble_of_manner(key: str, text: Any) -> str:
    if key not in MANNERS:
        return f"no such manner; there are {', '.join(MANNERS)}"
    if not isinstance(text, str) or not text:
        return "wants a text"
    if key == "@months" and len(text.split()) != 12:
        return "wants the twelve months with blanks between them"
    if unknown := set(_PLACE.findall(text)) - {"day", "month", "year"}:
        return f"there is no {{{min(unknown)}}}; a date has day, month and year"
    return ""


#: What is spoken before anything is loaded: the keys themselves, and the plurals of English.
ENGLISH = _language(ENGLISH_CODE, read_language(PRODUCT / "en.json"))
SPEAKS_ENGLISH = Languages(MappingProxyType({ENGLISH_CODE: ENGLISH}))
