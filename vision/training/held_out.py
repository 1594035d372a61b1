"""Learning an eye and, beside it, one eye per fold that has not seen the fold: memory, then normalisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from models.open import Graph
from vision.eye.choose import Choice, choose_centring
from vision.eye.detail import detail_graph, detail_map
from vision.eye.graph import (
    BACKBONE_SCORER,
    DETAIL_SCORER,
    EYE_OUTPUTS,
    FINE_SCORER,
    LONG_SCORER,
    NET_SCORER,
    PAINTED_SCORER,
    Memory,
    Scales,
    TaughtPart,
    eye_graph,
    raw_graph,
)
from vision.eye.heads import Head, KnnHead
from vision.eye.looks import Optics
from vision.eye.normalise import MapStatistics, Normaliser
from vision.eye.painted import fit_layers
from vision.eye.posing import Posing
from vision.eye.summary import WholeFrame
from vision.feed import Feed
from vision.image import Grey, Picture
from vision.inspect import Sight, see
from vision.network.model import NetHead, Nets
from vision.network.rule import NetDecision
from vision.teach import Taught, learn_marks
from vision.training.folds import GOOD_FRAMES_MIN, TrainingFrame, draw_evenly
from vision.training.pictures import TrainingPictures
from vision.training.samples import Samples, classes_of, draw_samples

_MEMORY_FRAMES_MAX = 640  # good frames an eye learns from; a fold's eye has three quarters of them
_NORMAL_FRAMES_MAX = 240  # held-out good frames the normalisation is learned from
_JUDGED_PAINTED_MAX = 120  # painted held-out frames that choose how to normalise
_PROGRESS_FRAMES = 500  # a few seconds
_SEED = 0  # the same frames always give the same eye


@dataclass(frozen=True, slots=True)
class Normalising:
    """How the map of one scorer is normalised, and what decided it."""

    statistics: MapStatistics = field(repr=False)
    choice: Choice
    median_ratio: float
    place_ratio: float

    def normaliser(self, without_fold: int | None = None) -> Normaliser:
        return self.statistics.normaliser(self.choice.centring, without_fold)


@dataclass(frozen=True, slots=True)
class HeldOutEyes:
    """`final`: learned from all folds. The eye of a fold has not learned from it."""

    final: Memory
    normalising: Mapping[str, Normalising]
    memory_frames: int
    normal_frames: int
    painted_frames: int
    folds: int
    taught: Taught | None
    posing: Posing | None
    _fold_eyes: Sequence[Graph] = field(repr=False)
    _detail: DetailEyes | None = field(repr=False)
    net: NetDecision | None = None

    def normalisers(self) -> dict[str, Normaliser]:
        return {name: one.normaliser() for name, one in self.normalising.items()}

    def look(
        self,
        frames: Sequence[TrainingFrame],
        folds: Sequence[int],
        pictures: TrainingPictures,
        progress: Callable[[str], None],
    ) -> dict[int, Sight]:
        """index -> what the eye of its fold says, `score` not yet known. Unreadable frames have none."""
        sights: dict[int, Sight] = {}
        for index, frame in enumerate(frames):
            if index and index % _PROGRESS_FRAMES == 0:
                progress(f"camera {frame.camera_id}: {index} of {len(frames)} frames looked at out of fold")
            if (loaded := pictures.load(frame)) is not None:
                sights[index] = self.see(index, folds[index], *loaded)
        return sights

    def see(self, index: int, fold: int, picture: Picture, feed: Feed) -> Sight:
        """What the eye that has not seen `fold` says of frame `index`; the feed may have been painted on since."""
        feed = self.fed(index, fold, picture, feed)
        return see(picture, feed, self._fold_eyes[fold].run(feed.inputs))

    def fed(self, index: int, fold: int, picture: Picture, feed: Feed) -> Feed:
        """All that the eye that has not seen `fold` takes of frame `index`."""
        return feed if self._detail is None else replace(feed, detail=self._detail.look(index, fold, picture))

    def tops(self, fold: int, feed: Feed) -> npt.NDArray[np.float32]:
        """What its score is made of, float32[scorers + 1]."""
        return self._fold_eyes[fold].run(feed.inputs)[EYE_OUTPUTS.index("tops")]


def learn_held_out(
    frames: Sequence[TrainingFrame],
    good: Sequence[bool],
    folds: Sequence[int],
    number: int,
    pictures: TrainingPictures,
    nets: Nets | None = None,
) -> HeldOutEyes | None:
    """None when fewer than GOOD_FRAMES_MIN good frames can be read. nets: where a network is one of the scorers."""
    candidates = [index for index, is_good in enumerate(good) if is_good]
    drawn = draw_evenly(frames, candidates, _MEMORY_FRAMES_MAX)
    samples = draw_samples(frames, drawn, folds, pictures, _SEED)
    if samples is None or len(samples.good) < GOOD_FRAMES_MIN or not _enough(samples, number):
        return None
    final = _memorise(samples, pictures, None, nets)
    memories = [_memorise(samples, pictures, fold, nets) for fold in range(number)]
    raw = [Graph.open(raw_graph(memory)) for memory in memories]
    normal = draw_evenly(frames, candidates, _NORMAL_FRAMES_MAX)
    detail = DetailEyes.of(memories) if pictures.optics.detail else None
    good_maps = []
    for index in normal:
        if (loaded := pictures.load(frames[index])) is not None:
            maps = raw[folds[index]].run_named(loaded[1].inputs)
            if detail is not None:
                maps[DETAIL_SCORER] = detail.look(index, folds[index], loaded[0])
            good_maps.append((folds[index], maps))
    painted = samples.painted[:: -(-len(samples.painted) // _JUDGED_PAINTED_MAX)]
    painted_maps = [(sample.fold, raw[sample.fold].run_named(sample.feed.inputs)) for sample in painted]
    normalising = {name: _normalising(name, number, good_maps, painted_maps) for name in final.scorers}
    unit = Scales(np.zeros(len(final.scorers) + 1, np.float32), np.ones(len(final.scorers) + 1, np.float32))
    taught = learn_marks(frames, folds, number, samples, pictures)
    fold_eyes = []
    for fold, memory in enumerate(memories):
        part = TaughtPart(taught.fold_heads[fold], 0.0, 1.0) if taught is not None else None
        normalisers = {name: one.normaliser(fold) for name, one in normalising.items()}
        fold_eyes.append(Graph.open(eye_graph(memory, normalisers, unit, part)))
    counts = (len(samples.good), len(good_maps), len(samples.painted), number)
    return HeldOutEyes(final, normalising, *counts, taught, pictures.posing, fold_eyes, detail)


@dataclass(frozen=True, slots=True)
class DetailEyes:
    """The tile graphs of the folds' eyes. A large frame takes them long, so each is looked at once."""

    _optics: Optics
    _graphs: Sequence[Graph]
    _seen: dict[int, Grey] = field(default_factory=dict)

    @classmethod
    def of(cls, memories: Sequence[Memory]) -> DetailEyes:
        graphs = [Graph.open(detail_graph(memory.optics, memory.heads[DETAIL_SCORER])) for memory in memories]
        return cls(memories[0].optics, graphs)

    def look(self, index: int, fold: int, picture: Picture) -> Grey:
        """Of frame `index` the map by the eye that has not seen its fold."""
        if index not in self._seen:
            self._seen[index] = detail_map(picture, self._optics, self._graphs[fold].run)
        return self._seen[index]


FoldMaps = Sequence[tuple[int, Mapping[str, np.ndarray]]]


def _normalising(name: str, folds: int, good_maps: FoldMaps, painted_maps: FoldMaps) -> Normalising:
    statistics = MapStatistics(folds, knows_place=name == PAINTED_SCORER)
    for fold, maps in good_maps:
        statistics.add(fold, maps[name].astype(np.float64))
    good = [(fold, maps[name].astype(np.float64)) for fold, maps in good_maps]
    # Paint at working size says nothing of what is only seen from close by.
    painted = [(fold, maps[name].astype(np.float64)) for fold, maps in painted_maps if name in maps]
    choice = choose_centring(statistics, good, painted)
    return Normalising(statistics, choice, statistics.median_ratio(), statistics.place_ratio(choice.centring))


def _enough(samples: Samples, folds: int) -> bool:
    return all(sum(sample.fold != fold for sample in samples.good) >= 2 for fold in range(folds))


def _memorise(samples: Samples, pictures: TrainingPictures, without_fold: int | None, nets: Nets | None) -> Memory:
    rng = np.random.default_rng(_SEED)
    good = [sample for sample in samples.good if sample.fold != without_fold]
    painted = [sample for sample in samples.painted if sample.fold != without_fold]
    heads: dict[str, Head] = {
        name: KnnHead.fit(np.concatenate([sample.cells[name] for sample in good]), rng)
        for name in (FINE_SCORER, LONG_SCORER, *((BACKBONE_SCORER,) if samples.backbone is not None else ()))
    }
    heads[PAINTED_SCORER] = fit_layers(*classes_of(painted))
    if nets is not None:
        heads[NET_SCORER] = NetHead(nets.without(without_fold), (pictures.optics.rows, pictures.optics.columns))
    if pictures.optics.detail:
        heads[DETAIL_SCORER] = KnnHead.fit(np.concatenate([sample.cells[DETAIL_SCORER] for sample in good]), rng)
    whole = WholeFrame.fit(np.stack([sample.summary for sample in good]))
    return Memory(pictures.optics, samples.scale, heads, whole, samples.backbone)
