"""What every route answers: the table that the OpenAPI document is made of, and that the fuzzer holds us to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from api.http.errors import CODES
from api.http.views import PartView
from api.routes.accounts import PersonView, SecretAnswer
from api.routes.marks import MarkList
from api.routes.models import ModelView
from api.routes.overview import Overview
from api.routes.parts import Exposure
from api.routes.plant import BatchView, ModeView, OversightView
from api.routes.quality import KnownView, QualityView
from api.routes.queue import HoldAnswer, NextAnswer, QueuePage
from api.routes.reviews import ReviewAnswer
from api.routes.settled import SettledItem
from api.routes.shift import ShiftView
from api.routes.views import ViewAnswer
from api.store.queue import Standing
from ingest.messages import Cause, EvidenceSummary, Instant, Order, Verdict


class Alive(msgspec.Struct):
    """This process answers."""

    alive: bool


class Ready(msgspec.Struct):
    """Does every part of the road work?"""

    ready: bool


class Myself(msgspec.Struct):
    """Whose token or session it is, and what it may do. `must_change`: only the change of the one-time password."""

    name: str
    role: str
    rights: list[str]
    must_change: bool = False


class AuditLine(msgspec.Struct):
    """Who did what to what."""

    at: Instant
    by: str
    role: str
    action: str
    subject: str
    detail: str


class IncidentView(msgspec.Struct):
    """Something that is going wrong. `kind` road: the system itself; notice: what it takes note of; camera, process:
    told by the judges, with more keys (since when, of what, how many parts). `containment`: who was exposed to it."""

    kind: str
    what: str | None = None
    since: str | None = None
    cause: str | None = None
    camera_id: str | None = None
    containment: str | None = None


class BeginAnswer(msgspec.Struct):
    """What the queue begins with; null: everything."""

    query: str | None


class Report(msgspec.Struct):
    """A batch report; the same figures as the page."""


@dataclass(frozen=True)
class Answer:
    """`body`: the struct of the JSON, of each item where it is `listed`; `refusals`: errors beside those that every
    such route may give, `never`: of those, what it does not; `also`: other answers that are no errors."""

    body: Any = None
    status: int = 200
    listed: bool = False
    refusals: tuple[int, ...] = ()
    never: tuple[int, ...] = ()
    media: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    also: Mapping[int, dict[str, Any]] = field(default_factory=dict)
    said: str = ""


@dataclass(frozen=True)
class Refusal:
    """An error code: its name in the document, what it means, and a message of it."""

    name: str
    said: str
    example: str
    code: str


def _refusal(status: int, name: str, said: str, example: str) -> tuple[int, Refusal]:
    return status, Refusal(name, said, example, CODES[status])


REFUSALS = dict(
    (
        _refusal(400, "BadRequest", "The body cannot be read.", "POST /api/views: there was an error parsing the body"),
        _refusal(401, "Unauthorized", "No token and no session, or none that is good.", "this needs a token"),
        _refusal(
            403, "Forbidden", "The role has no right to this, the one-time password was not changed yet, or it "
            "came from another site or without the page's token.", "inspector anna has no right to audit"),
        _refusal(404, "NotFound", "There is none of this name.", "part P-104 is not known"),
        _refusal(409, "Conflict", "It does not fit what is there; the message says what.", "there is a zoe already"),
        _refusal(410, "Gone", "It was there, and retention has taken it.", "frame top-17: no longer kept"),
        _refusal(413, "TooLarge", "The body is larger than is taken.", "the body is larger than 524288 bytes"),
        _refusal(422, "Invalid", "It cannot be meant; `detail` names each place.", "cursor: not one that a list gave"),
        _refusal(429, "TooMany", "More than anybody may ask in this time.", "too many attempts: try again in 4 s"),
        _refusal(501, "NotThereYet", "Not in this version.", "pdf: not there yet"),
        _refusal(503, "Unavailable", "The store or the log does not answer.", "the store does not answer: timeout"),
    )
)  # fmt: skip

PICTURE = Answer(
    media=("image/jpeg", "image/png", "image/tiff", "image/bmp", "application/octet-stream"),
    headers={"ETag": "names these bytes", "Cache-Control": "private: for whoever asked"},
    refusals=(410,),
    also={304: {"description": "You have it: `If-None-Match` names it."}},
    said="The picture.",
)
ONCE = (409,)
NOTHING = Answer(status=204)
DEFAULT = Answer()

ANSWERS: dict[tuple[str, str], Answer] = {
    ("GET", "/healthz"): Answer(Alive, never=(503,)),
    ("GET", "/readyz"): Answer(
        Ready, never=(503,),
        also={503: {"description": "No; why not stands in `/api/incidents`.",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Ready"}}}}},
    ),
    ("GET", "/metrics"): Answer(media=("text/plain",), said="Prometheus' exposition format."),
    ("POST", "/api/login"): Answer(Myself, refusals=(401,), headers={"Set-Cookie": "the session"}),
    ("POST", "/api/logout"): Answer(status=303, headers={"Location": "where to log in"}, said="It has ended."),
    ("GET", "/api/me"): Answer(Myself),
    ("GET", "/api/audit"): Answer(AuditLine, listed=True),
    ("POST", "/api/account"): Answer(status=204, refusals=(409,)),
    ("POST", "/api/account/language"): Answer(status=204, refusals=(409,)),
    ("GET", "/api/people"): Answer(PersonView, listed=True),
    ("POST", "/api/people"): Answer(SecretAnswer, 201, refusals=(409,)),
    ("POST", "/api/people/{name}"): Answer(SecretAnswer, refusals=(409,)),
    ("GET", "/api/verdicts"): Answer(Verdict, listed=True),
    ("GET", "/api/verdicts/stream"): Answer(media=("text/event-stream",), said="Events until either side closes: `id` "
                                            "is what `Last-Event-ID` goes on from, `data` a verdict."),
    ("GET", "/api/marks"): Answer(MarkList),
    ("POST", "/api/parts/{part_id}/reviews"): Answer(ReviewAnswer, 201, refusals=ONCE),
    ("POST", "/api/parts/{part_id}/missed"): Answer(ReviewAnswer, 201, refusals=ONCE),
    ("POST", "/api/reviews/{review_id}/undo"): Answer(ReviewAnswer, 201, refusals=(409,)),
    ("GET", "/api/queue"): Answer(QueuePage),
    ("GET", "/api/queue/settled"): Answer(SettledItem, listed=True),
    ("GET", "/api/queue/standing"): Answer(Standing, listed=True),
    ("GET", "/api/queue/mine"): Answer(ShiftView),
    ("GET", "/api/next"): Answer(NextAnswer),
    ("POST", "/api/parts/{part_id}/hold"): Answer(HoldAnswer),
    ("DELETE", "/api/parts/{part_id}/hold"): NOTHING,
    ("GET", "/api/views"): Answer(ViewAnswer, listed=True),
    ("POST", "/api/views"): Answer(ViewAnswer, 201, refusals=(409,)),
    ("DELETE", "/api/views/{name}"): NOTHING,
    ("POST", "/api/queue/begin"): Answer(BeginAnswer),
    ("GET", "/api/parts/{part_id}/frames/{frame_id}/heatmap"): PICTURE,
    ("GET", "/api/parts/{part_id}/frames/{frame_id}"): PICTURE,
    ("GET", "/api/parts/{part_id}"): Answer(PartView),
    ("GET", "/api/thumbnails/{part_id}"): PICTURE,
    ("GET", "/api/containment"): Answer(Exposure),
    ("GET", "/api/control/mode"): Answer(ModeView),
    ("POST", "/api/control/mode"): Answer(Order, 202, refusals=(404, *ONCE), never=(429,)),
    ("GET", "/api/batches"): Answer(BatchView, listed=True),
    ("GET", "/api/batches/{batch_id}/report"): Answer(Report, media=("text/html", "text/csv"), refusals=(501,)),
    ("GET", "/api/models"): Answer(ModelView, listed=True),
    ("POST", "/api/models/{name}/{version}/promote"): Answer(ModelView, refusals=ONCE),
    ("GET", "/api/incidents"): Answer(IncidentView, listed=True),
    ("GET", "/api/oversight"): Answer(OversightView),
    ("GET", "/api/overview"): Answer(Overview),
    ("GET", "/api/quality"): Answer(QualityView),
    ("GET", "/api/known"): Answer(KnownView, listed=True),
    ("POST", "/api/known"): Answer(KnownView, 201, refusals=(404, 409)),
    ("DELETE", "/api/known/{part_id}"): NOTHING,
}  # fmt: skip

#: Bodies that go through as they stand on the log, and what they are.
RAW: dict[tuple[str, str], Any] = {
    ("QueueItem", "verdict"): Verdict,
    ("PartView", "verdicts"): list[Verdict],
    ("PartView", "causes"): list[Cause],
    ("EvidenceView", "summary"): EvidenceSummary | None,
}

DESCRIPTIONS = {
    200: "What was asked for.",
    201: "It was recorded.",
    202: "It was ordered; the judges follow it from the log.",
    204: "It was done.",
    303: "Look there.",
}

TAGS = {
    "queue": "What waits for a person, and who holds it.",
    "parts": "One part: its evidence, its pictures, what people decided.",
    "verdicts": "Verdicts as they stand on `qc.verdicts`, as a list and as they come.",
    "marks": "Where people saw defects.",
    "quality": "How well people and model agree.",
    "plant": "Mode, batches, models, incidents, the mandate.",
    "people": "Accounts, sessions, the audit trail.",
    "health": "Is it alive, is it ready.",
}

_TEXT = {"pattern": "^[^\\u0000]*$"}
PARAMETERS: dict[str, dict[str, Any]] = {
    "limit": {"description": "how many at most"},
    "cursor": {"description": "`next` of the page before; empty: from the beginning"},
    "decision": {
        "description": "these decisions, separated by commas; empty: any",
        "schema": {"pattern": "^((pass|review|cannot_tell)(,(pass|review|cannot_tell))*)?$"},
    },
    "since": {"description": "an RFC 3339 time; only what is not older"},
    "line_id": {"description": "of this line; empty: any", "schema": _TEXT},
    "product": {"description": "of this product; empty: any", "schema": _TEXT},
    "batch_id": {"description": "of this batch"},
    "cause": {"description": "a cause: `tool_id=T7`, or two that act together: `recipe=R2 & tool_id=T7`"},
    "camera": {"description": "seen by this camera; empty: any", "schema": _TEXT},
    "age": {"description": "`under:60` or `over:60`: minutes since the part was at its gate"},
    "behind": {"description": "a part to pass over"},
    "take": {"description": "take it over from whoever holds it"},
    "after": {"description": "as `Last-Event-ID`, for clients that cannot send that"},
    "last-event-id": {"description": "the `id` of the last event that arrived"},
    "idempotency-key": {"description": "a name of this request, new for each: sent again, it is not done twice"},
    "corrections": {"description": "let revisions through whatever their decision"},
    "part_id": {"description": "as the line wrote it; slashes may stand in it"},
    "frame_id": {"description": "as the part's `evidence.frames` name it"},
}
