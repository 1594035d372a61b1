"""The OpenAPI document: what FastAPI knows of the requests, and of the answers what `api/http/answers.py` says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from fastapi import FastAPI

from api.access.gatekeeper import COOKIE, OPEN_PATHS
from api.http.answers import ANSWERS, DEFAULT, DESCRIPTIONS, PARAMETERS, RAW, REFUSALS, TAGS, Answer
from api.http.examples import EXAMPLES
from ingest.messages import Instant

JSON = "application/json"
SCHEMAS = "#/components/schemas/"
INTRODUCTION = """\
Everything that the screens show and do. Times are RFC 3339 in UTC.

**Who asks.** `Authorization: Bearer TOKEN` (`qcfuse token NAME --role ROLE`), or the session that `POST /api/login`
begins. What a role may do stands in the manual; what it may not is answered 403.

**Errors** are always `{"error": {"code", "message", "detail"}}`: `code` is for programs, `message` for people.

**Lists** are gone through with `?limit=` and `?cursor=`: an answer's `next` is the cursor of the page that follows,
null on the last one. A cursor is a place in the list and no number of a page: what comes in meanwhile neither repeats
a row nor hides one.

**Once.** A `POST` with the header `Idempotency-Key` is done once: sent again by the same person with the same body, it
is answered as before. With another body it is refused (409), but for an order to stop: that is always carried out.

**Pictures** carry an `ETag`: ask with `If-None-Match` and get 304 for one you have.
"""
SECURITY: dict[str, Any] = {
    "token": {"type": "http", "scheme": "bearer", "description": "for machines and scripts: `qcfuse token`"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "of people who logged in. What changes something needs the header X-CSRF-Token of the page too.",
    },
}
ERROR: dict[str, Any] = {
    "type": "object",
    "description": "Why the answer is not the one asked for.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "detail"],
            "properties": {
                "code": {"type": "string", "enum": sorted({refusal.code for refusal in REFUSALS.values()})},
                "message": {"type": "string", "description": "one sentence for a person"},
                "detail": {"description": "what a program can use of it, or null"},
                "said": {"type": "string", "description": "the message in the reader's language, if it is not English"},
            },
        }
    },
}


def describe(app: FastAPI) -> None:
    """Give an app this document in place of FastAPI's own; it is made when it is first asked for."""
    plain = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = complete(plain())
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """METHOD, path and operation of everything in a document."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document with answers, errors, examples, security and words."""
    answered = [answer for answer in ANSWERS.values() if answer.body is not None]
    kinds: list[Any] = [answer.body for answer in answered] + [*RAW.values()]
    found, components = msgspec.json.schema_components(kinds, schema_hook=_schema_of, ref_template=SCHEMAS + "{name}")
    of_kind = dict(zip(map(repr, kinds), found, strict=True))
    for (owner, name), kind in RAW.items():
        if owner in components:
            components[owner]["properties"][name] = of_kind[repr(kind)]
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for own in ("HTTPValidationError", "ValidationError"):
        schemas.pop(own, None)
    schemas.update(components)
    schemas["Error"] = ERROR
    document["components"]["securitySchemes"] = SECURITY
    document["components"]["responses"] = {refusal.name: _refusal(status) for status, refusal in REFUSALS.items()}
    document["security"] = [{name: []} for name in SECURITY]
    document["info"]["description"] = INTRODUCTION
    document["tags"] = [{"name": name, "description": said} for name, said in TAGS.items()]
    for method, path, operation in operations(document):
        _complete(method, path, operation, of_kind)
    return document


def _complete(method: str, path: str, operation: dict[str, Any], of_kind: Mapping[str, Any]) -> None:
    answer = ANSWERS.get((method, path), DEFAULT)
    example = EXAMPLES.get(f"{method} {path}", {})
    responses = {str(answer.status): _answered(answer, of_kind, example.get("answer"))}
    responses |= {str(status): said for status, said in answer.also.items()}
    for status in refusals(method, path, operation, answer):
        responses[str(status)] = {"$ref": f"#/components/responses/{REFUSALS[status].name}"}
    operation["responses"] = dict(sorted(responses.items()))
    if path in OPEN_PATHS:
        operation["security"] = []
    for parameter in operation.get("parameters", ()):
        told = PARAMETERS.get(parameter["name"].lower(), {})
        parameter["schema"] = {**parameter["schema"], **told.get("schema", {})}
        if "description" in told:
            parameter["description"] = told["description"]
    if "requestBody" in operation and "request" in example:
        operation["requestBody"]["content"][JSON]["example"] = example["request"]


def refusals(method: str, path: str, operation: Mapping[str, Any], answer: Answer) -> list[int]:
    """The codes of errors that a route may answer with: what its answer names, and what holds for all like it."""
    told = {*answer.refusals, 503}
    if path not in ("/healthz", "/readyz"):
        told |= {422, 429}
    if path not in OPEN_PATHS:
        told |= {401, 403}
    if method != "GET":
        told.add(403)
    if "requestBody" in operation:
        told |= {400, 413}
    if any(parameter["in"] == "path" for parameter in operation.get("parameters", ())):
        told.add(404)
    return sorted(told - set(answer.never))


def _answered(answer: Answer, of_kind: Mapping[str, Any], example: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"description": answer.said or DESCRIPTIONS[answer.status]}
    if answer.headers:
        said["headers"] = {
            name: {"schema": {"type": "string"}, "description": of} for name, of in answer.headers.items()
        }
    if answer.body is not None:
        schema = of_kind[repr(answer.body)]
        content: dict[str, Any] = {"schema": _page(schema) if answer.listed else schema}
        if example is not None:
            content["example"] = example
        said["content"] = {JSON: content}
    for media in answer.media:
        binary = not media.startswith("text/")
        kept = {"type": "string", "contentMediaType": media} if binary else {"type": "string"}
        said.setdefault("content", {})[media] = {"schema": kept}
    return said


def _page(item: Mapping[str, Any]) -> dict[str, Any]:
    following = {"type": ["string", "null"], "description": "the cursor of the page that follows"}
    items = {"type": "array", "items": item}
    return {"type": "object", "required": ["items", "next"], "properties": {"items": items, "next": following}}


def _refusal(status: int) -> dict[str, Any]:
    refusal = REFUSALS[status]
    shown = {"error": {"code": refusal.code, "message": refusal.example, "detail": None}}
    said: dict[str, Any] = {
        "description": refusal.said,
        "content": {JSON: {"schema": {"$ref": f"{SCHEMAS}Error"}, "example": shown}},
    }
    if status in (429, 503):
        after = {"schema": {"type": "integer"}, "description": "seconds after which asking again makes sense"}
        said["headers"] = {"Retry-After": after}
    return said


def _schema_of(kind: type) -> dict[str, Any]:
    if kind is Instant:
        return {"type": "string", "format": "date-time", "examples": ["2026-11-23T08:26:00.125Z"]}
    raise NotImplementedError(kind)
