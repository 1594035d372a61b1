"""One JSON shape for every error: `{"error": {"code", "message", "detail"}}`. Status codes are chosen at this door.

Who reads another language than English finds the message in it beside: `said`."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from api.access.passwords import BUSY_S, Busy
from api.screens.error_pages import error_page, new_number, wants_page
from api.store.database import StoreUnavailable
from api.wording.reader import reader_of, reading
from api.wording.refusals import say_refusal
from ingest.errors import BadInput, LogUnavailable, ModelRefused

CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    410: "gone",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
    429: "too_many",
    501: "not_there_yet",
    503: "unavailable",
}
_logger = logging.getLogger("qcfuse.api")


def error_body(status: int, message: str, detail: Any = None, said: str = "") -> bytes:
    """The body of an error answer. `said`: the message in the language of whoever asks, where that is another one."""
    told = {"code": CODES.get(status, "error"), "message": message, "detail": detail}
    return orjson.dumps({"error": told | ({"said": said} if said not in ("", message) else {})})


def error_response(
    status: int, message: str, detail: Any = None, headers: dict[str, str] | None = None, said: str = ""
) -> Response:
    """An error answer. No browser keeps it: what is gone, held or refused now may be there in a moment."""
    told = {"Cache-Control": "no-store"} | (headers or {})
    return Response(error_body(status, message, detail, said), status, told, "application/json")


def not_found(message: str, detail: Any = None) -> ApiError:
    return ApiError(404, message, detail)


class ApiError(Exception):
    """An answer that is not the one asked for, in the field's words."""

    def __init__(self, status: int, message: str, detail: Any = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = headers
        self.status = status
        self.message = message
        self.detail = detail


def answer_errors(app: FastAPI) -> None:
    """Give every error of the app the one shape."""

    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> Response:
        return answer_error(request, error.status, error.message, error.detail, error.headers)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        message = f"{request.method} {request.url.path}: {error.detail}"
        return answer_error(request, error.status_code, message, headers=dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        wrong = [{"where": ".".join(map(str, one["loc"])), "what": one["msg"]} for one in error.errors()]
        first = f"{wrong[0]['where']}: {wrong[0]['what']}" if wrong else "the request is not understood"
        return answer_error(request, 422, first, wrong)

    @app.exception_handler(BadInput)
    async def bad_input(request: Request, error: BadInput) -> Response:
        return answer_error(request, 422, str(error))

    @app.exception_handler(ModelRefused)
    async def refused(_request: Request, error: ModelRefused) -> Response:
        return error_response(409, str(error))

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> Response:
        return answer_error(request, 429, str(error), headers={"Retry-After": str(BUSY_S)})

    @app.exception_handler(StoreUnavailable)
    @app.exception_handler(LogUnavailable)
    async def unavailable(request: Request, error: Exception) -> Response:
        return answer_error(request, 503, str(error), headers={"Retry-After": "2"})

    @app.exception_handler(Exception)
    async def our_bug(request: Request, error: Exception) -> Response:
        number = new_number()
        _logger.error("%s %s: our bug %s", request.method, request.url.path, number, exc_info=error)
        return answer_error(request, 500, f"qcfuse made a mistake; its log has the details under {number}", number)


def answer_error(
    asking: HTTPConnection, status: int, message: str, detail: Any = None, headers: dict[str, str] | None = None
) -> Response:
    """An error answer: a page for a person, the one JSON shape for everybody else."""
    if wants_page(asking):
        return error_page(asking, status, message, detail, headers)
    with reading(reader_of(asking)):
        return error_response(status, message, detail, headers, say_refusal(message, status))
