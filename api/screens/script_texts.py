"""The texts that scripts say, as one script of its own: `globalThis.language`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from api.wording.languages import Language
from api.wording.vocabulary import ATTRIBUTES

STATIC = Path(__file__).parents[1] / "static"


@dataclass(frozen=True, slots=True)
class ScriptTexts:
    """`digest` names the body: under it the body never changes."""

    body: bytes
    digest: str


@cache
def script_texts(language: Language) -> ScriptTexts:
    """What a browser needs to speak this language: only the texts that a script says."""
    told = {
        "code": language.code,
        "decimal": language.decimal,
        "months": language.manners["@months"].split(),
        "day": language.manners["@day"],
        "date": language.manners["@date"],
        "texts": {key: text for key, text in language.texts.items() if _is_said(key)},
    }
    body = b'"use strict";\nglobalThis.language = ' + msgspec.json.encode(told) + b";\n"
    return ScriptTexts(body, hashlib.sha256(body).hexdigest()[:16])


def _is_said(key: str) -> bool:
    """Does a script hold this text as a literal, or make it of a name in a record?"""
    return key in ATTRIBUTES.values() or json.dumps(key, ensure_ascii=False) in _scripts()


@cache
def _scripts() -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted(STATIC.glob("*.js")))
