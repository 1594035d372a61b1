"""What the scripts of a page say, in the reader's language: one small file a language, kept by the browser."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access.gatekeeper import person_of
from api.http.errors import not_found
from api.installation import installation
from api.screens.script_texts import script_texts

router = APIRouter(include_in_schema=False)

YEAR_S = 31_536_000


@router.get("/texts/{code}.js")
def texts(request: Request, code: str, v: str = "") -> Response:
    """The texts of one language. `v`: the digest that a page names; under it the file never changes."""
    person_of(request)
    language = installation(request).languages.spoken.get(code.lower())
    if language is None:
        raise not_found(f"there is no language {code[:40]}")
    script = script_texts(language)
    etag = f'"{script.digest}"'
    lasting = f"private, max-age={YEAR_S}, immutable" if v == script.digest else "private, no-cache"
    headers = {"ETag": etag, "Cache-Control": lasting}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(script.body, headers=headers, media_type="text/javascript")
