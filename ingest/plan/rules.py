"""What a control plan must not say although each value alone is well formed: empty names, doubles, contradictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ingest.plan.plan import Camera, Capacity, Gate, Line, Plan, Product, Station

Steps = tuple[str | int, ...]
Problem = tuple[Steps, str]

#: Every topic of the contract, by its name with the default prefix; the plant's own streams come first.
PLANT_TOPICS = ("qc.frames", "qc.sensors", "qc.production", "qc.defects")
OWN_TOPICS = ("qc.findings", "qc.verdicts", "qc.control", "qc.state", "qc.deadletter")


def contradictions(plan: Plan) -> Iterator[Problem]:
    """Everything wrong with a plan whose values have the right types: where it stands, and one sentence."""
    yield from _owners(plan)
    yield from _limits(plan)
    yield from _grants(plan)
    if not plan.lines:
        yield ("lines",), "the plan has no line"
    yield from _names(("lines",), "line_id", "line", [line.line_id for line in plan.lines])
    yield from _names(("products",), "product", "product", [one.product for one in plan.products])
    for place, product in enumerate(plan.products):
        yield from _for_people(("products", place), product, f"product '{product.product}'")
    for place, line in enumerate(plan.lines):
        yield from _line(("lines", place), line, plan)


def _owners(plan: Plan) -> Iterator[Problem]:
    for duty in ("objective", "model", "stop"):
        if not getattr(plan.owners, duty).strip():
            yield ("owners", duty), f"missing owner '{duty}': it is empty, and someone must be accountable"
    if not plan.plant.strip():
        yield ("plant",), "plant is empty"


def _limits(plan: Plan) -> Iterator[Problem]:
    shares = {
        ("constraints", "escape_rate_max"): plan.constraints.escape_rate_max,
        ("constraints", "review_share_max"): plan.constraints.review_share_max,
        ("audit", "share"): plan.audit.share,
        **{("reviews", name): getattr(plan.reviews, name) for name in ("blind_share", "second_share", "known_share")},
    }
    for steps, share in shares.items():
        if not 0.0 <= share <= 1.0:
            yield steps, f"{steps[-1]} is a share between 0 and 1, not {share:g}"
    if not 0.0 < plan.objective.defect_rate_assumed < 0.5:
        told = plan.objective.defect_rate_assumed
        yield ("objective", "defect_rate_assumed"), f"defect_rate_assumed is a share between 0 and 0.5, not {told:g}"
    above_zero = {
        ("constraints", "latency_ms_max"): plan.constraints.latency_ms_max,
        ("objective", "escape_cost"): plan.objective.escape_cost,
        ("objective", "review_cost"): plan.objective.review_cost,
        ("grants", "retention_days"): plan.grants.retention_days,
        ("grants", "disk_gib_max"): plan.grants.disk_gib_max,
    }
    for steps, amount in above_zero.items():
        if amount <= 0:
            yield steps, f"{steps[-1]} must be greater than 0, not {amount:g}"
    if plan.audit.share > plan.constraints.review_share_max:
        yield (
            ("audit", "share"),
            f"audit share {plan.audit.share:g} contradicts review_share_max {plan.constraints.review_share_max:g}: "
            "audits alone would be more reviews than are allowed",
        )


def _grants(plan: Plan) -> Iterator[Problem]:
    for place, topic in enumerate(plan.grants.topics):
        if topic not in PLANT_TOPICS + OWN_TOPICS:
            yield ("grants", "topics", place), f"unknown topic '{topic}'; the plant's are {', '.join(PLANT_TOPICS)}"
    for place, attribute in enumerate(plan.grants.attributes or ()):
        if attribute in plan.constraints.forbidden_causes:
            yield ("grants", "attributes", place), f"attribute '{attribute}' is granted and a forbidden cause at once"


def _line(steps: Steps, line: Line, plan: Plan) -> Iterator[Problem]:
    if line.capacity is not None:
        yield from _capacity((*steps, "capacity"), line.capacity)
    if not line.stations:
        yield (*steps, "stations"), f"line '{line.line_id}' has no station"
    yield from _names((*steps, "stations"), "station_id", "station", [s.station_id for s in line.stations])
    yield from _names((*steps, "cameras"), "camera_id", "camera", [c.camera_id for c in line.cameras])
    yield from _names((*steps, "gates"), "gate_id", "gate", [g.gate_id for g in line.gates])
    for place, station in enumerate(line.stations):
        yield from _station((*steps, "stations", place), station)
    for place, camera in enumerate(line.cameras):
        yield from _camera((*steps, "cameras", place), camera, line)
    for place, gate in enumerate(line.gates):
        yield from _gate((*steps, "gates", place), gate, line, plan)


def _capacity(steps: Steps, capacity: Capacity) -> Iterator[Problem]:
    if capacity.reviews_per_hour <= 0:
        yield (
            (*steps, "reviews_per_hour"),
            f"reviews_per_hour must be greater than 0, not {capacity.reviews_per_hour:g}",
        )
    if capacity.queue_max < 1:
        yield (*steps, "queue_max"), f"queue_max must be 1 at least, not {capacity.queue_max:g}"


def _names(steps: Steps, key: str, what: str, names: Iterable[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for place, name in enumerate(names):
        if not name.strip():
            yield (*steps, place, key), f"{key} is empty"
        elif name in seen:
            yield (*steps, place, key), f"{what} '{name}' stands twice"
        seen.add(name)


def _station(steps: Steps, station: Station) -> Iterator[Problem]:
    yield from _names((*steps, "channels"), "channel", "channel", [c.channel for c in station.channels])
    for place, channel in enumerate(station.channels):
        here = (*steps, "channels", place)
        if channel.rate_hz is not None and channel.rate_hz <= 0:
            yield (*here, "rate_hz"), f"rate_hz of '{channel.channel}' must be greater than 0, not {channel.rate_hz:g}"
        if channel.lower is not None and channel.upper is not None and channel.lower >= channel.upper:
            yield (
                (*here, "lower"),
                f"limits of '{channel.channel}' contradict each other: lower {channel.lower:g} is not below "
                f"upper {channel.upper:g}",
            )


def _camera(steps: Steps, camera: Camera, line: Line) -> Iterator[Problem]:
    if line.order(camera.station_id) < 0:
        yield (*steps, "station_id"), f"camera '{camera.camera_id}' is at unknown station '{camera.station_id}'"
    if camera.pixel_mm is not None and camera.pixel_mm <= 0:
        yield (*steps, "pixel_mm"), f"pixel_mm of '{camera.camera_id}' must be greater than 0"


def _gate(steps: Steps, gate: Gate, line: Line, plan: Plan) -> Iterator[Problem]:
    if line.order(gate.after) < 0:
        yield (*steps, "after"), f"gate '{gate.gate_id}' is after unknown station '{gate.after}'"
        return
    for key, limit in (("deadline_ms", gate.deadline_ms), ("booking_ms", gate.booking_ms)):
        if limit <= 0:
            yield (*steps, key), f"{key} of gate '{gate.gate_id}' must be greater than 0, not {limit:g}"
    if gate.moves_on_ms is not None and gate.moves_on_ms <= 0:
        told = f"moves_on_ms of gate '{gate.gate_id}' must be greater than 0, not {gate.moves_on_ms:g}"
        yield (*steps, "moves_on_ms"), told
    yield from _for_people(steps, gate, f"gate '{gate.gate_id}'")
    if gate.late_ms < 0:
        yield (*steps, "late_ms"), f"late_ms of gate '{gate.gate_id}' must not be below 0"
    for place, need in enumerate(gate.needs):
        here = (*steps, "needs", place)
        if need in gate.needs[:place]:
            yield here, f"gate '{gate.gate_id}' needs '{need}' twice"
        yield from _need(here, need, gate, line, plan)


def _for_people(steps: Steps, told: Gate | Product, whose: str) -> Iterator[Problem]:
    if told.escape_cost is not None and told.escape_cost <= 0:
        yield (*steps, "escape_cost"), f"escape_cost of {whose} must be greater than 0, not {told.escape_cost:g}"
    if any(not kind.strip() for kind in told.kinds):
        yield (*steps, "kinds"), f"a kind of defect of {whose} is empty"


def _need(steps: Steps, need: str, gate: Gate, line: Line, plan: Plan) -> Iterator[Problem]:
    kind, _, name = need.partition(":")
    if kind == "camera":
        camera = next((c for c in line.cameras if c.camera_id == name), None)
        if camera is None:
            yield steps, f"gate '{gate.gate_id}' needs unknown camera '{name}'"
            return
        station, stream = camera.station_id, "frames"
    elif kind == "sensors":
        if line.order(name) < 0:
            yield steps, f"gate '{gate.gate_id}' needs sensors of unknown station '{name}'"
            return
        station, stream = name, "sensors"
    else:
        yield steps, f"a need is 'camera:CAMERA_ID' or 'sensors:STATION_ID', not '{need}'"
        return
    if line.order(station) > line.order(gate.after):
        yield steps, f"gate '{gate.gate_id}' after '{gate.after}' needs '{need}', which comes behind it"
    if not plan.may_read(stream):
        yield steps, f"gate '{gate.gate_id}' needs '{need}', but qc.{stream} is not granted"
