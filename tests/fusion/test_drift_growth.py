"""Limits of a short history tighten in service, learn no drift as usual, and survive a takeover at any part."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.drift.book import UNLIKE, DriftBook
from fusion.drift.growth import CENTRE_SHARE, FIT_VERSION, GROWING, GROWN, Growth, tightened
from fusion.drift.limits import ChartLimits, LimitsFit, false_probability, fit_limits, slowest_wander
from fusion.drift.signals import DriftNotes, DriftReference, Signal
from fusion.drift.watch import DriftWatch
from fusion.incidents import Incident

Doubles = npt.NDArray[np.float64]
SIGNALS, BLOCK, TRAINED = 3, 20, 40  # blocks of training
NAMES = [f"OP10.c{i}" for i in range(SIGNALS)]


def parts(count: int, seed: int) -> npt.NDArray[np.float32]:
    """float32[count, SIGNALS]: residuals of parts on a line that wanders a little."""
    rng = np.random.default_rng(seed)
    wander = np.empty((count, SIGNALS))
    state = rng.standard_normal(SIGNALS)
    for row in wander:
        state = 0.995 * state + np.sqrt(1 - 0.995**2) * rng.standard_normal(SIGNALS)
        row[:] = 0.15 * state
    return np.asarray(rng.standard_normal((count, SIGNALS)) + wander, dtype=np.float32)


@pytest.fixture(scope="module")
def reference() -> DriftReference:
    blocks = parts(TRAINED * BLOCK, 1).reshape(-1, BLOCK, SIGNALS).mean(axis=1).astype(np.float64)
    limits = fit_limits(blocks, false_probability(BLOCK, SIGNALS), slowest_wander(BLOCK))
    signals = tuple(Signal(entity=name, measure="mean", unit="A", column=i) for i, name in enumerate(NAMES))
    ones = np.ones(SIGNALS)
    arrays = {
        "usual": np.zeros((1, SIGNALS)), "spread": ones, "overall": 0 * ones, "low": -ones, "high": ones,
        "sample": np.zeros((4, SIGNALS)), "typical": np.zeros((1, SIGNALS)), "blocks": blocks,
        **{name: getattr(limits, name) for name in ChartLimits.__slots__},
    }  # fmt: skip
    return DriftReference(DriftNotes(signals=signals, block=BLOCK, file=""), arrays, b"digest")


def watched(
    reference: DriftReference, rows: npt.NDArray[np.float32], stops: set[int] = frozenset(), contradicted: bool = False  # type: ignore[assignment]
) -> DriftBook:  # fmt: skip
    book, kept = DriftBook("L1"), dict[str, bytes | None]()
    book.use(reference)
    for number, row in enumerate(rows):
        book.count(reference, row, f"P{number}", 1000 * number, contradicted)
        if number in stops:
            kept.update(book.changes())
            book = DriftBook("L1")
            for key, value in sorted(kept.items(), reverse=True):
                if value is not None:
                    book.restore(key, value)
    return book


def in_units(limits: ChartLimits) -> Doubles:
    return np.stack([limits.ewma, limits.cusum, limits.slack]) * limits.scale


def test_quiet_service_tightens_limits_to_those_of_a_longer_history(reference: DriftReference) -> None:
    book = watched(reference, parts(9000, 2))
    assert book.growth.rests_on >= 4 * TRAINED
    trained, now = in_units(reference.limits), in_units(book.limits(reference))
    assert np.all(now <= trained + 1e-9)
    assert now[:2].mean() < 0.9 * trained[:2].mean()


def test_a_shift_within_quarantine_is_not_learned_and_the_other_signals_go_on(reference: DriftReference) -> None:
    rows = parts(3000, 3)
    rows[1800:, 1] += 3.0
    book = watched(reference, rows)
    assert set(book.incidents) == {NAMES[1]}
    learned = np.array(book.growth._rows)
    assert np.isnan(learned[1800 // BLOCK :, 1]).all()
    assert np.isfinite(learned[: (1800 - 1000) // BLOCK]).all()  # those had left quarantine
    assert np.isfinite(learned[:, [0, 2]]).all()


@pytest.mark.parametrize("trouble", ["labels", UNLIKE])
def test_nothing_is_learned_while_labels_or_the_parts_as_a_whole_speak_against_it(
    reference: DriftReference, trouble: str
) -> None:
    book = watched(reference, parts(1200, 4))
    assert (len(book.growth._rows), book.growth.released) == (60, 10)
    if trouble == UNLIKE:
        book.settle(UNLIKE, Incident(line_id="L1", incident="unlike_training", since=0))
    for number, row in enumerate(parts(5 * BLOCK, 5)):
        book.count(reference, row, f"Q{number}", 2_000_000 + number, trouble == "labels")
    assert (len(book.growth._rows), book.growth.released) == (10, 10)


def test_a_slow_ramp_from_the_first_part_on_is_found_and_no_later_than_with_limits_that_stay(
    reference: DriftReference,
) -> None:
    rows = parts(16_000, 6)
    rows[:, 0] += np.arange(len(rows), dtype=np.float32) * np.float32(1e-4)  # .01 sd in 100 parts
    fixed = DriftReference.__new__(DriftReference)
    fixed.__dict__.update(reference.__dict__ | {"history": None})
    growing, staying = _opened(reference, rows), _opened(fixed, rows)
    assert growing is not None
    assert staying is None or growing <= staying


def _opened(reference: DriftReference, rows: npt.NDArray[np.float32]) -> int | None:
    book = DriftBook("L1")
    book.use(reference)
    for number, row in enumerate(rows):
        if book.count(reference, row, f"P{number}", number) and NAMES[0] in book.incidents:
            return number
    return None


@settings(max_examples=4, deadline=None)
@given(st.sets(st.integers(0, 2599), min_size=1, max_size=3))
def test_a_takeover_at_any_part_changes_no_limit(reference: DriftReference, stops: set[int]) -> None:
    rows = parts(2600, 7)
    whole, taken_over = watched(reference, rows), watched(reference, rows, stops)
    assert whole.growth.rests_on == 2 * TRAINED
    assert _bytes(taken_over.limits(reference)) == _bytes(whole.limits(reference))
    assert taken_over.charts.pack() == whole.charts.pack()
    assert taken_over.incidents == whole.incidents


def _bytes(limits: ChartLimits) -> list[bytes]:
    return [getattr(limits, name).tobytes() for name in ChartLimits.__slots__]


def test_the_heartbeat_tells_what_limits_can_show_and_whether_they_have_grown(reference: DriftReference) -> None:
    watch = DriftWatch()
    watch._books["L1", "EOL"] = book = watched(reference, parts(2600, 7))
    watch._books["L1", "MID"] = watched(reference, parts(100, 7))
    judged = SimpleNamespace(drift=reference)
    judge = SimpleNamespace(gates={("L1", "EOL"): judged, ("L1", "MID"): judged, ("L2", "EOL"): judged})
    grown, trained = watch.figures(judge, ["L1"])
    assert (grown["gate_id"], grown["blocks"], grown["grown_at"]) == ("EOL", 2 * TRAINED, book.growth.grown_at)
    assert 0 < book.growth.grown_at < 2_600_000
    assert (grown["parts"], grown["again_parts"]) == (2 * TRAINED * BLOCK, 4 * TRAINED * BLOCK)
    assert (trained["gate_id"], trained["blocks"], trained["parts"]) == ("MID", 0, TRAINED * BLOCK)
    assert (trained["signals"], trained["again_parts"]) == (SIGNALS, 2 * TRAINED * BLOCK)


def test_who_has_just_taken_over_tells_the_limits_before_the_first_part(reference: DriftReference) -> None:
    judge = SimpleNamespace(gates={("L1", "EOL"): SimpleNamespace(drift=reference)})
    before, after = DriftWatch(), DriftWatch()
    before._books["L1", "EOL"] = watched(reference, parts(2600, 7))
    for line_id, key, value in before.changes():
        after.restore(line_id, key, value)
    assert after.figures(judge, ["L1"]) == before.figures(judge, ["L1"]) != []


def test_a_model_without_its_history_keeps_the_limits_of_training(reference: DriftReference) -> None:
    older = DriftReference.__new__(DriftReference)
    older.__dict__.update(reference.__dict__ | {"history": None})
    book = watched(older, parts(3000, 8))
    assert book.limits(older) is older.limits
    assert [key for key, _ in book.changes() if key.startswith(("quiet", "grown"))] == []


def test_another_reference_forgets_what_was_quiet_beside_the_old_one(reference: DriftReference) -> None:
    book = watched(reference, parts(4000, 9))
    book.changes()
    other = DriftReference.__new__(DriftReference)
    other.__dict__.update(reference.__dict__ | {"digest": b"another"})
    book.use(other)
    assert book.limits(other) is other.limits
    gone = dict(book.changes())
    assert gone["grown"] is None
    assert gone["quiet:0"] is None


@given(st.lists(st.floats(-3, 3), min_size=SIGNALS, max_size=SIGNALS), st.floats(0.2, 5))
def test_a_centre_never_moves_further_than_training_left_open_and_no_limit_widens(
    away: list[float], scale: float
) -> None:
    ones = np.ones(SIGNALS)
    trained = ChartLimits(0 * ones, ones, 1.5 * ones, 4 * ones, 20 * ones)
    found = ChartLimits(np.array(away), scale * ones, ones, 3 * ones, 15 * ones)
    now = tightened(trained, trained, found)
    assert np.all(np.abs(now.centre - trained.centre) <= CENTRE_SHARE * 1.5 + 1e-12)
    assert np.all(in_units(now) <= in_units(trained) + 1e-9)
    again = tightened(trained, now, found)
    assert _bytes(again) == pytest.approx(_bytes(now)) or np.allclose(in_units(again), in_units(now))


@pytest.mark.parametrize("found", [0, 4, 8])
def test_a_fit_gone_on_with_finds_the_same_limits_and_does_only_what_is_left(found: int) -> None:
    rows = np.concatenate([parts(60 * BLOCK, seed) for seed in (10, 11, 12)], axis=1)  # nine signals, three groups
    blocks = rows.reshape(-1, BLOCK, rows.shape[1]).mean(axis=1).astype(np.float64)
    whole = LimitsFit(blocks, 0.001, 75.0)
    while whole.position < whole.steps:
        whole.step()
    rest, taken = LimitsFit(blocks, 0.001, 75.0, whole.found[:found]), 0
    while rest.position < rest.steps:
        rest.step()
        taken += 1
    assert _bytes(rest.limits()) == _bytes(whole.limits()) == _bytes(fit_limits(blocks, 0.001, 75.0))
    assert taken == whole.prepared + (whole.steps - whole.prepared) * (3 - found // 4) // 3


def test_after_takeovers_no_part_waits_for_more_than_one_step_and_little_is_done_twice(
    reference: DriftReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, step = [0], LimitsFit.step

    def counted(fit: LimitsFit) -> None:
        steps[0] += 1
        step(fit)

    monkeypatch.setattr(LimitsFit, "step", counted)
    rows, begun = parts(2600, 7), 1000 + TRAINED * BLOCK
    once = watched(reference, rows)
    whole, steps[0] = steps[0], 0
    stops, most = {begun + 60, begun + 120, begun + 180}, 0
    book, kept = DriftBook("L1"), dict[str, bytes | None]()
    book.use(reference)
    for number, row in enumerate(rows):
        before = steps[0]
        book.count(reference, row, f"P{number}", 1000 * number)
        most = max(most, steps[0] - before)
        if number in stops:
            kept.update(book.changes())
            book = DriftBook("L1")
            for key, value in kept.items():
                book.restore(key, value)
    assert most == 1
    assert whole < steps[0] <= whole + len(stops) * whole  # what of one group of signals was under way, no more
    assert _bytes(book.limits(reference)) == _bytes(once.limits(reference))
    assert book.growth.grown_at == once.growth.grown_at


def test_what_another_version_of_the_fit_found_is_not_gone_on_with(reference: DriftReference) -> None:
    book = watched(reference, parts(2600, 7))
    grown = dict(book.changes())[GROWN]
    assert grown is not None
    other = msgspec.msgpack.encode([*msgspec.msgpack.decode(grown)[:-1], FIT_VERSION + 1])
    for value, rests_on in ((grown, 2 * TRAINED), (other, 0)):
        growth = Growth()
        assert growth.restore(GROWN, value)
        assert (growth.rests_on, growth.limits is not None) == (rests_on, rests_on > 0)
    growth = Growth()
    assert growth.restore(GROWING, msgspec.msgpack.encode([FIT_VERSION + 1, 80, [(1.0, 2.0)]]))
    assert growth._found == []


def test_where_the_centre_may_not_follow_the_limits_are_wider_by_the_rest() -> None:
    ones = np.ones(1)
    trained = ChartLimits(0 * ones, ones, 1.5 * ones, 9 * ones, 90 * ones)
    found = ChartLimits(0.8 * ones, 0.5 * ones, ones, 3 * ones, 15 * ones)
    now = tightened(trained, trained, found)
    assert now.centre[0] == pytest.approx(0.5)
    assert now.ewma[0] * now.scale[0] == pytest.approx(3 * 0.5 + 0.3)
    assert now.slack[0] * now.scale[0] == pytest.approx(1 * 0.5 + 0.3)
    assert now.cusum[0] * now.scale[0] == pytest.approx(15 * 0.5)


def test_an_empty_growth_has_nothing_to_write() -> None:
    growth = Growth()
    growth.reset()
    assert growth.changes() == []
