"""What a later revision says that the one before did not."""

from __future__ import annotations

from api.screens.revisions import changes, revisions
from ingest.messages import Cause, EvidenceSummary, Verdict
from tests.api.factory import make_verdict


def thin(**changed: object) -> Verdict:
    """A first verdict, without its camera."""
    evidence = EvidenceSummary(complete=False, present=["sensors:OP20"], missing=["camera:top"], late=[], unfit=[])
    told = {"decision": "cannot_tell", "risk": 0.3, "reasons": ["evidence_missing"], "evidence": evidence, "causes": []}
    return make_verdict(**(told | changed))


def test_what_changed_is_said_in_sentences() -> None:
    assert changes(thin(), make_verdict(revision=2)) == [
        "Cannot tell became Review.",
        "The risk went from 30 % to 87 %.",
        "Camera top came after the first verdict.",
        "Now also: the risk is over the limit.",
        "No longer: evidence is missing.",
        "New cause: tool id T7, 61 %.",
        "New cause: OP20 · spindle current a, 22 %.",
    ]


def test_a_cause_that_only_wavers_is_not_told() -> None:
    def with_share(share: float) -> Verdict:
        return make_verdict(
            causes=[Cause(cause="tool_id=T7", kind="attribute", station_id="OP20", share=share, evidence=[])]
        )

    assert changes(with_share(0.6), with_share(0.55)) == []
    assert changes(with_share(0.6), with_share(0.3)) == ["Tool id T7: 60 % became 30 %."]


def test_each_revision_is_held_against_the_one_before_it_at_its_own_gate_and_attempt() -> None:
    given = [make_verdict(revision=2), make_verdict(gate_id="MID", revision=2), thin()]
    told = revisions(given)
    assert [one.verdict for one in told] == given
    assert told[0].changed[0] == "Cannot tell became Review."
    assert [one.changed for one in told[1:]] == [(), ()], "the one before is not known, or there is none"
