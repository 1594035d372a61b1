"""What training never saw of a part is named where a person decides about it."""

from __future__ import annotations

from api.agreement.blind import EVERYTHING
from api.screens.pages import render
from api.screens.revisions import revisions
from api.store.rows import Case, PartRecord, Person
from api.wording.words import REASONS, say_reason
from ingest.messages import Instant, Verdict, encode, json_decoder
from tests.api.factory import make_verdict

REMARK = "tool_id=T9 at OP20 is new; the risk does not depend on it"
CASE = Case("L1", "EOL", "P1", 1, 1, 1, "B77", "HSG-4", "review", 0.87, Instant(0), "open", None)


def page(verdict: Verdict) -> str:
    return str(
        render(
            "part.html", person=Person("anna", "viewer"), here="part", may_stop=False, may_resume=False,
            may_people=False, may_quality=False, may_audit=False, plant="demo", shown=EVERYTHING, kinds=[],
            waits_too=[], known=None, examples={}, came_of={}, part_id="P1",
            record=PartRecord((), (), (), (), (), ()), case=CASE,
            verdict=verdict, revisions=revisions([verdict]),
            causes=[], codes=[], marks_needed=10, drawings=[], sentences=[],
            may_review=False, frames=[], recorded={}, may_use=lambda _: True,
        )
    )  # fmt: skip


def test_the_part_page_shows_every_remark() -> None:
    assert REMARK in page(make_verdict(remarks=[REMARK], reasons=["unknown_attribute"]))
    assert 'class="remarks"' not in page(make_verdict())


def test_a_verdict_of_before_there_were_remarks_is_read() -> None:
    body = encode(make_verdict(remarks=[REMARK]))
    decoder = json_decoder(Verdict)
    assert decoder.decode(body).remarks == [REMARK]
    assert decoder.decode(body.replace(f',"remarks":["{REMARK}"]'.encode(), b"")).remarks == []


def test_the_reasons_have_words() -> None:
    assert {"unknown_attribute", "provisional", "novel"} <= set(REASONS)
    assert "promises nothing" in say_reason("provisional")
