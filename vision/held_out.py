"""Learning an eye and, beside it, one eye per fold that has not seen the fold: memory, then normalisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.open import Graph
from vision.bank import VIEWS
from vision.eye_graph import INPUT, TOP_CELLS, Memory, Scale, eye_graph, feature_graph, raw_graph
from vision.fitness import measure
from vision.folds import GOOD_FRAMES_MIN, TrainingFrame, draw_evenly
from vision.glob import GlobHead
from vision.heads import Head, KnnHead
from vision.inspect import Sight
from vision.normalise import MapStatistics, Normaliser
from vision.training_pictures import TrainingPictures

_MEMORY_FRAMES_MAX = 280  # good frames the memories are drawn from; a fold's eye has three quarters of them
_NORMAL_FRAMES_MAX = 240  # held-out good frames the normalisation is learned from
_CELLS_PER_FRAME = 250  # of about 4000: neighbouring cells say the same
_PROGRESS_FRAMES = 500  # a few seconds
_UNIT = Scale(0.0, 1.0)
_SEED = 0  # the same frames always give the same eye

Cells = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _FrameSample:
    """Cells drawn from one good frame, by view, and its whole-frame statistics."""

    fold: int
    cells: Mapping[str, Cells]
    glob: Cells


@dataclass(frozen=True, slots=True)
class HeldOutEyes:
    """`final`: learned from all folds, with its normalisers. The eye of a fold has not learned from it."""

    final: Memory
    normalisers: Mapping[str, Normaliser]
    ratios: Mapping[str, tuple[float, float]]
    memory_frames: int
    normal_frames: int
    folds: int
    _fold_eyes: Sequence[Graph] = field(repr=False)

    def look(
        self,
        frames: Sequence[TrainingFrame],
        folds: Sequence[int],
        pictures: TrainingPictures,
        progress: Callable[[str], None],
    ) -> dict[int, Sight]:
        """index -> what the eye of its fold says; `score` is the mean of the map's top cells, not yet scaled.
        Unreadable frames have none."""
        sights: dict[int, Sight] = {}
        for index, frame in enumerate(frames):
            if index and index % _PROGRESS_FRAMES == 0:
                progress(f"camera {frame.camera_id}: {index} of {len(frames)} frames looked at out of fold")
            loaded = pictures.load(frame)
            if loaded is None:
                continue
            picture, working = loaded
            _, odd, unlike, typical = self._fold_eyes[folds[index]].run({INPUT: working})
            top = float(np.sort(odd, axis=None)[-TOP_CELLS:].mean())
            measures = measure(picture, working) | {"unlike": float(unlike), "typical": float(typical)}
            small = odd.astype(np.float16)  # kept for every frame until the box threshold is known
            sights[index] = Sight(picture.width, picture.height, picture.fingerprint, top, small, measures)
        return sights


def learn_held_out(
    frames: Sequence[TrainingFrame], good: Sequence[bool], folds: Sequence[int], number: int, pictures: TrainingPictures
) -> HeldOutEyes | None:
    """None when fewer than GOOD_FRAMES_MIN good frames can be read."""
    candidates = [index for index, is_good in enumerate(good) if is_good]
    drawn = draw_evenly(frames, candidates, _MEMORY_FRAMES_MAX)
    samples = _sample(frames, drawn, folds, pictures)
    if len(samples) < GOOD_FRAMES_MIN or any(
        sum(sample.fold != fold for sample in samples) < 2 for fold in range(number)
    ):
        return None
    final = _memorise(samples, pictures)
    memories = [_memorise([s for s in samples if s.fold != fold], pictures) for fold in range(number)]
    statistics = {view.name: MapStatistics(number) for view in VIEWS}
    raw = [Graph.open(raw_graph(memory)) for memory in memories]
    normal = draw_evenly(frames, candidates, _NORMAL_FRAMES_MAX)
    for index in normal:
        if (loaded := pictures.load(frames[index])) is not None:
            maps = raw[folds[index]].run({INPUT: loaded[1]})
            for view, of_view in zip(VIEWS, maps, strict=False):
                statistics[view.name].add(folds[index], of_view.astype(np.float64))
    fold_eyes = [
        Graph.open(eye_graph(memory, {n: s.normaliser(fold) for n, s in statistics.items()}, _UNIT, _UNIT))
        for fold, memory in enumerate(memories)
    ]
    normalisers = {name: s.normaliser() for name, s in statistics.items()}
    ratios = {
        name: (s.median_ratio(), s.place_ratio(normalisers[name].subtract_median)) for name, s in statistics.items()
    }
    return HeldOutEyes(final, normalisers, ratios, len(samples), len(normal), number, fold_eyes)


def _sample(
    frames: Sequence[TrainingFrame], drawn: Sequence[int], folds: Sequence[int], pictures: TrainingPictures
) -> list[_FrameSample]:
    graph = Graph.open(feature_graph(pictures.rows, pictures.columns))
    rng = np.random.default_rng(_SEED)
    samples = []
    for index in drawn:
        if (loaded := pictures.load(frames[index])) is None:
            continue
        *views, glob = graph.run({INPUT: loaded[1]})
        cells = {view.name: _draw_cells(features, rng) for view, features in zip(VIEWS, views, strict=True)}
        samples.append(_FrameSample(folds[index], cells, glob))
    return samples


def _draw_cells(features: Cells, rng: np.random.Generator) -> Cells:
    """float32[cells, channels] drawn from float32[1, channels, h, w]."""
    flat = features.reshape(features.shape[1], -1)
    chosen = rng.choice(flat.shape[1], min(flat.shape[1], _CELLS_PER_FRAME), replace=False)
    return np.ascontiguousarray(flat[:, chosen].T)


def _memorise(samples: Sequence[_FrameSample], pictures: TrainingPictures) -> Memory:
    rng = np.random.default_rng(_SEED)
    heads: dict[str, Head] = {
        view.name: KnnHead.fit(np.concatenate([sample.cells[view.name] for sample in samples]), rng) for view in VIEWS
    }
    return Memory(pictures.rows, pictures.columns, heads, GlobHead.fit(np.stack([sample.glob for sample in samples])))
