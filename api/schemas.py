"""What comes in over HTTP. Unknown keys are refused; every text has a limit (those of `ingest/decode_checks.py`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(max_length=200)]
Codes = Annotated[str, StringConstraints(max_length=1000)]
Text = Annotated[str, StringConstraints(max_length=4000)]


class Incoming(BaseModel):
    """Base of every request body."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LoginRequest(Incoming):
    token: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class ReviewRequest(Incoming):
    """`gate_id` may be left out: the part's newest case is meant."""

    outcome: Literal["defect", "ok", "unsure"]
    gate_id: Name = ""
    defect_code: Name = ""
    cause_code: Codes = ""
    comment: Text = ""


class ModeRequest(Incoming):
    """`line_id` `*`: every line."""

    mode: Literal["manual", "auto"]
    line_id: Name = "*"
    reason: Text = ""
