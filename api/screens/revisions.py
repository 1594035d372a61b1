"""What a later revision of a verdict says that the one before it did not, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.wording.reader import say
from api.wording.words import say_cause, say_decision, say_percent, say_reason, say_source
from ingest.messages import Verdict

SHARE_MOVED = 0.1  # of a cause: less is the noise of another look


@dataclass(frozen=True, slots=True)
class Revision:
    """A verdict with what it changed; `changed` is empty for a first one, and where the one before is not known."""

    verdict: Verdict
    changed: tuple[str, ...]


def revisions(verdicts: Sequence[Verdict]) -> list[Revision]:
    """Verdicts of a part in the order they are given, each with what it changed at its gate and attempt."""
    known = {(one.line_id, one.gate_id, one.attempt, one.revision): one for one in verdicts}
    found = []
    for one in verdicts:
        before = known.get((one.line_id, one.gate_id, one.attempt, one.revision - 1))
        found.append(Revision(one, tuple(changes(before, one)) if before else ()))
    return found


def changes(before: Verdict, after: Verdict) -> list[str]:
    """Decision, risk, reasons, causes, evidence, model: what is not as it was."""
    said = []
    if before.decision != after.decision:
        said.append(
            say("{before} became {after}.", before=say_decision(before.decision), after=say_decision(after.decision))
        )
    if say_percent(before.risk) != say_percent(after.risk):
        said.append(
            say(
                "The risk went from {before} to {after}.",
                before=say_percent(before.risk),
                after=say_percent(after.risk),
            )
        )
    said += _evidence(before, after)
    said += [say("Now also: {reason}.", reason=say_reason(one)) for one in after.reasons if one not in before.reasons]
    said += [say("No longer: {reason}.", reason=say_reason(one)) for one in before.reasons if one not in after.reasons]
    said += _causes(before, after)
    models = [f"{one.model.name} {one.model.version}" if one.model else say("no model") for one in (before, after)]
    if models[0] != models[1]:
        said.append(say("Judged by {after}, before by {before}.", before=models[0], after=models[1]))
    if before.threshold is not None and after.threshold is not None and before.threshold != after.threshold:
        limits = {"before": say_percent(before.threshold), "after": say_percent(after.threshold)}
        if limits["before"] != limits["after"]:
            said.append(say("The limit went from {before} to {after}.", **limits))
    return said


def _evidence(before: Verdict, after: Verdict) -> list[str]:
    was, now = before.evidence, after.evidence
    came = [one for one in now.present if one not in was.present]
    gone = [one for one in was.present if one not in now.present]
    unfit = [one for one in now.unfit if one not in was.unfit]
    said = [say("{source} came after the first verdict.", source=_begin(say_source(one))) for one in came]
    said += [say("{source} is no longer counted.", source=_begin(say_source(one))) for one in gone]
    return said + [say("{source} is no longer trusted.", source=_begin(say_source(one))) for one in unfit]


def _causes(before: Verdict, after: Verdict) -> list[str]:
    was = {one.cause: one.share for one in before.causes}
    now = {one.cause: one.share for one in after.causes}
    said = [
        say("New cause: {cause}, {share}.", cause=say_cause(cause), share=say_percent(share))
        for cause, share in now.items()
        if cause not in was
    ]
    said += [say("No longer a cause: {cause}.", cause=say_cause(cause)) for cause in was if cause not in now]
    return said + [
        say("{cause}: {before} became {after}.", cause=_begin(say_cause(cause)), before=say_percent(was[cause]),
            after=say_percent(share))
        for cause, share in now.items()
        if cause in was and abs(share - was[cause]) >= SHARE_MOVED
    ]  # fmt: skip


def _begin(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
