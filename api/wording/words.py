"""The system's machine-readable words in plain language, for people at the line, each in the reader's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.wording.reader import reader, say
from api.wording.vocabulary import (
    ACTIONS,
    ATTRIBUTES,
    DECISIONS,
    FITNESS,
    OUTCOMES,
    REASONS,
    RIGHTS,
    ROLES,
    SCORERS,
    SOURCES,
)
from ingest.messages import Instant, Verdict


def _said(table: Mapping[str, str], word: str) -> str:
    """A word by its table; one we do not know, without its underscores."""
    return say(table[word]) if word in table else word.replace("_", " ")


def say_decision(decision: str) -> str:
    """`cannot_tell` -> `Cannot tell`."""
    return _said(DECISIONS, decision)


def say_outcome(outcome: str) -> str:
    """What a person decided."""
    return _said(OUTCOMES, outcome)


def say_found_by(source: str) -> str:
    """Who found a defect: `end_of_line` -> `end of line`."""
    return _said(SOURCES, source)


def say_attribute(name: str) -> str:
    """`material_lot` -> `material lot`; an attribute of the plant's own, without its underscores."""
    return _said(ATTRIBUTES, name)


def say_role(role: str) -> str:
    """What a person is here."""
    return _said(ROLES, role)


def say_action(action: str) -> str:
    """What a line of the audit trail is about."""
    return _said(ACTIONS, action)


def say_right(right: str) -> str:
    """What a role may do, after "the right to"."""
    return _said(RIGHTS, right)


def say_scorer(scorer: str) -> str:
    """One of the things an eye's score is made of."""
    return _said(SCORERS, scorer)


def say_reason(reason: str) -> str:
    """`risk_over_threshold` -> `the risk is over the limit`."""
    return _said(REASONS, reason)


def say_source(source: str) -> str:
    """`camera:top` -> `camera top`, `sensors:OP20` -> `sensors of OP20`."""
    kind, _, name = source.partition(":")
    if kind == "camera":
        return say("camera {name}", name=name)
    return say("sensors of {name}", name=name) if kind == "sensors" else source


def say_problem(problem: str) -> str:
    """A fitness problem of a frame."""
    return _said(FITNESS, problem)


def say_cause(cause: str) -> str:
    """`tool_id=T7` -> `tool id T7`; `OP20.spindle_a` -> `OP20 · spindle a`; `camera:top` -> `what camera top saw`."""
    if " & " in cause:
        first, *more = (say_cause(one) for one in cause.split(" & "))
        for other in more:
            first = say("{cause} with {other}", cause=first, other=other)
        return first
    if cause == "unknown":
        return say("nothing stands out")
    if cause.startswith("camera:"):
        return say("what camera {name} saw", name=cause[7:])
    name, equals, value = cause.partition("=")
    if equals:
        return f"{say_attribute(name)} {value}"
    station, dot, channel = cause.partition(".")
    return f"{station} · {channel.replace('_', ' ')}" if dot else cause.replace("_", " ")


def say_evidence(verdict: Verdict) -> list[str]:
    """What evidence is missing, late or unfit, in sentences."""
    summary = verdict.evidence
    sentences = [say("Nothing from {source} by the deadline.", source=say_source(one)) for one in summary.missing]
    sentences += [_begin(say("{source} came, but cannot be trusted.", source=say_source(one))) for one in summary.unfit]
    sentences += [_begin(say("{source} came late.", source=say_source(one))) for one in summary.late]
    return sentences + [_say_clock(say_source(one), ms) for one, ms in sorted(summary.clock.items()) if ms]


def _say_clock(source: str, ms: float) -> str:
    seconds = reader().language.number(abs(ms) / 1000, ".2f")
    if ms > 0:
        return say("The clock of {source} was {seconds} s behind; corrected.", source=source, seconds=seconds)
    return say("The clock of {source} was {seconds} s ahead; corrected.", source=source, seconds=seconds)


def _begin(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def say_certificate(told: Mapping[str, Any]) -> str:
    """How an escape certificate stands, in one sentence; without the time since when, which the browser tells."""
    from api.wording.phrases import say_sentences  # phrases say causes with the words of this file

    promise, asked = told.get("promise"), told.get("asked")
    why = say_sentences(str(told.get("why") or ""))
    if told.get("standing") == "cannot_certify":
        return say("Not certified: {why}", why=why)
    promised = _say_promise(told, promise) if isinstance(promise, int | float) else ""
    if told.get("standing") == "void":
        was = say(" (was: {promised})", promised=promised) if promised else ""
        return say("Void: {why}", why=why) + was
    if isinstance(asked, int | float) and promise and asked < promise:
        return say("Certified: {promised}; the plan asks {asked} %", promised=promised, asked=_in_percent(asked))
    return say("Certified: {promised}", promised=promised)


def _say_promise(told: Mapping[str, Any], promise: float) -> str:
    parts, lots = (f"{told.get(name) or 0:,}".replace(",", "\u202f") for name in ("parts", "lots"))
    return say(
        "at most {share} % escapes of made parts, {confidence} % confidence, {parts} parts in {lots} lots",
        share=_in_percent(promise),
        confidence=_in_percent(told.get("confidence", 0.0)),
        parts=parts,
        lots=lots,
    )


def _in_percent(share: float) -> str:
    return reader().language.number(100 * share, ".3g")


def say_capacity(told: Mapping[str, Any]) -> str:
    """What a line whose inspectors have no time holds back; "" where it holds nothing back now."""
    hold_below, per_hour = told.get("hold_below"), told.get("reviews_per_hour")
    if not isinstance(hold_below, int | float) or not isinstance(per_hour, int | float) or hold_below <= 0:
        return ""
    values = {"line": told.get("line_id"), "reviews": f"{per_hour:g}", "held": told.get("held", 0)}
    if hold_below > 1:
        return say(
            "Line {line}: more is flagged than {reviews} reviews an hour can clear; all parts over the limit are held "
            "as cannot tell ({held} so far).",
            **values,
        )
    return say(
        "Line {line}: more is flagged than {reviews} reviews an hour can clear; parts of less than {risk} risk are "
        "held as cannot tell ({held} so far).",
        risk=say_percent(hold_below),
        **values,
    )


def say_percent(share: float | None) -> str:
    """`0.8731` -> `87 %`; small ones with a digit more."""
    if share is None:
        return "–"
    percent, number = 100 * share, reader().language.number
    if percent < 1:
        return f"< {number(0.1)} %" if percent < 0.1 else f"{number(percent, '.1f')} %"
    return f"{percent:.0f} %"


def say_share(share: float) -> str:
    """A share that somebody chose, where none is none: `0 %`."""
    return "0 %" if share == 0 else say_percent(share)


def say_age(ms: float) -> str:
    """How long something has lasted, as roughly as a person wants it: `45 s`, `12 min`, `4 h 20 min`, `3 d`."""
    seconds = int(max(0.0, ms) / 1000)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return say("{days} d", days=seconds // 86_400)


def say_time(instant: Instant | None) -> str:
    """A time for a machine: date and time in UTC."""
    return "–" if instant is None else instant.isoformat()
