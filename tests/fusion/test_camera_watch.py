"""The watch over cameras: what their order shows becomes one incident, and no defect becomes a pass by it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.cameras.lens_dirt import ABSENT_PARTS
from fusion.cameras.state import RECENT
from fusion.cameras.watch import CameraWatch
from fusion.incidents import PARTS_NAMED, Incident
from fusion.labels import PartLabel
from ingest.messages import Box, Defect, Findings, Fitness, Instant, ModelName
from ingest.plan.plan import Plan

T0 = 1_767_600_000_000
DIRT = Box(x=120, y=44, width=31, height=18, score=1.4)
ELSEWHERE = Box(x=400, y=300, width=20, height=20, score=1.2)
Entry = tuple[str, str, bytes | None]


def seen(
    number: int,
    *boxes: Box,
    picture: str | None = None,
    shift: tuple[float, float, float] | None = None,
    eye: str = "a",
    fit: bool = True,
) -> Findings:
    measures = dict(zip(("shift_x", "shift_y", "pose_confidence"), shift, strict=True)) if shift else {}
    return Findings(
        part_id=f"P{number}", line_id="L1", station_id="OP20", camera_id="top", frame_id=f"top@{number}",
        captured_at=Instant(T0 + number * 1000), inspected_at=Instant(T0), score=0.9 if boxes else 0.2, threshold=0.5,
        fitness=Fitness(ok=fit, problems=[] if fit else ["blur"], measures=measures), boxes=list(boxes),
        fingerprint=f"{number}" if picture is None else picture,
        model=ModelName(name="vision-top", version="1", sha256=eye),
    )  # fmt: skip


def label(number: int, outcome: str) -> Defect:
    return Defect(
        part_id=f"P{number}", line_id="L1", recorded_at=Instant(T0), source="inspector",
        outcome=outcome,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture
def watch(plan: Plan) -> CameraWatch:
    return CameraWatch(plan, lambda _: 0.02)


def quiet(watch: CameraWatch, parts: range) -> None:
    for number in parts:
        assert watch.take(seen(number)).fitness.ok


def one(watch: CameraWatch) -> Incident:
    (incident,) = watch.incidents()
    return incident


# -- frozen ---------------------------------------------------------------------------------------------


def test_the_same_picture_of_a_second_part_is_unfit_and_opens_one_incident(watch: CameraWatch) -> None:
    quiet(watch, range(5))
    assert watch.take(seen(5, picture="stuck")).fitness.ok
    for number in range(6, 12):
        assert watch.take(seen(number, picture="stuck")).fitness.problems == ["frozen"]
    incident = one(watch)
    assert (incident.incident, incident.since, incident.parts_count) == ("frozen", T0 + 5000, 7)
    assert incident.parts == [f"P{number}" for number in range(5, 12)]
    quiet(watch, range(12, 16))
    assert watch.incidents() == []
    assert (watch.counts["incidents_opened"], watch.counts["incidents_closed"]) == (1, 1)


def test_the_same_part_twice_with_the_same_picture_is_no_frozen_camera(watch: CameraWatch) -> None:
    for moment in range(3):
        again = msgspec.structs.replace(seen(moment, picture="p"), part_id="P0")
        assert watch.take(again).fitness.ok
    assert watch.incidents() == []


def test_a_buffer_that_runs_in_a_circle_is_frozen_too(watch: CameraWatch) -> None:
    quiet(watch, range(4))
    for number in range(4, 12):
        assert watch.take(seen(number, picture=str(number % 4))).fitness.problems == ["frozen"]


# -- dirt -----------------------------------------------------------------------------------------------


def test_a_mark_that_stays_put_over_parts_is_dirt_after_five_parts_and_its_parts_are_unfit_not_defects(
    watch: CameraWatch,
) -> None:
    quiet(watch, range(60))
    answers = [watch.take(seen(number, DIRT)).fitness for number in range(60, 80)]
    assert [fit.ok for fit in answers] == [True] * 4 + [False] * 16
    assert answers[-1].problems == ["lens_dirt"]
    incident = one(watch)
    assert (incident.incident, incident.since, incident.parts_count) == ("lens_dirt", T0 + 60_000, 20)
    assert incident.measure == {"x": 120, "y": 44, "width": 31, "height": 18, "marks": 1}


def test_a_box_beside_the_dirt_stays_a_finding(watch: CameraWatch) -> None:
    quiet(watch, range(60))
    for number in range(60, 70):
        watch.take(seen(number, DIRT))
    both = watch.take(seen(70, DIRT, ELSEWHERE))
    assert (both.fitness.ok, both.boxes, both.score) == (True, [DIRT, ELSEWHERE], 0.9)
    assert watch.take(seen(71, ELSEWHERE)).fitness.ok
    assert one(watch).incident == "lens_dirt"


def test_dirt_that_is_wiped_off_ends_the_incident_and_the_same_place_may_have_a_defect_again(
    watch: CameraWatch,
) -> None:
    quiet(watch, range(60))
    for number in range(60, 75):
        watch.take(seen(number, DIRT))
    quiet(watch, range(75, 75 + ABSENT_PARTS))
    assert watch.incidents() == []
    assert watch.take(seen(90, DIRT)).fitness.ok


def test_dirt_that_hides_now_and_then_is_still_found(watch: CameraWatch) -> None:
    quiet(watch, range(200))
    for number in range(200, 230):
        watch.take(seen(number, *(() if number % 7 == 3 else (DIRT,))))
    assert one(watch).incident == "lens_dirt"


def test_boxes_at_a_place_with_a_rate_of_its_own_are_no_dirt(plan: Plan) -> None:
    """A place where one good part in ten has a box, over 10 000 parts: none of its runs is taken for dirt."""
    watch, rng = CameraWatch(plan, lambda _: 0.5), np.random.default_rng(0)
    for number in range(10_000):
        watch.take(seen(number, *((DIRT,) if rng.random() < 0.1 else ())))
    assert watch.counts["incidents_opened"] == 0


def test_boxes_all_over_the_part_are_no_dirt(plan: Plan) -> None:
    watch, rng = CameraWatch(plan, lambda _: 1.0), np.random.default_rng(1)
    for number in range(3000):
        x, y = rng.integers(0, 600, 2).tolist()
        watch.take(seen(number, Box(x=x, y=y, width=30, height=30, score=1.0)))
    assert watch.counts["incidents_opened"] == 0


# -- moved ----------------------------------------------------------------------------------------------


def test_a_camera_that_was_knocked_is_known_five_parts_later_and_until_it_is_put_back(watch: CameraWatch) -> None:
    rng = np.random.default_rng(2)

    def part(number: int, off: float) -> Fitness:
        x, y = rng.normal(0, 1.0, 2).tolist()
        return watch.take(seen(number, shift=(x + off, y, 0.9))).fitness

    assert all(part(number, 0.0).ok for number in range(80))
    after = [part(number, 12.0).problems for number in range(80, 100)]
    assert after[:4] == [[]] * 4
    assert after[6:] == [["camera_moved"]] * 14
    incident = one(watch)
    assert incident.incident == "camera_moved"
    assert incident.measure["off_px"] == pytest.approx(12, abs=1.5)
    assert "12 pixels" in incident.what or "11 pixels" in incident.what or "13 pixels" in incident.what
    for number in range(100, 110):
        part(number, 0.0)
    assert watch.incidents() == []


def test_parts_that_lie_loosely_move_no_camera(watch: CameraWatch) -> None:
    rng = np.random.default_rng(3)
    for number in range(3000):
        x, y = rng.uniform(-15, 15, 2).tolist()
        watch.take(seen(number, shift=(x, y, 0.9)))
    assert watch.counts["incidents_opened"] == 0


def test_a_shift_nobody_is_sure_of_moves_no_camera(watch: CameraWatch) -> None:
    for number in range(40):
        assert watch.take(seen(number, shift=(30.0, 0.0, 0.1))).fitness.ok


def test_another_eye_ends_what_was_measured_against_the_old_one(watch: CameraWatch) -> None:
    for number in range(30):
        watch.take(seen(number, shift=(20.0, 0.0, 0.9)))
    assert one(watch).incident == "camera_moved"
    assert watch.take(seen(30, shift=(0.0, 0.0, 0.9), eye="b")).fitness.ok
    assert watch.incidents() == []


def test_products_eyes_that_take_turns_begin_nothing_anew(plan: Plan) -> None:
    """A camera that was knocked is known however often the product changes, and the loosest promise counts."""
    promises = {"vision-top": 0.02, "vision-top@x": 0.05}

    def promise_of(findings: Findings) -> float:
        assert findings.model is not None
        return promises[findings.model.name]

    watch = CameraWatch(plan, promise_of)

    def turn(number: int, shift: tuple[float, float, float]) -> Findings:
        findings = seen(number, shift=shift)
        assert findings.model is not None
        name = ("vision-top", "vision-top@x")[number % 2]
        return msgspec.structs.replace(findings, model=msgspec.structs.replace(findings.model, name=name, sha256=name))

    for number in range(40):
        assert watch.take(turn(number, (0.1, 0.0, 0.9))).fitness.ok
    for number in range(40, 52):
        watch.take(turn(number, (14.0, 9.0, 0.9)))
    assert one(watch).incident == "camera_moved"
    (memory,) = [book.memory for book in watch._books.values() if book.memory.eyes]
    assert (memory.eyes, memory.promised) == ({name: name for name in promises}, 0.05)


# -- promise --------------------------------------------------------------------------------------------


def flagged_now_and_then(watch: CameraWatch, parts: int, share: float, labelled: bool) -> int:
    rng, flagged = np.random.default_rng(4), 0
    for number in range(parts):
        x, y = rng.integers(0, 2000, 2).tolist()
        box = Box(x=x, y=y, width=20, height=20, score=1.0)
        hit = rng.random() < share
        watch.take(seen(number, *((box,) if hit else ())))
        flagged += hit
        if labelled and hit:
            watch.label(PartLabel.of(label(number, "ok"), 0))
    return flagged


@pytest.mark.parametrize("labelled", [True, False])
def test_an_eye_that_flags_more_good_parts_than_promised_is_named_with_its_figures(
    watch: CameraWatch, labelled: bool
) -> None:
    flagged_now_and_then(watch, 600, 0.06, labelled)
    incident = one(watch)
    assert incident.incident == "false_alarms"
    assert incident.measure["promised"] == 0.02 < incident.measure["at_least"] < incident.measure["measured"]
    assert ("none of them labelled" in incident.what) is not labelled
    assert watch.take(seen(700, ELSEWHERE)).fitness.ok  # it is told, and changes no verdict


def test_an_accusation_that_rests_on_labels_taken_back_is_dropped_at_the_next_look(watch: CameraWatch) -> None:
    flagged_now_and_then(watch, 600, 0.06, labelled=True)
    assert one(watch).incident == "false_alarms"
    (ledger,) = [book.ledger for book in watch._books.values() if book.ledger.parts]
    called_ok = [part_id for part_id, looked in ledger.parts.items() if looked.label == "ok"]
    for part_id in called_ok[16:]:
        watch.label(PartLabel("L1", part_id, 0, 0, (), taken_back=True))
    assert sum(looked.label == "ok" for looked in ledger.parts.values()) == 16  # more than promised, as chance has it
    for number in range(600, 700):
        watch.take(seen(number))
    assert watch.incidents() == []


def test_an_eye_that_keeps_its_promise_is_not_accused_over_10000_parts(watch: CameraWatch) -> None:
    assert flagged_now_and_then(watch, 10_000, 0.02, labelled=True) > 150
    assert watch.counts["incidents_opened"] == 0


def test_flagged_parts_that_were_defects_are_no_false_alarms(watch: CameraWatch) -> None:
    rng = np.random.default_rng(5)
    for number in range(1000):
        x, y = rng.integers(0, 2000, 2).tolist()
        bad = number % 10 == 0
        watch.take(seen(number, *((Box(x=x, y=y, width=20, height=20, score=1.0),) if bad else ())))
        if bad:
            watch.label(PartLabel.of(label(number, "defect"), 0))
    assert watch.counts["incidents_opened"] == 0


# -- repeats, order, restart ----------------------------------------------------------------------------


def test_a_finding_that_comes_twice_is_answered_as_before_and_counts_once(watch: CameraWatch) -> None:
    quiet(watch, range(60))
    for _ in range(30):
        assert watch.take(seen(60, DIRT)).fitness.ok
    assert watch.incidents() == []
    watch.take(seen(61, picture="60"))
    assert watch.take(seen(61, picture="another")).fitness.problems == ["frozen"]


def test_a_finding_that_comes_late_counts_not_at_all_and_is_not_blamed_for_what_came_after(watch: CameraWatch) -> None:
    quiet(watch, range(60, 120))
    for number in range(120, 120 + RECENT):
        watch.take(seen(number, DIRT))
    assert one(watch).incident == "lens_dirt"
    before = one(watch)
    assert watch.take(seen(3, DIRT)).fitness.ok
    assert one(watch) == before
    assert watch.counts["camera_late"] == 1


def test_a_clock_set_back_stops_the_watch_for_no_longer_than_its_memory(watch: CameraWatch) -> None:
    quiet(watch, range(5000, 5100))
    for number in range(2 * RECENT):
        watch.take(seen(number, picture="stuck"))
    assert one(watch).incident == "frozen"


def test_cameras_the_plan_does_not_know_are_not_remembered(watch: CameraWatch) -> None:
    for number in range(20):
        stranger = msgspec.structs.replace(seen(number, picture="x"), camera_id=f"c{number}")
        assert watch.take(stranger) == stranger
    assert watch.changes() == []


def test_an_incident_names_the_latest_parts_and_counts_all(watch: CameraWatch) -> None:
    for number in range(100):
        watch.take(seen(number, picture="stuck"))
    assert (len(one(watch).parts), one(watch).parts_count) == (PARTS_NAMED, 100)
    assert one(watch).told()["since"] == Instant(T0).isoformat()


def story(seed: int) -> list[Findings | Defect]:
    """Parts of a camera to which all four things happen, with repeats, late ones and labels."""
    rng = np.random.default_rng(seed)
    told: list[Findings | Defect] = []
    for number in range(240):
        boxes = [DIRT] if 60 <= number < 90 else [ELSEWHERE] if rng.random() < 0.1 else []
        picture = "stuck" if 100 <= number < 110 else None
        off = 15.0 if 130 <= number < 150 else 0.0
        shift = (float(rng.normal(off, 1)), float(rng.normal(0, 1)), 0.9)
        told.append(seen(number, *boxes, picture=picture, shift=shift, eye="a" if number < 200 else "b"))
        if rng.random() < 0.1:
            earlier = [entry for entry in told if isinstance(entry, Findings)]
            told.append(earlier[int(rng.integers(len(earlier)))])
        if rng.random() < 0.2:
            told.append(label(int(rng.integers(number + 1)), "ok"))
    return told


def fold(watch: CameraWatch, told: list[Findings | Defect]) -> list[Findings]:
    out = []
    for message in told:
        if isinstance(message, Defect):
            watch.label(PartLabel.of(message, 0))
        else:
            out.append(watch.take(message))
    return out


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 5), cuts=st.lists(st.integers(0, 280), max_size=4))
def test_a_restart_anywhere_changes_nothing(plan: Plan, seed: int, cuts: list[int]) -> None:
    told = story(seed)
    whole = CameraWatch(plan, lambda _: 0.02)
    expected = fold(whole, told)
    watch, log, answers, begin = CameraWatch(plan, lambda _: 0.02), list[Entry](), list[Findings](), 0
    for cut in [*sorted(cuts), len(told)]:
        answers += fold(watch, told[begin:cut])
        begin = max(begin, cut)
        log += watch.changes()
        watch = CameraWatch(plan, lambda _: 0.02)
        for entry in log:
            watch.restore(*entry)
    assert answers == expected
    assert watch.incidents() == whole.incidents()


@given(
    boxes=st.lists(st.sampled_from([DIRT, ELSEWHERE]), max_size=2),
    picture=st.sampled_from(["a", "b", ""]),
    fit=st.booleans(),
    prefix=st.integers(0, 200),
)
@settings(max_examples=50, deadline=None)
def test_the_watch_only_ever_takes_fitness_away(
    plan: Plan, boxes: list[Box], picture: str, fit: bool, prefix: int
) -> None:
    watch = CameraWatch(plan, lambda _: 0.02)
    fold(watch, story(1)[:prefix])
    finding = seen(1000, *boxes, picture=picture, fit=fit)
    answer = watch.take(finding)
    assert answer.fitness.ok <= finding.fitness.ok
    assert set(answer.fitness.problems) >= set(finding.fitness.problems)
    assert (answer.score, answer.boxes, answer.threshold) == (finding.score, finding.boxes, finding.threshold)
