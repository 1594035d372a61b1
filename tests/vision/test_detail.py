"""Large frames: looked at in tiles, so that a defect of eight pixels in 24 million is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ingest.errors import ModelRefused
from ingest.messages import Findings, Instant
from models.open import Graph
from models.places import version_folder
from models.shelf import save_model
from vision.eye.bank import CELL, fine_source
from vision.eye.detail import DETAIL_FILE, TILE_SIDE, TilePlan, detail_graph, detail_map
from vision.eye.export import GraphPen
from vision.eye.graph import DETAIL_SCORER, WHOLE, Scales
from vision.eye.heads import KnnHead
from vision.eye.looks import INPUT, Looks, Optics
from vision.eye.notes import EYE_FILE, open_eye
from vision.image import DETAIL_PIXELS, LARGE_PIXELS, Picture, decode, detail_scale, working_size
from vision.inspect import Eyes, eye_feed
from vision.train import train_eyes

NOW = Instant(1_700_000_100_000)
ROWS, COLUMNS = 4000, 6000
SPOT = 8  # pixels a side
GOOD = 24

sides = st.integers(9, 400).map(lambda n: 8 * n)


@given(sides, sides)
def test_tiles_lie_inside_are_all_of_one_size_and_answer_for_every_cell(rows: int, columns: int) -> None:
    plan = TilePlan(rows, columns)
    answered = np.zeros(plan.grid, np.int64)
    for tile in plan.tiles():
        for spot, side, most in zip(tile.pixels, plan.tile_shape, (rows, columns), strict=True):
            assert 0 <= spot.start < spot.stop <= most
            assert spot.stop - spot.start == side <= TILE_SIDE
            assert spot.start % CELL == 0
        for spot, cells, kept in zip(tile.pixels, tile.cells, tile.kept, strict=True):
            assert kept.stop - kept.start == cells.stop - cells.start > 0
            assert kept.start + spot.start // CELL == cells.start
        answered[tile.cells] += 1
    assert answered.min() >= 1


@given(st.integers(100, 12_000), st.integers(100, 12_000))
def test_detail_is_not_larger_than_the_frame_nor_than_what_is_decoded(width: int, height: int) -> None:
    rows, columns = working_size([(width, height)])
    scale = detail_scale([(width, height)], rows, columns)
    if width * height <= LARGE_PIXELS:
        assert scale == 0
    assert scale != 1
    assert scale**2 * rows * columns <= min(width * height, DETAIL_PIXELS) or scale == 0


def test_a_stitched_map_is_that_of_one_large_graph() -> None:
    optics, source = Optics(96, 136, colour=False, detail=6), fine_source(colour=False)
    rng = np.random.default_rng(0)
    grey = cv2.GaussianBlur(rng.normal(120, 60, optics.detail_shape).astype(np.float32), (0, 0), 1.2)
    whole = Looks(Optics(*optics.detail_shape, colour=False))
    whole.pen.output(whole.cells(source), "cells", (None, None))
    cells = Graph.open(whole.pen.finish("cells")).run({INPUT: grey})[0]
    head = KnnHead.fit(cells[::7], rng)
    white = head.whitening.apply(cells)
    squared = np.stack([((white - point) ** 2).sum(1) for point in head.memory]).min(0)
    blocks = (0.5 * np.log(squared + head.floor)).reshape(24, 6, 34, 6).max(axis=(1, 3))
    tiles = Graph.open(detail_graph(optics, head))
    stitched = detail_map(Picture(np.asarray(grey, np.float32), 816, 576, ""), optics, tiles.run)
    assert stitched.shape == optics.grid(source) == (24, 34)
    np.testing.assert_allclose(stitched, blocks, atol=1e-3)


def test_the_eye_of_small_frames_has_no_detail(plates: Any) -> None:
    model, notes = open_eye(plates.shelf, "top")
    assert notes.detail == 0
    assert DETAIL_FILE not in model.manifest.files
    assert DETAIL_SCORER not in notes.scorers


@given(hnp.arrays(np.float32, 5, elements=st.floats(-20, 20, width=32)), st.floats(0.125, 2, width=32))
def test_detail_counts_alone_where_a_mean_would_hide_it_and_the_graph_counts_so_too(
    tops: npt.NDArray[np.float32], unit: float
) -> None:
    scales = Scales(np.linspace(0, 1, 5, dtype=np.float32), np.linspace(0.5, 2, 5, dtype=np.float32), unit)
    pen = GraphPen()
    pen.output(scales.nodes(pen, pen.input("tops", (5,))), "score", ())
    score = float(Graph.open(pen.finish("score")).run({"tops": tops})[0])
    assert score == pytest.approx(scales.score(tops), abs=1e-4)
    scaled = (tops - scales.mean) / scales.spread
    assert score == pytest.approx(max(float(scaled.mean()), unit * float(scaled[3])), abs=1e-4)


def test_a_large_picture_is_decoded_at_the_same_scale_whatever_its_kind(drawing: Any) -> None:
    grey = cv2.resize(np.random.default_rng(0).uniform(20, 230, (60, 62)), (5001, 4803), interpolation=cv2.INTER_CUBIC)
    pixels = np.clip(grey, 0, 255).astype(np.uint8)
    jpeg, png, bmp = (decode(drawing.encode(pixels, kind), 30_000_000) for kind in (".jpg", ".png", ".bmp"))
    assert jpeg.grey.shape == png.grey.shape == (2402, 2501)
    assert (png.width, png.height) == (5001, 4803)
    assert png.fingerprint == bmp.fingerprint
    np.testing.assert_array_equal(png.grey, bmp.grey)
    assert np.abs(jpeg.grey[:-1, :-1] - png.grey[:-1, :-1]).max() < 8
    deep = decode(drawing.encode(pixels.astype(np.uint16) * 257, ".png"), 30_000_000)
    np.testing.assert_allclose(deep.grey, png.grey, atol=0.6)


class Castings(NamedTuple):
    """A camera of 24 megapixels over a rough surface with a hole, and its eye."""

    drawing: Any
    texture: npt.NDArray[np.float32]
    shelf: Path

    def body(self, seed: int, spot: tuple[int, int] | None = None, scale: float = 1.0) -> bytes:
        """spot: x, y of a dark square of SPOT x SPOT pixels."""
        rng = np.random.default_rng(seed)
        shifted = np.roll(self.texture, (int(rng.integers(ROWS)), int(rng.integers(COLUMNS))), (0, 1))
        grey: Any = 125 * rng.uniform(0.95, 1.05) + shifted * rng.uniform(0.9, 1.1)
        cv2.circle(grey, (1500 + int(rng.integers(-8, 9)), 2000 + int(rng.integers(-8, 9))), 500, 45, -1)
        if spot is not None:
            x, y = spot
            grey[y : y + SPOT, x : x + SPOT] = 25
        if scale != 1.0:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        body: bytes = self.drawing.encode(np.clip(grey, 0, 255).astype(np.uint8), ".jpg")
        return body

    def look(self, seed: int, spot: tuple[int, int] | None = None, scale: float = 1.0) -> Findings:
        frame = self.drawing.frame(self.body(seed, spot, scale))
        return Eyes.open(self.shelf, ["top"]).inspect(frame, NOW).findings


@pytest.fixture(scope="module")
def castings(tmp_path_factory: pytest.TempPathFactory, drawing: Any) -> Castings:
    noise = np.random.default_rng(0).normal(0, 1, (ROWS, COLUMNS)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), sigmaX=1.5, sigmaY=4)
    camera = Castings(drawing, 12 * texture / texture.std(), tmp_path_factory.mktemp("shelf"))
    bodies = [camera.body(seed) for seed in range(GOOD)]
    frames = [drawing.training_frame(n, lambda n=n: bodies[n], True) for n in range(GOOD)]
    assert not train_eyes(frames, camera.shelf, lambda _: None).skipped
    return camera


@pytest.mark.slow
def test_eight_pixels_in_24_million_are_found_and_boxed_where_they_are(castings: Castings) -> None:
    for seed in range(4):
        x, y = 2300 + 900 * seed, 3300 - 700 * seed
        findings = castings.look(900 + seed, (x, y))
        assert findings.score is not None
        assert findings.score > (findings.threshold or 0)
        assert any(b.x <= x + 4 <= b.x + b.width and b.y <= y + 4 <= b.y + b.height for b in findings.boxes)


@pytest.mark.slow
def test_an_eye_in_colour_looks_at_detail_too(tmp_path: Path, drawing: Any) -> None:
    def body(seed: int, spotted: bool = False) -> bytes:
        rng = np.random.default_rng(seed)
        grain = cv2.GaussianBlur(rng.normal(0, 30, (1000, 1400)), (0, 0), 1.2)[..., None]
        pixels = np.array([60.0, 110.0, 170.0]) * rng.uniform(0.95, 1.05) + grain
        if spotted:
            pixels[420:426, 900:906] = 20
        coloured: bytes = drawing.encode(np.clip(pixels, 0, 255).astype(np.uint8))
        return coloured

    bodies = [body(seed) for seed in range(12)]
    train_eyes([drawing.training_frame(n, lambda n=n: bodies[n], True) for n in range(12)], tmp_path, lambda _: None)
    notes = open_eye(tmp_path, "top")[1]
    assert notes.colour
    assert notes.detail == 4
    eyes = Eyes.open(tmp_path, ["top"])
    good, bad = (eyes.inspect(drawing.frame(body(900, spotted)), NOW).findings for spotted in (False, True))
    assert (good.score or 9) <= (good.threshold or 0) < (bad.score or 0)


@pytest.mark.slow
def test_at_working_size_alone_they_do_not_show(castings: Castings) -> None:
    model, notes = open_eye(castings.shelf, "top")
    tops = []
    for spot in (None, (4100, 1900)):
        picture = decode(castings.body(900, spot), 30_000_000)
        tops.append(model.run(EYE_FILE, eye_feed(picture, model, notes).inputs)[2])
    assert notes.scorers[-2:] == [DETAIL_SCORER, WHOLE]  # where the scales look for it
    gained = dict(zip(notes.scorers, tops[1] - tops[0], strict=True))
    assert gained.pop(DETAIL_SCORER) > 3
    assert all(abs(gain) < 0.1 for gain in gained.values())


@pytest.mark.slow
def test_good_large_frames_pass_and_one_of_another_size_is_looked_at_too(castings: Castings) -> None:
    findings = [castings.look(seed) for seed in range(700, 706)]
    assert sum((f.score or 9) > (f.threshold or 0) for f in findings) <= 1
    smaller = castings.look(700, scale=0.8)
    assert smaller.score is not None
    spotted = castings.look(700, (4100, 1900), scale=0.8)
    assert (spotted.score or 0) > smaller.score


@pytest.mark.slow
def test_the_same_large_frame_gives_the_same_findings(castings: Castings) -> None:
    assert castings.look(900, (4100, 1900)) == castings.look(900, (4100, 1900))


@pytest.mark.slow
def test_the_card_says_how_small_a_cell_is(castings: Castings) -> None:
    card = (version_folder(castings.shelf, "vision-top", "1") / "card.md").read_text("utf-8")
    assert "In tiles also at 2688 x 1792 pixels: a cell there is 9 pixels of the frame, at working size 71." in card


@pytest.mark.slow
def test_notes_that_promise_detail_without_its_graph_are_refused(castings: Castings, tmp_path: Path) -> None:
    model, _ = open_eye(castings.shelf, "top")
    said = model.manifest
    save_model(
        tmp_path, name=said.name, kind="vision", files={EYE_FILE: model.read(EYE_FILE)}, features=said.features,
        threshold=said.threshold, trained_on=said.trained_on, notes=said.notes, card="",
    )  # fmt: skip
    with pytest.raises(ModelRefused, match=DETAIL_FILE):
        open_eye(tmp_path, "top")
