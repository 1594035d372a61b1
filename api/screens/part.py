"""The screen of one part: why it was flagged, what shows it, what it went through, and the keys that decide."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access.gatekeeper import require
from api.access.tokens import may
from api.agreement.shown import look_at
from api.http.errors import not_found
from api.http.views import read_exhibit, read_verdict
from api.installation import Installation, installation
from api.routes.parts import striking_first
from api.screens.curves import draw_curves
from api.screens.front import page_of
from api.screens.part_known import known_line
from api.screens.revisions import revisions
from api.store.order import order
from api.store.rows import Case, PartRecord
from api.urgency import kinds_of_defect
from api.wording.words import say_evidence
from fusion.labels import standing
from ingest.messages import Findings, Instant, Mark, Verdict
from vision.marks import MARKS_TO_TEACH

router = APIRouter(include_in_schema=False)

KINDS_SHOWN = 9  # kinds of defect to choose from, one a digit


@dataclass(frozen=True, slots=True)
class CauseLine:
    """One cause as the page shows it."""

    cause: str
    station_id: str
    share: float
    evidence: tuple[str, ...]


@router.get("/parts/{part_id:path}")
def part_page(request: Request, part_id: str, gate: str = "") -> Response:
    """One part at one gate: why it was flagged, and the buttons."""
    person = require(request, "read")
    here = installation(request)
    record = here.reader.part(part_id)
    if record is None:
        raise not_found(f"part {part_id} is not known")
    look = look_at(here, person, record)
    record = look.record
    case = _case_to_show(record, gate, here.now())
    verdicts = [read_verdict(stored) for stored in record.verdicts]
    verdict = _verdict_of(case, record, verdicts)
    exhibit = read_exhibit(here.blobs, verdict.evidence_ref if verdict else "")
    causes = _causes(verdict)
    return page_of(
        "part.html",
        person,
        "part",
        plant=here.plan.plant,
        part_id=part_id,
        record=record,
        case=case,
        known=known_line(here, person, record, case),
        waits_too=_waits_too(record, case, here.now()),
        shown=look.shown,
        verdict=verdict,
        revisions=revisions(verdicts),
        causes=causes,
        came_of=here.reader.came_of(causes[0].cause, part_id) if causes and causes[0].cause != "unknown" else {},
        codes=_codes(record, causes),
        kinds=_kinds(here, record, case),
        frames=(frames := striking_first(record.findings)),
        examples=_examples(here, frames, verdict),
        recorded=_recorded_marks(record),
        marks_needed=MARKS_TO_TEACH,
        drawings=draw_curves(exhibit, frozenset(cause.cause for cause in causes)),
        sentences=say_evidence(verdict) if verdict else [],
        may_review=may(person, "review"),
        may_use=here.plan.may_use,  # what may be no cause (an operator) is nobody's business on this page
    )


def _case_to_show(record: PartRecord, gate: str, now: Instant) -> Case | None:
    """The newest at this gate; where none is named the most urgent that waits, else the newest of all."""
    waiting = [case for case in record.cases if case.state == "open" and not gate]
    if waiting:
        return min(waiting, key=lambda case: order(case, now))
    return next((case for case in record.cases if gate in ("", case.gate_id)), None)


def _waits_too(record: PartRecord, case: Case | None, now: Instant) -> list[Case]:
    """The other cases of the part on this line that wait, the most urgent first."""
    if case is None:
        return []
    others = [one for one in record.cases if (one.line_id, one.state) == (case.line_id, "open")]
    return sorted((one for one in others if one.gate_id != case.gate_id), key=lambda one: order(one, now))


def _verdict_of(case: Case | None, record: PartRecord, verdicts: list[Verdict]) -> Verdict | None:
    for stored, verdict in zip(record.verdicts, verdicts, strict=True):
        if case is not None and stored.row_id == case.row_id:
            return verdict
    return None


def _causes(verdict: Verdict | None) -> list[CauseLine]:
    if verdict is None:
        return []
    return [CauseLine(one.cause, one.station_id, one.share, tuple(one.evidence)) for one in verdict.causes]


def _kinds(here: Installation, record: PartRecord, case: Case | None) -> list[str]:
    """Kinds of defect to choose from: those that the plan states, then those that people named most often of late."""
    line_id, product = _made_at(record)
    stated = kinds_of_defect(here.plan, line_id, case.gate_id if case else "", case.product if case else product)
    named = here.kept.get("named", lambda: here.reader.defect_codes(KINDS_SHOWN))
    return list(dict.fromkeys([*stated, *named]))[:KINDS_SHOWN]


def _made_at(record: PartRecord) -> tuple[str, str]:
    """Line and product, as far as anything tells them."""
    if record.cases:
        return record.cases[0].line_id, record.cases[0].product
    if record.visits:
        return record.visits[-1].line_id, record.visits[-1].product
    return (record.findings or record.defects)[0].line_id, ""


def _codes(record: PartRecord, causes: list[CauseLine]) -> list[str]:
    """Cause codes to choose from: those the verdict names; an inspector may type another."""
    named = [one.cause for one in causes if one.cause != "unknown"]
    return named + [code for defect in record.defects for code in defect.causes if code not in named]


def _examples(here: Installation, frames: list[Findings], verdict: Verdict | None) -> dict[str, Findings]:
    """Camera -> the frame of a good part of this product, where there is one."""
    if verdict is None:
        return {}
    found: dict[str, Findings] = {}
    for camera_id in dict.fromkeys(seen.camera_id for seen in frames):
        asked = (camera_id, verdict.product)
        good = here.kept.get(("good", *asked), lambda asked=asked: here.reader.good_examples(*asked))  # type: ignore[misc]
        if example := next((seen for seen in good if seen.part_id != verdict.part_id), None):
            found[camera_id] = example
    return found


def _recorded_marks(record: PartRecord) -> dict[str, list[Mark]]:
    """Frame -> the marks people drew in it and did not take back, of every frame that has been seen."""
    found: dict[str, list[Mark]] = {seen.frame_id: [] for seen in record.findings}
    for defect in standing(record.defects, lambda defect: defect):
        for mark in defect.drawn if defect.outcome == "defect" else ():
            found.setdefault(mark.frame_id, []).append(mark)
    return found
