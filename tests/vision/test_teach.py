"""Marks make an eye better: ten strokes on a faint line that the good-only eye hardly sees."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from ingest.messages import Findings, Mark, MarkBox, Stroke
from vision.inspect import Eyes
from vision.train import train_eyes

pytestmark = pytest.mark.slow
LINE = [[60.0, 50.0], [90.0, 60.0]]


def faint(drawing: Any, seed: int) -> np.ndarray:
    """A line as in the other tests, of which only a little is left: within the grain's own range."""
    plain, marked = (drawing.draw(seed, scratch).astype(float) for scratch in (False, True))
    return np.clip(plain + 0.05 * (marked - plain), 0, 255).astype(np.uint8)


def marked_frames(drawing: Any, number: int, kind: str = "scratch") -> list[Any]:
    mark = Mark(camera_id="top", frame_id="", kind=kind, stroke=Stroke(points=LINE, width_px=5.0))
    frames = []
    for n in range(number):
        frame = drawing.training_frame(500 + n, lambda n=n: drawing.encode(faint(drawing, 5000 + n)), False)
        frames.append(dataclasses.replace(frame, marks=(mark,)))
    return frames


class Seen(NamedTuple):
    said: list[str]
    faint: list[Findings]
    good: list[Findings]
    bold: list[Findings]
    card: str


def train(drawing: Any, shelf: Path, frames: list[Any]) -> Seen:
    said: list[str] = []
    train_eyes(frames, shelf, said.append)
    eyes = Eyes.open(shelf, ["top"])

    def look(pixels: np.ndarray) -> Findings:
        return eyes.inspect(drawing.frame(drawing.encode(pixels)), frames[0].captured_at).findings

    return Seen(
        said,
        [look(faint(drawing, 7000 + n)) for n in range(40)],
        [look(drawing.draw(8000 + n)) for n in range(60)],
        [look(drawing.draw(9000 + n, True)) for n in range(10)],
        (shelf / "vision-top" / "1" / "card.md").read_text(),
    )


def found(findings: list[Findings]) -> float:
    return float(np.mean([f.score is not None and f.threshold is not None and f.score > f.threshold for f in findings]))


@pytest.fixture(scope="module")
def before_and_after(drawing: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Seen, Seen]:
    good = drawing.plate_frames(good=80, bad=0)
    marked = marked_frames(drawing, 12)
    plain = [dataclasses.replace(frame, marks=()) for frame in marked]
    before = train(drawing, tmp_path_factory.mktemp("before"), good + plain)
    return before, train(drawing, tmp_path_factory.mktemp("after"), good + marked)


def test_more_of_the_marked_kind_is_found_at_no_more_false_alarms(before_and_after: tuple[Seen, Seen]) -> None:
    before, after = before_and_after
    assert any("marks" in line and "count in the score" in line for line in after.said)
    assert found(after.faint) >= found(before.faint) + 0.15
    assert found(after.good) <= 0.06
    assert "Taught by marks (scratch on 12 frames)" in after.card


def test_the_findings_name_the_kind_where_it_lies_and_other_defects_are_as_visible_as_before(
    before_and_after: tuple[Seen, Seen],
) -> None:
    before, after = before_and_after
    flagged = [f for f in after.faint if f.score is not None and f.threshold is not None and f.score > f.threshold]
    named = [[box for box in f.boxes if box.kind == "scratch"] for f in flagged]
    assert np.mean([bool(boxes) for boxes in named]) >= 0.8
    for boxes in named:
        for box in boxes[:1]:
            assert box.x < 95
            assert box.x + box.width > 55
    assert found(after.bold) == found(before.bold) == 1.0
    assert all(box.kind == "" for f in before.faint for box in f.boxes)


def test_marks_on_too_few_frames_or_on_the_wrong_places_teach_nothing(drawing: Any, tmp_path: Path) -> None:
    good = drawing.plate_frames(good=40, bad=0)
    few = train(drawing, tmp_path / "few", good + marked_frames(drawing, 9))
    assert "Taught" not in few.card
    elsewhere = Mark(camera_id="top", frame_id="", kind="dust", box=MarkBox(x=2, y=2, width=12, height=12))
    wrong = [dataclasses.replace(frame, marks=(elsewhere,)) for frame in marked_frames(drawing, 12)]
    nowhere = train(drawing, tmp_path / "wrong", good + wrong)
    assert found(nowhere.good) <= 0.1
