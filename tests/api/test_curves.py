"""The drawing of sensor curves, and the words for machines' words."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.views import Curve, Exhibit
from api.screens.curves import HEIGHT, TICKS_Y, WIDTH, Drawing, Limit, Readout, draw_curves
from api.screens.error_pages import Advice
from api.screens.pages import render
from api.wording.words import say_cause, say_evidence, say_percent
from ingest.messages import EvidenceSummary
from tests.api.factory import exhibit, make_verdict

NOTHING: frozenset[str] = frozenset()


def points_of(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def draw(curve: Curve) -> Drawing:
    (drawing,) = draw_curves(Exhibit({"OP20": {"force": curve}}), NOTHING)
    return drawing


def test_the_channel_that_is_a_cause_stands_first_then_the_one_most_out_of_its_band() -> None:
    shown = msgspec.json.decode(exhibit(), type=Exhibit)
    assert draw_curves(shown, NOTHING)[0].channel == "spindle_current_a"
    first = draw_curves(shown, frozenset({"OP40.press_force_kn & recipe=R2"}))[0]
    assert (first.channel, first.is_cause) == ("press_force_kn", True)


def test_what_is_out_of_the_band_is_counted_and_drawn() -> None:
    curve = Curve(curve=[1.0, 1.0, 5.0, 1.0], golden_low=[0.0] * 4, golden_high=[2.0] * 4)
    drawing = draw(curve)
    assert drawing.outside == 0.25
    assert len(drawing.outside_line) == 1
    assert len(points_of(drawing.outside_line[0])) == 3  # the point and its neighbours


def test_a_channel_without_a_golden_cycle_or_with_one_sample_is_drawn_all_the_same() -> None:
    drawing = draw(Curve(curve=[3.0]))
    assert drawing.band == ""
    assert len(points_of(drawing.line)) == 2
    assert draw_curves(Exhibit({"OP20": {"force": Curve(curve=[None, None])}}), NOTHING) == []


@given(
    st.lists(st.none() | st.floats(-1e12, 1e12), min_size=1, max_size=70),
    st.none() | st.floats(-1e12, 1e12),
    st.floats(0, 1e9),
)
def test_every_drawing_stays_in_its_frame(values: list[float | None], upper: float | None, spread: float) -> None:
    golden = [0.0 if value is None else value for value in values]
    curve = Curve(
        curve=values,
        golden_low=[value - spread for value in golden],
        golden_high=[value + spread for value in golden],
        upper=upper,
    )
    for drawing in draw_curves(Exhibit({"OP20": {"force": curve}}), NOTHING):
        for x, y in points_of(f"{drawing.line} {drawing.band}"):
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT
        limits = [limit.y for limit in (drawing.lower, drawing.upper) if limit is not None and limit.y is not None]
        assert all(0 <= y <= HEIGHT for y in limits)
        assert all(0 <= tick.at <= 100 for tick in (*drawing.ticks_x, *drawing.ticks_y))
        assert 1 <= len(drawing.ticks_y) <= TICKS_Y + 1
        assert math.isfinite(drawing.mean)


def test_axes_bear_round_numbers_where_they_belong() -> None:
    times = [0.25 * n for n in range(9)]
    drawing = draw(Curve(curve=[2.0 * t for t in times], t=times, unit="A", lower=-100.0, upper=3.0))
    assert [(tick.said, tick.at) for tick in drawing.ticks_x] == [
        ("0.0", 0), ("0.5", 25), ("1.0", 50), ("1.5", 75), ("2.0", 100)
    ]  # fmt: skip
    assert [tick.said for tick in drawing.ticks_y] == ["0", "1", "2", "3", "4"]
    assert [tick.at for tick in drawing.ticks_y] == sorted((tick.at for tick in drawing.ticks_y), reverse=True)
    assert drawing.upper is not None
    assert (drawing.upper.said, drawing.upper.y) == ("3", pytest.approx(HEIGHT * 0.29, abs=0.1))
    assert drawing.lower == Limit("-100", None), "a limit far off is told, not drawn"


def test_what_is_read_out_is_what_was_measured() -> None:
    curve = Curve(curve=[1.0, None, 3.14159], t=[0.0, 0.5, 1.0], golden_low=[0.0] * 3, golden_high=[2.0] * 3)
    assert draw(curve).readout == Readout("0 0.5 1", "1 - 3.142", "0 0 0", "2 2 2")


def test_causes_are_said_in_words() -> None:
    assert say_cause("tool_id=T_7") == "tool id T_7"
    assert say_cause("OP20.spindle_a & recipe=R2") == "OP20 · spindle a with recipe R2"
    assert say_cause("camera:top") == "what camera top saw"
    assert say_cause("unknown") == "nothing stands out"


def test_missing_late_and_unfit_evidence_is_said_in_sentences() -> None:
    summary = EvidenceSummary(
        complete=False, present=[], missing=["camera:top"], late=["sensors:OP20"], unfit=["camera:side"],
        clock={"camera:top": 1500.0},
    )  # fmt: skip
    assert say_evidence(make_verdict(evidence=summary)) == [
        "Nothing from camera top by the deadline.",
        "Camera side came, but cannot be trusted.",
        "Sensors of OP20 came late.",
        "The clock of camera top was 1.50 s behind; corrected.",
    ]


def test_small_risks_keep_a_digit() -> None:
    shown = [say_percent(share) for share in (None, 0.0, 0.0004, 0.0042, 0.0312, 0.996)]
    assert shown == ["–", "< 0.1 %", "< 0.1 %", "0.4 %", "3 %", "100 %"]


def test_a_page_escapes_what_others_wrote() -> None:
    advice = Advice("<script>alert(1)</script>", "<script>alert(2)</script>")
    page = render("error.html", layout="bare.html", advice=advice, status=404)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
