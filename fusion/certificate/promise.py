"""The escape certificate of a gate: what is promised about defective parts that pass, and what the promise rests on.

A promise reads: at most `promise` escapes per made part, with `confidence`. It is made in training
(`fit.py`) and stands only while what it rests on still holds (`standing.py`).
"""

from __future__ import annotations

import hashlib

import msgspec

from ingest.plan.plan import Plan

CONFIDENCE = 0.95


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """`asked`: the plan's `escape_rate_max`. `promise`: what is certified at the threshold, None: nothing.

    `parts`, `lots`, `escapes`: labelled parts it rests on, their lots (runs of lots where these are very many or very
    small), and how many of them would have escaped.
    `lot_sd`: natural spread of the defect rate between lots, in logits, and `lot_sd_high`, its upper limit.
    `more_lots`: how many lots like these would be needed besides to certify what is asked; None: not needed, or no
    number of lots would do. `without`: source -> share of training's parts that came without it. `rests_on`: mark of
    what the plan says of the gate (`plan_mark`).
    """

    asked: float
    promise: float | None
    confidence: float = CONFIDENCE
    threshold: float
    parts: int
    lots: int
    escapes: int
    lot_sd: float = 0.0
    lot_sd_high: float = 0.0
    more_lots: int | None = None
    why: str = ""
    without: dict[str, float] = {}
    rests_on: str = ""

    @property
    def holds_what_is_asked(self) -> bool:
        return self.promise is not None and self.promise <= self.asked

    def say(self) -> str:
        """One sentence: the promise and what it rests on, or why there is none."""
        rests = f"{_count(self.parts)} parts in {_count(self.lots)} lots"
        if self.promise is None:
            return f"No escape rate can be certified on {rests}: {self.why}"
        confidence = f"{100 * self.confidence:.3g} % confidence"
        said = f"At most {say_rate(self.promise)} escapes of made parts, {confidence}, on {rests}"
        if self.holds_what_is_asked:
            return f"{said}."
        return f"{said}; the plan asks {say_rate(self.asked)}, which cannot be certified: {self.why}"


def say_rate(rate: float) -> str:
    """`0.003` -> `0.3 %`."""
    return f"{100 * rate:.3g} %"


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def plan_mark(plan: Plan, line_id: str, gate_id: str) -> str:
    """A mark of all that the plan says about a gate and that a promise rests on: other words, another mark. Costs,
    owners and the deadline are not among it: they change no risk and no threshold that is on the shelf."""
    line = plan.line(line_id)
    gate = next((gate for gate in line.gates if gate.gate_id == gate_id), None) if line is not None else None
    asked = (
        plan.constraints.escape_rate_max,
        sorted(plan.constraints.forbidden_causes),
        sorted(plan.grants.attributes) if plan.grants.attributes is not None else None,
        sorted(plan.grants.topics),
        line.stations if line is not None else (),
        line.cameras if line is not None else (),
        (gate.after, sorted(gate.needs)) if gate is not None else (),
    )
    return hashlib.blake2b(msgspec.json.encode(asked), digest_size=8).hexdigest()
