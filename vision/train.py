"""Training the eyes: from a camera's good frames to a model on the shelf, in seconds and without a network.

Every frame is looked at by an eye whose memory and normalisation come from other lots; those out-of-fold scores are
what the threshold is cut from, and what the judge may learn from. The eye on the shelf has learned from all lots.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ingest.messages import Findings
from models.manifest import Manifest
from models.shelf import retire, save_model
from vision.eye.detail import DETAIL_FILE, detail_graph
from vision.eye.graph import DETAIL_SCORER, NET_SCORER, WHOLE, eye_graph
from vision.eye.notes import EYE_FILE, EyeNotes, eye_name, eye_of, products_of
from vision.eye.scales import SPREAD_MIN, fit_scales
from vision.fitness import learn_limits
from vision.guests.foreign_train import train_foreign
from vision.guests.plugins import ModelPlugin, read_plugin
from vision.inspect import Eyes, Sight, blank_findings, report
from vision.network.eyes import NET_FILE, card_line, try_network
from vision.network.model import NetHead
from vision.network.train import require_torch
from vision.patches import learn_patches
from vision.teach import Scoring, decide_scoring
from vision.training.card import card_of, trained_on
from vision.training.conformal import ConformalCut, conformal_cut
from vision.training.folds import GOOD_FRAMES_MIN, TrainingFrame, assign_folds, usable_as_good
from vision.training.held_out import HeldOutEyes, learn_held_out
from vision.training.options import EyeOptions
from vision.training.pictures import TrainingPictures, frame_of, load_body
from vision.training.products import ProductDecision, SharedEye, card_lines, decide_products
from vision.training.weak_spots import find_weak_spots, weak_lines

Progress = Callable[[str], None]

_BOX_ALPHA = 0.05  # one good frame in twenty may show a box: boxes say where to look, they decide nothing


@dataclass(frozen=True, slots=True)
class TrainedEyes:
    """`findings`: frame_id -> out-of-fold findings of every training frame, by the eye that will serve such a frame.
    `manifests`: by `notes.eye_of`. `skipped`: camera -> why it has no eye."""

    findings: Mapping[str, Findings]
    manifests: Mapping[str, Manifest]
    skipped: Mapping[str, str]


def train_eyes(
    frames: Sequence[TrainingFrame], shelf: Path, progress: Progress, options: EyeOptions | None = None
) -> TrainedEyes:
    """Train an eye for each camera among the frames, and for products that their own sees better; make them live.

    A camera with fewer than GOOD_FRAMES_MIN usable good frames gets none, and its findings say `model_not_ready`.
    Deterministic: equal frames give an equal model. Raises BadInput for a plug-in that does not fit or a network
    without torch, OSError of the shelf's disk.
    """
    options = options or EyeOptions()
    if options.net:
        require_torch()
    by_camera: dict[str, list[TrainingFrame]] = defaultdict(list)
    for frame in sorted(frames, key=lambda f: (f.captured_at, f.frame_id, f.part_id)):
        by_camera[frame.camera_id].append(frame)
    findings: dict[str, Findings] = {}
    manifests: dict[str, Manifest] = {}
    skipped: dict[str, str] = {}
    for camera, of_camera in sorted(by_camera.items()):
        trained = _train_camera(EyePlace(camera, "", shelf, progress, options), of_camera)
        if isinstance(trained, str):
            skipped[camera] = trained
            progress(f"camera {camera}: {trained}")
            findings |= _blind(of_camera, options.pixels_max)
        for eye in [] if isinstance(trained, str) else trained:
            manifests[eye_of(camera, eye.product)] = eye.manifest
            findings |= eye.findings
    return TrainedEyes(findings, manifests, skipped)


@dataclass(frozen=True, slots=True)
class EyePlace:
    """Whose eye is trained, and where it goes. `product`: "" for the eye that products share, else with its `why`."""

    camera: str
    product: str
    shelf: Path
    progress: Progress
    options: EyeOptions
    why: Sequence[ProductDecision] = ()

    @property
    def whose(self) -> str:
        return f"{self.camera}, product {self.product}" if self.product else self.camera

    def say(self, what: str) -> None:
        self.progress(f"camera {self.whose}: {what}")


@dataclass(frozen=True, slots=True)
class _Eye:
    """An eye that went live. `decisions`: of the shared eye, on the products it could hand over."""

    product: str
    manifest: Manifest
    findings: Mapping[str, Findings]
    decisions: Sequence[ProductDecision] = ()


def _train_camera(place: EyePlace, frames: Sequence[TrainingFrame]) -> list[_Eye] | str:
    """The eye that products share, then one for each product that is better seen by its own; their findings count."""
    good = usable_as_good(frames)
    shared = _train_eye(place, frames, good)
    if isinstance(shared, str):
        return shared
    eyes = [shared]
    for decision in shared.decisions:
        if decision.own:
            own = dataclasses.replace(place, product=decision.product, why=(decision,))
            which = [i for i, frame in enumerate(frames) if frame.named_product == decision.product]
            eye = _train_eye(own, [frames[i] for i in which], [good[i] for i in which])
            if isinstance(eye, str):
                own.say(f"{eye}; the shared eye serves it")
            else:
                eyes.append(eye)
    for product in set(products_of(place.shelf, place.camera)) - {eye.product for eye in eyes}:
        retire(place.shelf, eye_name(place.camera, product))  # of an earlier training: nothing now says it is better
    return eyes


def _train_eye(place: EyePlace, frames: Sequence[TrainingFrame], good: Sequence[bool]) -> _Eye | str:
    if sum(good) < GOOD_FRAMES_MIN:
        return f"no eye: {sum(good)} good frames, {GOOD_FRAMES_MIN} are needed"
    pictures = TrainingPictures.of(frames, good, place.options.pixels_max)
    if pictures is None:
        return "no eye: the good frames cannot be read"
    pictures = pictures.posed(frames, good, assign_folds(frames, good)[0])
    plugin = read_plugin(place.options.plugins, place.camera) if place.options.plugins is not None else None
    if isinstance(plugin, ModelPlugin):
        if place.options.net:
            place.say(f"{plugin.file} is a whole model of your own: --net does not apply")
        eye = train_foreign(place.camera, frames, good, plugin, pictures, place.shelf, place.progress)
        if eye is None:
            return f"no eye: fewer than {GOOD_FRAMES_MIN} good frames can be read"
        return _Eye(place.product, eye.manifest, _out_of_fold(frames, eye.sights, eye.notes))
    if plugin is not None:
        backbone = plugin.open(pictures.optics.rows, pictures.optics.columns)
        pictures = dataclasses.replace(pictures, backbone=backbone)
        place.say(f"{plugin.file} looks beside its own features")
    return _learn(place, frames, good, pictures)


def _learn(
    place: EyePlace, frames: Sequence[TrainingFrame], good: Sequence[bool], pictures: TrainingPictures
) -> _Eye | str:
    folds, number = assign_folds(frames, good)
    size = f"{pictures.optics.columns} x {pictures.optics.rows} pixels"
    place.say(f"learning from {sum(good)} good frames at {size}")
    held_out = learn_held_out(frames, good, folds, number, pictures)
    if held_out is None:
        return f"no eye: fewer than {GOOD_FRAMES_MIN} good frames can be read"
    if place.options.net:
        held_out = try_network(held_out, frames, good, folds, pictures, place.say)
    sights = held_out.look(frames, folds, pictures, place.progress)
    decisions = place.why
    if not place.product:
        of_good = {i: sights[i].tops for i, is_good in enumerate(good) if is_good and i in sights}
        decisions = decide_products(frames, good, SharedEye.of(held_out, folds, of_good), pictures)
        for decision in decisions:
            place.say(decision.sentence)
    patches = learn_patches(held_out.final, frames, good, pictures)
    return _finish(place, frames, good, pictures, sights, held_out, decisions, patches)


def _finish(
    place: EyePlace,
    frames: Sequence[TrainingFrame],
    good: Sequence[bool],
    pictures: TrainingPictures,
    sights: Mapping[int, Sight],
    held_out: HeldOutEyes,
    decisions: Sequence[ProductDecision],
    patches: dict[str, bytes],
) -> _Eye:
    of_good = [sights[i] for i in range(len(frames)) if good[i] and i in sights]
    scales = fit_scales([sight.tops for sight in of_good], held_out.final.optics.detail > 0)
    of_marked = [sights[i] for i, frame in enumerate(frames) if frame.marks and i in sights]
    scoring = decide_scoring(scales, held_out.taught, of_good, of_marked)
    if scoring.decision is not None:
        place.say(f"marks: {scoring.decision.sentence}")
    cut = conformal_cut([scoring.score(sight) for sight in of_good])
    notes = _notes(held_out, scoring, cut, of_good)
    weak = find_weak_spots(frames, good, pictures, held_out, sights, lambda sight: scoring.score(sight) > cut.threshold)
    about = trained_on([frame for frame, is_good in zip(frames, good, strict=True) if is_good])
    manifest = save_model(
        place.shelf,
        name=eye_name(place.camera, place.product),
        kind="vision",
        files=_files(held_out, eye_graph(held_out.final, held_out.normalisers(), scales, scoring.taught)) | patches,
        features=notes.scorers,
        threshold=cut.threshold,
        trained_on=about,
        notes=notes.to_json(),
        card=card_of(place.whose, about, notes, cut, held_out, scoring.decision, _columns(of_good))
        + weak_lines(weak)
        + card_line(held_out.net)
        + card_lines(decisions),
    )
    place.say(f"eye {manifest.version}, at most {cut.promised:.1%} of good frames flagged")
    scored = {index: dataclasses.replace(sight, score=scoring.score(sight)) for index, sight in sights.items()}
    return _Eye(place.product, manifest, _out_of_fold(frames, scored, notes), decisions)


def _files(held_out: HeldOutEyes, eye: bytes) -> dict[str, bytes]:
    final, files = held_out.final, {EYE_FILE: eye}
    if final.optics.detail:
        files[DETAIL_FILE] = detail_graph(final.optics, final.heads[DETAIL_SCORER])
    if isinstance(net := final.heads.get(NET_SCORER), NetHead):
        files[NET_FILE] = net.trained.to_bytes()
    return files


def _columns(of_good: Sequence[Sight]) -> int:
    return int(np.median([sight.width for sight in of_good]))


def _notes(held_out: HeldOutEyes, scoring: Scoring, cut: ConformalCut, of_good: Sequence[Sight]) -> EyeNotes:
    optics = held_out.final.optics
    box_cut = conformal_cut([float(sight.odd.max()) for sight in of_good], _BOX_ALPHA).threshold
    taught = held_out.taught if scoring.taught is not None else None
    return EyeNotes(
        rows=optics.rows,
        columns=optics.columns,
        colour=optics.colour,
        detail=optics.detail,
        posing=held_out.posing,
        scorers=[*held_out.final.scorers, WHOLE],
        score_means=scoring.scales.mean.tolist(),
        score_spreads=scoring.scales.spread.tolist(),
        kinds=list(taught.kinds) if taught is not None else [],
        threshold=cut.threshold,
        box_cut=max(box_cut, float(SPREAD_MIN)),
        limits=learn_limits([sight.measures for sight in of_good]),
        asked=cut.asked,
        promised=cut.promised,
        held_out_frames=cut.frames,
    )


def _out_of_fold(frames: Sequence[TrainingFrame], sights: Mapping[int, Sight], notes: EyeNotes) -> dict[str, Findings]:
    """frame_id -> findings by the eye that has not seen the frame's fold."""
    findings: dict[str, Findings] = {}
    for index, frame in enumerate(frames):
        seen = blank_findings(frame_of(frame, b""), frame.captured_at)
        if (sight := sights.get(index)) is not None:
            named = sight if notes.kinds else dataclasses.replace(sight, kinds=None)
            seen = report(seen, named, notes, model=None)
        findings[seen.frame_id] = seen
    return findings


def _blind(frames: Sequence[TrainingFrame], pixels_max: int) -> dict[str, Findings]:
    """Findings of a camera without an eye."""
    eyes = Eyes({}, {}, pixels_max)
    looks = [eyes.inspect(frame_of(frame, load_body(frame)), frame.captured_at) for frame in frames]
    return {look.findings.frame_id: look.findings for look in looks}
