from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from ingest.errors import BadRecord
from ingest.messages import Box, Findings, Instant
from models.open import open_model
from vision.closer import CloserLook, look_closer
from vision.eye.notes import EYE_FILE, open_eye
from vision.image import decode
from vision.inspect import Eyes, Sight, eye_feed, see
from vision.patches import NEAREST_FILE, PATCH, PATCHES_FILE, PLACES_FILE, PatchNotes, compare

NOW = Instant(1_700_000_100_000)


@pytest.fixture(scope="module")
def eyes(plates: Any) -> Eyes:
    return Eyes.open(plates.shelf, ["top"])


@pytest.fixture(scope="module")
def scratched(eyes: Eyes, drawing: Any) -> CloserLook:
    return look_closer(eyes, drawing.frame(drawing.encode(drawing.draw(601, True))), NOW)


def unpacked(plates: Any) -> tuple[PatchNotes, np.ndarray]:
    model = open_model(plates.shelf, "vision-top")
    sheet = cv2.imdecode(np.frombuffer(model.read(PATCHES_FILE), np.uint8), 1)
    return msgspec.json.decode(model.read(PLACES_FILE), type=PatchNotes), np.asarray(sheet)


def test_each_memory_point_is_shown_by_a_patch_of_a_good_frame_cut_where_it_says(plates: Any) -> None:
    notes, sheet = unpacked(plates)
    opened = open_eye(plates.shelf, "top")
    bodies = {frame.part_id: frame for frame in plates.frames}
    known = [(number, place) for number, place in enumerate(notes.places) if place is not None]
    assert len(known) > len(notes.places) / 2
    for number, place in known[:20]:
        frame = bodies[place.part_id]
        assert frame.good
        assert frame.frame_id == place.frame_id
        grey = eye_feed(decode(frame.load(), 10**6), *opened).frame.astype(np.uint8)  # maybe laid straight
        top, left = min(max(place.y - 16, 0), 96 - PATCH), min(max(place.x - 16, 0), 128 - PATCH)
        row, column = divmod(number, 16)
        kept = sheet[row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH]
        assert (kept == grey[top : top + PATCH, left : left + PATCH, None]).all()


def test_an_odd_place_is_shown_beside_the_nearest_good_patches_in_their_order(scratched: CloserLook) -> None:
    assert len(scratched.compared) == len(scratched.findings.boxes) > 0
    strongest = scratched.compared[0]
    assert strongest.box == scratched.findings.boxes[0]
    assert strongest.odd.shape == (PATCH, PATCH, 3)
    assert strongest.odd.min() < 60  # the scratch itself
    times = [good.times for good in strongest.good]
    assert len(times) == 3
    assert times == sorted(times)
    assert times[0] > 2  # far from everything good


def test_what_a_good_frame_shows_is_as_near_to_good_as_is_usual(plates: Any, drawing: Any) -> None:
    model, notes = open_eye(plates.shelf, "top")
    picture = decode(drawing.encode(drawing.draw(900)), 10**6)
    feed = eye_feed(picture, model, notes)
    sight = see(picture, feed, model.run(EYE_FILE, feed.inputs))
    box = Box(x=0, y=0, width=16, height=16, score=1.0)
    assert compare(model, picture, feed, sight, [box])[0].good[0].times < 2.5


def test_the_graph_of_patches_is_not_on_the_road(plates: Any) -> None:
    model = open_model(plates.shelf, "vision-top")
    assert NEAREST_FILE in model.manifest.files
    outputs = [tensor.name for tensor in model.manifest.files[EYE_FILE].outputs]
    assert "point" not in outputs


def test_a_closer_look_finds_what_the_road_finds_and_draws_it(scratched: CloserLook, eyes: Eyes, drawing: Any) -> None:
    frame = drawing.frame(drawing.encode(drawing.draw(601, True)))
    assert scratched.findings == eyes.inspect(frame, NOW).findings
    assert look_closer(eyes, frame, NOW) == scratched
    assert decode(scratched.png, 10**7).width >= 512


def test_a_closer_look_at_what_is_no_image_says_why(eyes: Eyes, drawing: Any) -> None:
    with pytest.raises(BadRecord, match="image_unknown_format"):
        look_closer(eyes, drawing.frame(b"no picture"), NOW)


def test_a_closer_look_without_an_eye_says_that_there_is_none(drawing: Any, tmp_path: Path) -> None:
    seen = look_closer(Eyes.open(tmp_path, ["top"]), drawing.frame(drawing.encode(drawing.draw(1))), NOW)
    assert seen.findings.fitness.problems == ["model_not_ready"]
    assert not seen.compared


def test_findings_say_what_their_score_is_made_of(scratched: CloserLook, eyes: Eyes, drawing: Any) -> None:
    findings: Findings = scratched.findings
    assert set(findings.scores) == {"fine", "long", "painted", "whole"}
    assert findings.score == pytest.approx(np.mean(list(findings.scores.values())), abs=0.01)
    good = [eyes.inspect(drawing.frame(drawing.encode(drawing.draw(s))), NOW).findings for s in range(700, 720)]
    for name in ("fine", "painted"):
        assert findings.scores[name] > max(one.scores[name] for one in good)


def test_an_eye_without_patches_compares_with_nothing(plates: Any, drawing: Any) -> None:
    model, notes = open_eye(plates.shelf, "top")
    files = {name: file for name, file in model.manifest.files.items() if name != NEAREST_FILE}
    bare = type(model)(msgspec.structs.replace(model.manifest, files=files), model.model_name, {}, {})
    picture = decode(drawing.encode(drawing.draw(1)), 10**6)
    feed = eye_feed(picture, model, notes)
    sight: Sight = see(picture, feed, model.run(EYE_FILE, feed.inputs))
    assert compare(bare, picture, feed, sight, [Box(x=0, y=0, width=4, height=4, score=1.0)]) == []
