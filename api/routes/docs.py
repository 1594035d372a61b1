"""The OpenAPI document as a page that a person reads: made here, so that it opens in a plant without the internet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access.gatekeeper import require
from api.http.openapi import JSON, operations
from api.installation import installation
from api.screens.front import page_of

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Field:
    """A parameter or a key of a body."""

    name: str
    kind: str
    said: str
    needed: bool
    where: str = ""


@dataclass(frozen=True)
class Code:
    """A status that a route answers with."""

    status: str
    said: str
    code: str = ""


@dataclass(frozen=True)
class RouteLines:
    """One route as the page shows it. Examples are JSON, indented; empty where there is none."""

    method: str
    path: str
    said: str
    parameters: list[Field]
    body: list[Field]
    request: str
    answer: str
    codes: list[Code]


@dataclass(frozen=True)
class Chapter:
    """The routes of one tag."""

    name: str
    said: str
    routes: list[RouteLines] = field(default_factory=list)


@router.get("/docs")
def docs_page(request: Request) -> Response:
    """Every route of the API: what it takes, what it answers, an example of both."""
    person = require(request, "read")
    document = request.app.openapi()
    return page_of("docs.html", person, "docs", plant=installation(request).plan.plant, chapters=chapters_of(document),
                   introduction=_paragraphs(document["info"]["description"]))  # fmt: skip


def chapters_of(document: Mapping[str, Any]) -> list[Chapter]:
    """The routes by tag, in the order of the document."""
    chapters = {tag["name"]: Chapter(tag["name"], tag["description"]) for tag in document["tags"]}
    for method, path, operation in operations(document):
        chapters[operation["tags"][0]].routes.append(_route(document, method, path, operation))
    return [chapter for chapter in chapters.values() if chapter.routes]


def _route(document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> RouteLines:
    body = operation.get("requestBody", {}).get("content", {}).get(JSON, {})
    answers = [_resolved(document, answer) for answer in operation["responses"].values()]
    example = next((one["content"][JSON]["example"] for one in answers if _has_example(one)), None)
    return RouteLines(
        method=method,
        path=path,
        said=operation.get("description", ""),
        parameters=[_parameter(one) for one in operation.get("parameters", ())],
        body=_keys(document, body.get("schema", {})),
        request=_shown(body.get("example")),
        answer=_shown(example),
        codes=[
            Code(status, answer["description"], _error_code(answer))
            for status, answer in zip(operation["responses"], answers, strict=True)
        ],
    )


def _has_example(answer: Mapping[str, Any]) -> bool:
    shown = answer.get("content", {}).get(JSON, {}).get("example")
    return shown is not None and "error" not in shown


def _error_code(answer: Mapping[str, Any]) -> str:
    error = answer.get("content", {}).get(JSON, {}).get("example", {}).get("error", {})
    return str(error.get("code", ""))


def _resolved(document: Mapping[str, Any], told: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = told.get("$ref")
    if reference is None:
        return told
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return _resolved(document, found)


def _parameter(told: Mapping[str, Any]) -> Field:
    schema = told["schema"]
    return Field(told["name"], _kind(schema), told.get("description", ""), told.get("required", False), told["in"])


def _keys(document: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Field]:
    found = _resolved(document, schema)
    needed = found.get("required", ())
    return [
        Field(name, _kind(one), one.get("description", ""), name in needed)
        for name, one in found.get("properties", {}).items()
    ]


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in a few words: `string, at most 200 characters`, `one of manual, auto`, `MarkRequest, several`."""
    if "enum" in schema:
        return "one of " + ", ".join(value or '""' for value in schema["enum"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"{_kind(schema.get('items', {}))}, several"
    kind = str(schema.get("type", "any"))
    if "maximum" in schema:
        return f"{kind}, {schema.get('minimum', '')} to {schema['maximum']}"
    return f"{kind}, at most {schema['maxLength']} characters" if "maxLength" in schema else kind


def _shown(example: Any) -> str:
    return "" if example is None else orjson.dumps(example, option=orjson.OPT_INDENT_2).decode()


def _paragraphs(text: str) -> list[str]:
    return [" ".join(paragraph.split()).replace("**", "").replace("`", "") for paragraph in text.split("\n\n")]
