"""Reviews as rows: one of the case that was decided on, and one of each other case that the decision settles.

A part that waits at two gates is one part in somebody's hand: one decision settles both, is published once, and counts
once; but whoever asks of either case, who has said what of it, finds it there.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from api.store.decisions import said_of
from api.store.rows import Review
from ingest.messages import encode


def review_rows(review: Review) -> list[dict[str, Any]]:
    """The rows of the table `reviews`. A review is known by its id, wherever it is seen first."""
    own = {
        "review_id": review.review_id,
        "line_id": review.defect.line_id,
        "gate_id": review.gate_id,
        "part_id": review.defect.part_id,
        "attempt": review.attempt,
        "outcome": review.defect.outcome,
        "recorded_at": int(review.defect.recorded_at),
        "body": encode(review.defect).decode(),
        "undoes": review.undoes,
        "made": encode(review.made).decode(),
        "recorded_by": review.defect.recorded_by,
        "said": said_of(review.defect.outcome, review.made),
        "took_ms": review.made.took_ms or 0,
    }
    return [own, *(own | _changes(review, *case) for case in review.made.also)]


def _changes(review: Review, gate_id: str, attempt: int) -> dict[str, Any]:
    made = msgspec.structs.replace(review.made, also=(), with_gate=review.gate_id)
    return {
        "review_id": _id_at(review.review_id, gate_id, attempt),
        "gate_id": gate_id,
        "attempt": attempt,
        "undoes": _id_at(review.undoes, gate_id, attempt) if review.undoes else "",
        "made": encode(made).decode(),
        "said": said_of(review.defect.outcome, made),
    }


def _id_at(review_id: str, gate_id: str, attempt: int) -> str:
    """The same wherever it is worked out: in the API at once, in the collector from the log."""
    return hashlib.sha256(f"{review_id}\0{gate_id}\0{attempt}".encode()).hexdigest()[:32]
