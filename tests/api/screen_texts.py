"""Every text of the screens: what templates, scripts and the server say, and what goes past `_` and `tr`."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from jinja2 import Environment, nodes

from api.screens import error_pages
from api.wording import forms, refusals, vocabulary

API = Path(vocabulary.__file__).parents[1]
TEMPLATES = sorted((API / "templates").glob("*.html"))
SCRIPTS = sorted((API / "static").glob("*.js"))

_LITERAL = r'"((?:[^"\\\n]|\\.)*)"'
#: A text that a script says by `tr(table[...])` stands in a table: after a key of the keyboard, or as a value of one
#: whose name ends in Words.
_TABLE = re.compile(r"const \w+Words = \{(.*?)\};", re.DOTALL)
_KEY_LABEL = re.compile(r'\["[^"]", ' + _LITERAL + r"\]")
_SAID = re.compile(r"\btr\(\s*" + _LITERAL)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TEMPLATE = re.compile(r"`((?:[^`\\]|\\.)*)`", re.DOTALL)
_SENTENCE = re.compile(r"[A-Z][a-z]{2,}[.…!]?|.*\b[A-Za-z][a-z'’]+[,:;]? [a-z'’]{2,}[ ,.:;?!…]?.*", re.DOTALL)
_NO_SENTENCE = re.compile(r"^[a-z-]+(?: [a-z-]+)?$|[.#]\w|\[|=|\b(?:use strict|px|rgb)\b")  # classes, selectors
_ATTRIBUTE = re.compile(r'\s(?:title|aria-label|placeholder|alt|aria-description)="([^"]*)"')
_TAG = re.compile(r"<[^>]*>")
_SILENT = re.compile(r"<(script|style|code|kbd)\b[^>]*>.*?</\1>", re.DOTALL)


@cache
def keys() -> frozenset[str]:
    """Every text by its key."""
    return frozenset({*_of_templates(), *_of_scripts(), *_of_python()})


def _of_templates() -> Iterator[str]:
    for path in TEMPLATES:
        for call in Environment().parse(path.read_text("utf-8")).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "_" and isinstance(call.args[0], nodes.Const):
                yield call.args[0].value


def _of_scripts() -> Iterator[str]:
    for path in SCRIPTS:
        source = path.read_text("utf-8")
        for found in (*_SAID.findall(source), *_KEY_LABEL.findall(source)):
            yield json.loads(f'"{found}"')
        for table in _TABLE.findall(source):
            yield from (json.loads(f'"{found}"') for found in re.findall(r": " + _LITERAL, table))


def _of_python() -> Iterator[str]:
    yield from (*error_pages.SENTENCES, *forms.PHRASES, *refusals.REFUSALS)
    yield from (refusals.UNLIKELY, *refusals.OTHERWISE.values())
    for table in (*vocabulary.TABLES, forms.MEASURES):
        yield from table.values()
    for path in sorted(API.rglob("*.py")):
        source = path.read_text("utf-8")
        if not re.search(r"^from api\.wording\.reader import .*\bsay\b", source, re.MULTILINE):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say" and node.args:
                said = node.args[0]
                if isinstance(said, ast.Constant) and isinstance(said.value, str):
                    yield said.value


def unsaid() -> list[str]:
    """Texts that no reader of another language would understand: `file: text`."""
    return [*_unsaid_in_templates(), *_unsaid_in_scripts()]


def _unsaid_in_templates() -> Iterator[str]:
    for path in TEMPLATES:
        source = re.sub(r"\{#.*?#\}|\{%.*?%\}", "", path.read_text("utf-8"), flags=re.DOTALL)
        shown = _SILENT.sub("", re.sub(r"\{\{.*?\}\}", " ", source, flags=re.DOTALL))
        for text in (*_ATTRIBUTE.findall(shown), *_TAG.split(shown)):
            if re.search(r"[A-Za-zÀ-ÿ]{2,}", text):
                yield f"{path.name}: {' '.join(text.split())}"


def _unsaid_in_scripts() -> Iterator[str]:
    said = set(_of_scripts())
    for path in SCRIPTS:
        source = _COMMENT.sub("", path.read_text("utf-8"))
        written = [json.loads(f'"{found}"') for found in re.findall(_LITERAL, source)]
        written += [re.sub(r"\$\{[^}]*\}", " ", found) for found in _TEMPLATE.findall(source)]
        for text in written:
            if text not in said and _SENTENCE.fullmatch(text.strip()) and not _NO_SENTENCE.search(text.strip()):
                yield f"{path.name}: {text}"
