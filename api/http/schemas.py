"""What comes in over HTTP. Unknown keys are refused; every text has a limit (those of `ingest/decode/checks.py`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from ingest.decode.checks import MARKS_MAX, PIXEL_MAX, POINTS_MAX

DAY_MS = 86_400_000  # nobody looks at one part for longer

Name = Annotated[str, StringConstraints(max_length=200)]
Codes = Annotated[str, StringConstraints(max_length=1000)]
Text = Annotated[str, StringConstraints(max_length=4000)]


class Incoming(BaseModel):
    """Base of every request body."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="after")
    @classmethod
    def no_nul(cls, value: object) -> object:
        """A NUL cannot be kept in every store, and the log's readers refuse it."""
        if isinstance(value, str) and "\0" in value:
            raise ValueError("a NUL character cannot be kept")
        return value


Secret = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class LoginRequest(Incoming):
    """Either a token, or a name and its password."""

    token: Secret | None = None
    name: Name | None = None
    password: Secret | None = None


class PasswordRequest(Incoming):
    """One's own password, changed."""

    password: Secret
    new_password: Secret


class LanguageRequest(Incoming):
    """The language of one's own screens: a tag, or empty for the browser's own."""

    language: Name


class PersonRequest(Incoming):
    """A new account."""

    name: Name
    role: Name
    display_name: Name | None = None
    group: Name | None = None
    language: Name | None = None


class PersonChange(Incoming):
    """What of an account is to change; `reset` gives it a one-time password; with `by_directory` it is whoever of the
    plant's directory has its name and logs in next."""

    role: Name | None = None
    disabled: bool | None = None
    reset: bool = False
    display_name: Name | None = None
    group: Name | None = None
    language: Name | None = None
    by_directory: bool = False


class MarkBoxRequest(Incoming):
    """A rectangle in pixels of the frame as it came."""

    x: Annotated[int, Field(ge=0, le=PIXEL_MAX)]
    y: Annotated[int, Field(ge=0, le=PIXEL_MAX)]
    width: Annotated[int, Field(ge=1, le=PIXEL_MAX)]
    height: Annotated[int, Field(ge=1, le=PIXEL_MAX)]


Pixel = Annotated[float, Field(ge=0, le=PIXEL_MAX, allow_inf_nan=False)]


class StrokeRequest(Incoming):
    """A brush stroke through `points` ([x, y]), in pixels of the frame."""

    points: Annotated[list[tuple[Pixel, Pixel]], Field(min_length=1, max_length=POINTS_MAX)]
    width_px: Annotated[float, Field(gt=0, le=PIXEL_MAX, allow_inf_nan=False)]


class MarkRequest(Incoming):
    """Exactly one of `box` and `stroke`; `kind` may be left out: the review's defect code is meant."""

    camera_id: Name
    frame_id: Annotated[str, StringConstraints(max_length=400)]
    kind: Name = ""
    box: MarkBoxRequest | None = None
    stroke: StrokeRequest | None = None


class ShownRequest(Incoming):
    """What was on the screen when the key was pressed. `risk_shown`: risk and causes too."""

    verdict_id: Annotated[str, StringConstraints(max_length=400)] = ""
    risk_shown: bool | None = None


GATES_MAX = 50  # of a line


class ReviewRequest(Incoming):
    """`gate_id` may be left out: the part's newest case is meant. `marks` go only with the outcome `defect`. `closes`:
    other gates of its line at which the part waits, settled by the same decision (not by `unsure`).

    `wrong_part`: the part in hand is not the one on the screen; recorded as `unsure`, and the case stays open.
    `took_ms`: from the page's appearance to the key."""

    outcome: Literal["defect", "ok", "unsure", "wrong_part"]
    gate_id: Name = ""
    closes: Annotated[list[Name], Field(max_length=GATES_MAX)] = []
    defect_code: Name = ""
    cause_code: Codes = ""
    comment: Text = ""
    marks: Annotated[list[MarkRequest], Field(max_length=MARKS_MAX)] = []
    took_ms: Annotated[int, Field(ge=0, le=DAY_MS)] | None = None
    shown: ShownRequest | None = None


class ModeRequest(Incoming):
    """`line_id` `*`: every line."""

    mode: Literal["manual", "auto"]
    line_id: Name = "*"
    reason: Text = ""
