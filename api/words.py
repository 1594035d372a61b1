"""The system's machine-readable words in plain language, for people at the line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingest.messages import Instant, Verdict

DECISIONS = {"pass": "Pass", "review": "Review", "cannot_tell": "Cannot tell"}

REASONS = {
    "risk_over_threshold": "the risk is over the limit",
    "evidence_missing": "evidence is missing",
    "evidence_unfit": "evidence cannot be trusted",
    "deadline_missed": "no worker judged it in time",
    "unknown_product": "this product has not been learned",
    "novel": "unlike anything learned",
    "unknown_attribute": "carries a tool, fixture or the like that has not been learned",
    "provisional": "learned without defect labels: ranks what is unusual, promises nothing about escapes",
    "model_not_ready": "no model is ready",
    "manual_mode": "the line is in manual mode",
    "audit": "drawn at random for an audit",
    "capacity": "over the limit, but riskier parts take all the time inspectors have: held",
    "corrected": "corrected by later evidence",
}

FITNESS = {
    "blur": "blurred",
    "exposure": "too dark or too bright",
    "saturated": "overexposed",
    "wrong_part": "does not look like this product",
    "unreadable": "cannot be read",
    "model_not_ready": "no trained eye for this camera",
    "frozen": "the same picture as another part's",
    "lens_dirt": "all it shows is a mark that stays on every part",
    "camera_moved": "taken after the camera moved",
}

SCORERS = {
    "fine": "fine texture",
    "long": "long edges",
    "painted": "shape of a defect",
    "detail": "small detail",
    "backbone": "your own network",
    "net": "trained network",
    "whole": "the frame as a whole",
}


def say_scorer(scorer: str) -> str:
    """One of the things an eye's score is made of."""
    return SCORERS.get(scorer, scorer.replace("_", " "))


def say_reason(reason: str) -> str:
    """`risk_over_threshold` -> `the risk is over the limit`; a word we do not know, without its underscores."""
    return REASONS.get(reason, reason.replace("_", " "))


def say_source(source: str) -> str:
    """`camera:top` -> `camera top`, `sensors:OP20` -> `sensors of OP20`."""
    kind, _, name = source.partition(":")
    if kind == "camera":
        return f"camera {name}"
    return f"sensors of {name}" if kind == "sensors" else source


def say_problem(problem: str) -> str:
    """A fitness problem of a frame."""
    return FITNESS.get(problem, problem.replace("_", " "))


def say_cause(cause: str) -> str:
    """`tool_id=T7` -> `tool id T7`; `OP20.spindle_a` -> `OP20 · spindle a`; `camera:top` -> `what camera top saw`."""
    if " & " in cause:
        return " with ".join(say_cause(one) for one in cause.split(" & "))
    if cause == "unknown":
        return "nothing stands out"
    if cause.startswith("camera:"):
        return f"what camera {cause[7:]} saw"
    name, equals, value = cause.partition("=")
    if equals:
        return f"{name.replace('_', ' ')} {value}"
    station, dot, channel = cause.partition(".")
    return f"{station} · {channel.replace('_', ' ')}" if dot else cause.replace("_", " ")


def say_evidence(verdict: Verdict) -> list[str]:
    """What evidence is missing, late or unfit, in sentences."""
    summary = verdict.evidence
    sentences = [f"Nothing from {say_source(source)} by the deadline." for source in summary.missing]
    sentences += [f"{_begin(say_source(source))} came, but cannot be trusted." for source in summary.unfit]
    sentences += [f"{_begin(say_source(source))} came late." for source in summary.late]
    sentences += [
        f"The clock of {say_source(source)} was {abs(ms) / 1000:.2f} s {'behind' if ms > 0 else 'ahead'}; corrected."
        for source, ms in sorted(summary.clock.items())
        if ms
    ]
    return sentences


def _begin(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def say_certificate(told: Mapping[str, Any]) -> str:
    """How an escape certificate stands, in one sentence; without the time since when, which the browser tells."""
    promise, asked, why = told.get("promise"), told.get("asked"), str(told.get("why") or "")
    if told.get("standing") == "cannot_certify":
        return f"Not certified: {why}"
    promised = ""
    if isinstance(promise, int | float):
        parts, lots = (f"{told.get(name) or 0:,}".replace(",", "\u202f") for name in ("parts", "lots"))
        confidence = f"{100 * told.get('confidence', 0.0):.3g} % confidence"
        promised = f"at most {100 * promise:.3g} % escapes of made parts, {confidence}, {parts} parts in {lots} lots"
    if told.get("standing") == "void":
        return f"Void: {why}" + (f" (was: {promised})" if promised else "")
    more = (
        f"; the plan asks {100 * asked:.3g} %" if isinstance(asked, int | float) and promise and asked < promise else ""
    )
    return f"Certified: {promised}{more}"


def say_capacity(told: Mapping[str, Any]) -> str:
    """What a line whose inspectors have no time holds back; "" where it holds nothing back now."""
    hold_below, per_hour = told.get("hold_below"), told.get("reviews_per_hour")
    if not isinstance(hold_below, int | float) or not isinstance(per_hour, int | float) or hold_below <= 0:
        return ""
    which = "all parts over the limit" if hold_below > 1 else f"parts of less than {say_percent(hold_below)} risk"
    return (
        f"Line {told.get('line_id')}: more is flagged than {per_hour:g} reviews an hour can clear; "
        f"{which} are held as cannot tell ({told.get('held', 0)} so far)."
    )


def say_percent(share: float | None) -> str:
    """`0.8731` -> `87 %`; small ones with a digit more."""
    if share is None:
        return "–"
    percent = 100 * share
    if percent < 1:
        return "< 0.1 %" if percent < 0.1 else f"{percent:.1f} %"
    return f"{percent:.0f} %"


def say_time(instant: Instant | None) -> str:
    """A time for the page: date and time in UTC; the browser shows it in the viewer's zone."""
    return "–" if instant is None else instant.isoformat()
