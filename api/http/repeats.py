"""Once: a request with an `Idempotency-Key` that comes again from the same person is answered as before and not done.

Decisions have their own way (`api/routes/reviews.py`), for they are known by their key wherever they are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated

from fastapi import Header
from starlette.responses import Response

from api.http.errors import ApiError
from api.http.views import json_response
from api.installation import Installation
from api.store.repeats import Answered
from api.store.rows import Person

KEY_CHARACTERS_MAX = 200

Key = Annotated[str, Header(alias="Idempotency-Key", max_length=KEY_CHARACTERS_MAX)]


Act = Callable[[], tuple[bytes, int]]  # does what is asked; body and status of the answer


def once(here: Installation, person: Person, key: str, asked: str, act: Act) -> Response:
    """Do it unless this person's request with this key was done; then its answer. `asked`: the request in full. Raises
    ApiError 409 when the key was used for something else."""
    if not key:
        return json_response(*act())
    with here.one_decision:
        known = here.repeats.answer(person.name, key)
        if known is None:
            return answer_and_keep(here, person, key, asked, act)
    if known.request_sha256 != _digest(asked):
        raise ApiError(409, "this Idempotency-Key was used for another request")
    return json_response(known.body, known.status)


def answered(here: Installation, person: Person, key: str, asked: str) -> Response | None:
    """What this very request was answered before, if it was."""
    known = here.repeats.answer(person.name, key)
    return json_response(known.body, known.status) if known and known.request_sha256 == _digest(asked) else None


def answer_and_keep(here: Installation, person: Person, key: str, asked: str, act: Act) -> Response:
    """Do it, and keep the answer under the key, if there is one."""
    body, status = act()
    if key:
        here.repeats.keep(person.name, key, Answered(_digest(asked), status, body), here.now())
    return json_response(body, status)


def _digest(asked: str) -> str:
    return hashlib.sha256(asked.encode()).hexdigest()
