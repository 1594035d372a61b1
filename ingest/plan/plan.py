"""The control plan (CONTRACT section 6) as frozen values. `load_plan` is the only way to make one."""

from __future__ import annotations

from typing import Literal

import msgspec


class PlanStruct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every part of a plan: frozen, unknown keys refused."""


class Owners(PlanStruct, frozen=True, kw_only=True):
    objective: str
    model: str
    stop: str


class Objective(PlanStruct, frozen=True, kw_only=True):
    """`defect_rate_assumed`: stands in for what labels would tell, until there are enough of them (a cold start)."""

    escape_cost: float
    review_cost: float
    currency: str
    defect_rate_assumed: float = 0.02


class Constraints(PlanStruct, frozen=True, kw_only=True):
    escape_rate_max: float
    review_share_max: float
    latency_ms_max: float
    forbidden_causes: tuple[str, ...] = ()


class Grants(PlanStruct, frozen=True, kw_only=True):
    topics: tuple[str, ...]
    actions: tuple[Literal["flag", "divert"], ...] = ()
    retention_days: float = 400.0
    disk_gib_max: float = 20.0
    attributes: tuple[str, ...] | None = None


class Audit(PlanStruct, frozen=True, kw_only=True):
    share: float
    per: tuple[str, ...] = ()


class Reviews(PlanStruct, frozen=True, kw_only=True):
    """How the judgement of people is audited: shares of the parts that wait for them. `blind_share`: shown without risk
    and causes; `second_share`: shown to two people; `known_share`: before how many of them comes a part whose truth is
    known, as an exercise."""

    blind_share: float = 0.0
    second_share: float = 0.0
    known_share: float = 0.0


class Channel(PlanStruct, frozen=True, kw_only=True):
    channel: str
    unit: str
    rate_hz: float | None = None
    lower: float | None = None
    upper: float | None = None


class Station(PlanStruct, frozen=True, kw_only=True):
    station_id: str
    name: str = ""
    channels: tuple[Channel, ...] = ()


class Camera(PlanStruct, frozen=True, kw_only=True):
    camera_id: str
    station_id: str
    pixel_mm: float | None = None


class Gate(PlanStruct, frozen=True, kw_only=True):
    """`moves_on_ms`: how long a part stays at the gate before it moves on, where the plant knows it better than what
    its own visits tell; `escape_cost`: of a defect that gets past this gate; `kinds`: of defect, found here."""

    gate_id: str
    after: str
    deadline_ms: float
    needs: tuple[str, ...] = ()
    booking_ms: float = 5000.0
    late_ms: float = 120_000.0
    moves_on_ms: float | None = None
    escape_cost: float | None = None
    kinds: tuple[str, ...] = ()


class Product(PlanStruct, frozen=True, kw_only=True):
    """What is particular to a product: what an escape of it costs, and the kinds of defect it is known to have. Both
    are for people's queue; the limits of risk come from the objective."""

    product: str
    escape_cost: float | None = None
    kinds: tuple[str, ...] = ()


class Capacity(PlanStruct, frozen=True, kw_only=True):
    """What the inspectors of a line can clear: `reviews_per_hour`, and how many parts may wait for them at once."""

    reviews_per_hour: float
    queue_max: float


class Line(PlanStruct, frozen=True, kw_only=True):
    line_id: str
    stations: tuple[Station, ...]
    cameras: tuple[Camera, ...] = ()
    gates: tuple[Gate, ...] = ()
    capacity: Capacity | None = None

    def order(self, station_id: str) -> int:
        """Place of a station along the line (0 first); -1 when the plan does not know it."""
        for place, station in enumerate(self.stations):
            if station.station_id == station_id:
                return place
        return -1


class Plan(PlanStruct, frozen=True, kw_only=True):
    """What is wanted, what is allowed, who answers for it. `sha256` is of the file's bytes."""

    plan: Literal[1]
    plant: str
    owners: Owners
    objective: Objective
    constraints: Constraints
    grants: Grants
    audit: Audit
    lines: tuple[Line, ...]
    products: tuple[Product, ...] = ()
    reviews: Reviews = Reviews()
    sha256: str = ""

    def line(self, line_id: str) -> Line | None:
        return next((line for line in self.lines if line.line_id == line_id), None)

    def gate(self, line_id: str, gate_id: str) -> Gate | None:
        line = self.line(line_id)
        return next((gate for gate in line.gates if gate.gate_id == gate_id), None) if line else None

    def product(self, product: str) -> Product | None:
        return next((one for one in self.products if one.product == product), None)

    def may_read(self, topic: str) -> bool:
        """Is this stream of the plant granted (`grants.topics`)? `topic` without prefix: `frames`, `sensors` ..."""
        return f"qc.{topic}" in self.grants.topics

    def may_use(self, attribute: str) -> bool:
        """May this attribute become a feature or a cause? (CONTRACT section 6, `grants.attributes`)"""
        if attribute in self.constraints.forbidden_causes:
            return False
        return self.grants.attributes is None or attribute in self.grants.attributes
