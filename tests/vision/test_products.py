"""A product has an eye of its own where, and only where, that is measurably better; a frame finds the right one."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.open import open_model
from models.places import live_names, model_folder
from vision.eye.notes import eye_name, eye_of, products_of
from vision.inspect import Eyes
from vision.train import TrainedEyes, train_eyes
from vision.training.folds import TrainingFrame
from vision.training.products import Looked, ProductDecision, compare, products_named

Draw = Callable[[int], Any]
ROWS, COLUMNS = 96, 128
LOTS = 6
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


def flat(seed: int, scratch: bool = False) -> Any:
    """Bright and even: a scratch of three grey levels is a defect."""
    rng = np.random.default_rng(seed)
    picture = 200 * rng.uniform(0.98, 1.02) + rng.normal(0, 1.5, (ROWS, COLUMNS))
    if scratch:
        cv2.line(picture, (30, 40), (80, 60), float(picture.mean()) - 3, 2)
    return np.clip(picture, 0, 255).astype(np.uint8)


def rough(seed: int) -> Any:
    """Dark and grained: three grey levels are nothing."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (ROWS, COLUMNS)), (0, 0), 1.2)
    return np.clip(80 * rng.uniform(0.95, 1.05) + 60 * grain, 0, 255).astype(np.uint8)


def frames_of(drawing: Any, count: int, **draws: Draw) -> list[TrainingFrame]:
    """So many good frames of each product in turn, in lots of one product each."""
    made = []
    for place, (product, draw) in enumerate(draws.items()):
        for i in range(count):
            number = i * len(draws) + place
            one = drawing.training_frame(number, lambda d=draw, n=number: drawing.encode(d(n)), True)
            lot = f"{product}{i * LOTS // count}"
            made.append(dataclasses.replace(one, batch_id=lot, product=product, named_product=product))
    return made


class Trained(NamedTuple):
    shelf: Path
    frames: list[TrainingFrame]
    eyes: TrainedEyes
    said: list[str]


def trained(shelf: Path, frames: list[TrainingFrame]) -> Trained:
    said: list[str] = []
    return Trained(shelf, frames, train_eyes(frames, shelf, said.append), said)


@pytest.fixture(scope="module")
def unlike(tmp_path_factory: pytest.TempPathFactory, drawing: Any) -> Trained:
    return trained(tmp_path_factory.mktemp("unlike"), frames_of(drawing, 54, flat=flat, rough=rough))


def look(eyes: Eyes, drawing: Any, picture: Any, product: str) -> Any:
    frame = dataclasses.replace(drawing.frame(drawing.encode(picture)), product=product)
    return eyes.inspect(frame, frame.captured_at).findings


def test_a_product_whose_defects_lie_within_the_variety_of_another_gets_its_own_eye_and_it_is_said_why(
    unlike: Trained,
) -> None:
    assert "top@flat" in unlike.eyes.manifests
    why = next(line for line in unlike.said if "product flat: an eye of its own" in line)
    for eye in ("top", "top@flat"):
        manifest = unlike.eyes.manifests[eye]
        assert manifest.notes["promised"] <= 0.02
        card = (model_folder(unlike.shelf, manifest.name) / "1" / "card.md").read_text()
        assert why.removeprefix("camera top: p") in card
    assert "# Eye of camera top, product flat" in card


def test_its_own_eye_finds_no_less_than_the_shared_one(unlike: Trained, drawing: Any) -> None:
    eyes = Eyes.open(unlike.shelf, ["top"])

    def found(product: str) -> float:
        seen = [look(eyes, drawing, flat(seed, scratch=True), product) for seed in range(9000, 9030)]
        return float(np.mean([one.score > one.threshold for one in seen]))

    own, shared = found("flat"), found("")
    assert own >= shared, (own, shared)


def test_a_frame_is_seen_by_its_products_eye_and_by_the_shared_one_where_there_is_none(
    unlike: Trained, drawing: Any
) -> None:
    eyes = Eyes.open(unlike.shelf, ["top", "side"])
    assert eyes.refused.keys() == {"side"}
    seen = {product: look(eyes, drawing, flat(7), product) for product in ("flat", "rough", "nobody's", "")}
    assert {product: one.model.name for product, one in seen.items()} == {
        "flat": "vision-top@flat", "rough": own_or_shared(unlike, "rough"), "nobody's": "vision-top", "": "vision-top",
    }  # fmt: skip
    assert all(one.product == product for product, one in seen.items())


def own_or_shared(trained: Trained, product: str) -> str:
    return eye_name("top", product if eye_of("top", product) in trained.eyes.manifests else "")


def test_what_a_frame_does_not_say_is_counted_only_where_it_matters(unlike: Trained, drawing: Any) -> None:
    frame = drawing.frame(b"")
    assert Eyes.open(unlike.shelf, ["top"]).misses_product(frame)
    assert not Eyes.open(unlike.shelf, ["top"]).misses_product(dataclasses.replace(frame, product="rough"))
    assert not Eyes.open(unlike.shelf, ["side"]).misses_product(frame)


def test_out_of_fold_findings_are_by_the_eye_that_will_serve_such_a_frame(unlike: Trained) -> None:
    for frame in unlike.frames:
        findings = unlike.eyes.findings[frame.frame_id]
        eye = unlike.eyes.manifests.get(eye_of("top", frame.named_product)) or unlike.eyes.manifests["top"]
        assert findings.threshold == round(eye.threshold or 0.0, 4)
        assert findings.product == frame.named_product


def test_a_products_eye_that_does_not_open_is_not_ready_and_nobody_looks_in_its_stead(
    unlike: Trained, drawing: Any, tmp_path: Path
) -> None:
    shelf = tmp_path / "shelf"
    shutil.copytree(unlike.shelf, shelf)
    graph = model_folder(shelf, "vision-top@flat") / "1" / "eye.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    eyes = Eyes.open(shelf, ["top"])
    assert "sha256 differs" in eyes.refused["top@flat"]
    assert look(eyes, drawing, flat(7), "flat").fitness.problems == ["model_not_ready"]
    assert look(eyes, drawing, flat(7), "").score is not None


def test_training_again_gives_the_same_eyes(unlike: Trained, tmp_path: Path) -> None:
    again = train_eyes(list(reversed(unlike.frames)), tmp_path, lambda _: None)
    assert (again.manifests, again.findings) == (unlike.eyes.manifests, unlike.eyes.findings)


def test_products_that_look_alike_share_one_eye_and_one_of_an_earlier_training_is_retired(
    drawing: Any, unlike: Trained, tmp_path: Path
) -> None:
    shelf = tmp_path / "shelf"
    shutil.copytree(unlike.shelf, shelf)
    alike = trained(shelf, frames_of(drawing, 54, flat=rough, rough=rough))
    assert list(alike.eyes.manifests) == ["top"]
    assert sum(": the shared eye: " in line for line in alike.said) == 2
    assert live_names(shelf) == ["vision-top"]
    assert open_model(shelf, "vision-top@flat", "1").manifest == unlike.eyes.manifests["top@flat"]


def test_frames_too_few_to_keep_a_promise_decide_nothing(drawing: Any, tmp_path: Path) -> None:
    few = trained(tmp_path, frames_of(drawing, 32, flat=flat, rough=rough))
    assert list(few.eyes.manifests) == ["top"]
    assert any("32 good frames promise no less than 3.0% false alarms, 49 are needed" in line for line in few.said)


def test_only_what_frames_say_themselves_counts_and_there_must_be_a_choice(drawing: Any) -> None:
    frames = frames_of(drawing, 30, a=flat, b=flat, c=flat)
    assert list(products_named(frames, [True] * 90)) == ["a", "b", "c"]
    assert list(products_named(frames[:89], [True] * 89)) == ["a", "b"]
    assert products_named(frames[:59], [True] * 59) == {}
    unnamed = [dataclasses.replace(frame, named_product="") for frame in frames]
    assert products_named(unnamed, [True] * 90) == {}
    assert products_named(frames, [False] * 90) == {}


def looked(good: Any, painted: Any) -> Looked:
    return Looked(np.asarray(good, float), np.asarray(painted, float), float("-inf"))


def decided(common: Looked, alone: Looked, groups: Any) -> ProductDecision:
    return compare("x", common, alone, np.asarray(groups))


def test_a_gain_that_one_lot_alone_makes_is_luck() -> None:
    rng = np.random.default_rng(1)
    good, groups = rng.normal(0, 1, 120), np.repeat(np.arange(6), 20)
    painted = good + 1
    lucky, better = painted.copy(), painted + 3
    lucky[groups == 2] += 9
    assert not decided(looked(good, painted), looked(good, lucky), groups).own
    assert decided(looked(good, painted), looked(good, better), groups).own
    assert not decided(looked(good, better), looked(good, painted), groups).own


@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_an_eye_is_never_better_than_itself(seed: int, lots: int) -> None:
    rng = np.random.default_rng(seed)
    same = looked(rng.normal(0, 1, 60), np.where(rng.random(60) < 0.2, np.nan, rng.normal(1, 1, 60)))
    assert not decided(same, same, rng.integers(0, lots, 60)).own


@given(names, names, names, names)
def test_no_two_eyes_have_one_name(camera: str, product: str, other: str, others: str) -> None:
    for left, right in (
        ((camera, product), (other, others)),
        ((camera, product), (other, "")),
        ((camera, ""), (other, "")),
    ):
        assert (eye_name(*left) == eye_name(*right)) == (left == right)
    assert eye_name(f"{camera}@{product}") != eye_name(camera, product)


@given(st.sets(names, max_size=4), st.just("top") | names)
def test_the_products_of_a_camera_are_found_on_the_shelf_whatever_they_are_called(
    tmp_path_factory: pytest.TempPathFactory, products: set[str], camera: str
) -> None:
    shelf = tmp_path_factory.mktemp("shelf")
    for product in products:
        assume(len(quote(eye_name(camera, product))) < 180)  # longer ones are refused as names of folders
    assume(len(quote(eye_name(f"{camera}@x"))) < 180)
    for name in (*(eye_name(camera, product) for product in products), eye_name(camera), eye_name(f"{camera}@x")):
        folder = model_folder(shelf, name)
        folder.mkdir()
        (folder / "live").write_text("1\n")
    assert products_of(shelf, camera) == sorted(products)
