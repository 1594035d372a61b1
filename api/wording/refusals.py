"""What the API refuses, said in another language.

The API's messages are English, for programs and their logs. A person who reads another language gets the same sentence
in it, by its form; of a form that is not listed what kind of refusal it is, and then the message as it came.
"""

from __future__ import annotations

import re
from functools import cache

from api.wording.languages import ENGLISH_CODE
from api.wording.reader import reader, say
from api.wording.words import say_attribute, say_outcome, say_right, say_role

#: The forms, the narrower before the wider.
REFUSALS = (
    # parts and decisions: api/routes/parts.py, reviews.py, missed.py, marks.py
    "part {part} is not known",
    "part {part} is not known, or has no verdict at that gate",
    "part {part} has no frame {frame}",
    "part {part} has no picture",
    "part {part} has been judged: decide on it by /api/parts/{again}/reviews",
    "this part has no verdict at gate {gate} of line {line}",
    "this part has no verdict at gate {gate}",
    "heatmap of frame {frame}: shown when you have decided",
    "{what}: none was kept",
    "{what}: no longer kept; the plan keeps evidence for {days} days",
    "there is no decision {decision}",
    "decided with gate {gate}: take that decision back",
    "{name} decided this: only its author may take a decision back",
    "decided {minutes} minutes ago: open the part and decide again instead",
    "this Idempotency-Key was used for another decision",
    "this Idempotency-Key was used for another report",
    "this Idempotency-Key was used for another request",
    "marks: they show where a defect is; this review says {outcome}",
    "mark {number}: this part has no frame {frame} of camera {camera}",
    "mark {number}: the picture of frame {frame} is not kept, or cannot be read: it cannot be marked",
    # known parts, figures: api/routes/quality.py, api/agreement/exercises.py
    "{part} still waits for a decision: a known part is a finished one",
    "nobody can be sure of {part} yet: it takes a record from elsewhere (end-of-line test, teardown, customer), or two "
    "people who agree",
    "there are {parts} known parts already: take one away first",
    "{part} is no known part",
    "from, to: a span of time, of {days} days at most",
    # the queue and its views: api/routes/queue.py, views.py, api/http/queries.py
    "a view for everybody is a QA lead's to make",
    "you have {views} views already: forget one first",
    "{name} shares this view: only a QA lead can withdraw it",
    "age: {text} is not under:MINUTES or over:MINUTES",
    "decision: {text} is none of pass, review, cannot_tell",
    "the plan does not allow {attribute} as a cause",
    "{where}: {text} is no date and time; write it like 2026-11-25T09:26",
    # the plant: api/routes/plant.py
    "line {line} is not in the plan",
    "batch {batch} is not known",
    # log-in and accounts: api/access, api/routes/accounts.py
    "name and password do not fit, or the account is shut",
    "this token is not good here",
    "too many attempts: try again in {seconds} s",
    "too many log in at once: try again in {seconds} s",
    "too many requests of this address: try again in {seconds} s",
    "too many requests of {name}: try again in {seconds} s",
    "{name} has {streams} streams open: close one",
    "{role} {name} has no right to {right}",
    "a browser of another site may not do this",
    "this page is older than your log-in: load it again",
    "the body is larger than {bytes} bytes",
    "that is not your password",
    "new_password: it must be another one",
    "a password has {least} to {most} characters",
    "you came with a token, which has no password: `qcfuse token` makes and revokes tokens",
    "you came with a token, which keeps no language: the browser's is taken",
    "the plant's directory keeps your password: change it there",
    "there is a {name} already",
    "there was a token of the name {name}; give the person another name, so that what both did is told apart",
    "there is no {name}",
    "a person's name has 1 to {most} printable characters, none at its ends a blank",
    "{where}: at most {most} printable characters, none at its ends a blank",
    "nobody changes the own role or shuts the own account: ask another admin",
    "{name} is the last admin: make another one first",
    "{name} logs in by the plant's directory, which keeps the password",
    "no directory is set: QCFUSE_OIDC_ISSUER",
    "language: there are {languages}",
    # what is away: api/store/database.py
    "the store does not answer: {why}",
)

#: Status -> what kind of refusal it is, where its message has no form above.
OTHERWISE = {
    403: "You may not do that",
    404: "That is not there",
    409: "As things stand that cannot be done",
    410: "That is no longer kept",
    413: "That is too large",
    422: "Something in it is missing or wrong",
    429: "Too much at once",
    503: "qcfuse cannot reach its records just now",
}
UNLIKELY = "The server refused it"
_WORDS = {"role": say_role, "right": say_right, "outcome": say_outcome, "attribute": say_attribute}


def say_refusal(message: str, status: int = 0) -> str:
    """A message of the API in the reader's language."""
    if reader().language.code == ENGLISH_CODE:
        return message
    for refusal in REFUSALS:
        if found := refusal_form(refusal).fullmatch(message):
            values = {name: _WORDS.get(name, str)(text) for name, text in found.groupdict().items()}
            return say(refusal, **values)
    return f"{say(OTHERWISE.get(status, UNLIKELY))}: {message}"


@cache
def refusal_form(refusal: str) -> re.Pattern[str]:
    """`part {part} is not known` as a pattern: anything may stand in a place."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(refusal)), re.DOTALL)
