"""The card of an eye: what a person should know before trusting it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.manifest import TrainedOn
from vision.eye.bank import CELL
from vision.eye.graph import DETAIL_SCORER
from vision.eye.normalise import Centring, Normaliser
from vision.eye.notes import EyeNotes
from vision.eye.posing import Posing
from vision.teach import TaughtDecision
from vision.training.conformal import ConformalCut
from vision.training.folds import TrainingFrame
from vision.training.held_out import HeldOutEyes

_CENTRINGS: dict[Centring, str] = {
    "raw": "as it is",
    "median": "less the frame's median",
    "half": "less the frame's median, over the root of the frame's own spread",
    "spread": "less the frame's median, over the frame's own spread",
}


def trained_on(good: Sequence[TrainingFrame]) -> TrainedOn:
    return TrainedOn(
        parts=len({frame.part_id for frame in good}),
        frames=len(good),
        batches=len({frame.batch_id for frame in good}),
        since=min(frame.captured_at for frame in good),
        until=max(frame.captured_at for frame in good),
    )


def card_of(
    camera: str,
    about: TrainedOn,
    notes: EyeNotes,
    cut: ConformalCut,
    eyes: HeldOutEyes,
    taught: TaughtDecision | None,
    frame_columns: int,
) -> str:
    """Markdown. frame_columns: of the median good frame as it came."""
    since, until = (moment.isoformat() if moment is not None else "?" for moment in (about.since, about.until))
    lines = [
        f"# Eye of camera {camera}",
        "",
        "Says how unusual a frame is against good frames of this camera. It was never shown a defect: an unusual but",
        "harmless frame scores high, and a defect that looks usual scores low. A score is not a probability.",
        "",
        f"- Learned from {about.frames} good frames of {about.parts} parts in {about.batches} batches,",
        f"  {since} to {until};",
        f"  memory from {eyes.memory_frames} of them, normalisation from {eyes.normal_frames}, {eyes.folds} folds.",
        f"- Works at {notes.columns} x {notes.rows} pixels, {'in colour' if notes.colour else 'grey'}.",
        _smallest(notes, frame_columns),
        f"- Threshold {cut.threshold:.3f}: split conformal from {cut.frames} held-out good frames, "
        + ("one batch cut into runs of time." if about.batches < 2 else "batches kept together."),
        _promise(cut),
        "- Frames of one batch resemble each other: the share in a single batch scatters around this by a factor of 3.",
    ]
    lines += [_scorer(name, normaliser, eyes) for name, normaliser in eyes.normalisers().items()]
    lines.append(_posed(eyes.posing))
    if taught is not None and eyes.taught is not None:
        marked = ", ".join(f"{kind} on {count} frames" for kind, count in eyes.taught.marked.items())
        lines.append(f"- Taught by marks ({marked}): {taught.sentence}. The good-only score stays beside it.")
    return "\n".join(lines) + "\n"


def _posed(posing: Posing | None) -> str:
    if posing is None:
        return "- How the part lies does not show in its edges: a camera that moved is not seen."
    return "- How the part lies is measured in each frame; frames are " + (
        "laid straight before it looks, since held-out good frames became more alike by it."
        if posing.aligned
        else "looked at as they come: laying them straight made held-out good frames no more alike."
    )


def _listed(by_centring: Mapping[Centring, float]) -> str:
    return ", ".join(f"{centring} {value:.3f}" for centring, value in by_centring.items())


def _scorer(name: str, normaliser: Normaliser, eyes: HeldOutEyes) -> str:
    how = eyes.normalising[name]
    painted = "none is painted so small" if name == DETAIL_SCORER else _listed(how.choice.painted_auroc)
    return (
        f"- Scorer {name}: {_CENTRINGS[how.choice.centring]} (variance ratio of the median {how.median_ratio:.2f}; "
        f"correlation with roughness: {_listed(how.choice.dependence)}; AUROC on painted defects: "
        f"{painted}), {'by place' if normaliser.by_place else 'the same everywhere'} "
        f"(ratio {how.place_ratio:.2f})."
    )


def _smallest(notes: EyeNotes, frame_columns: int) -> str:
    """What is much smaller than a cell is not seen."""
    cell = CELL * frame_columns / notes.columns
    if not notes.detail:
        return f"- A cell of its map is {cell:.0f} pixels of the frame; a defect much smaller than that is not seen."
    shape = f"{notes.optics.detail_shape[1]} x {notes.optics.detail_shape[0]}"
    return (
        f"- In tiles also at {shape} pixels: a cell there is {cell / notes.detail:.0f} pixels of the frame, at working "
        f"size {cell:.0f}. A defect much smaller is not seen."
    )


def _promise(cut: ConformalCut) -> str:
    if cut.promised > cut.asked:
        allowed = f"{cut.frames} held-out frames allow no less than {cut.promised:.1%}"
        return f"- Asked were {cut.asked:.1%} false alarms; {allowed}."
    return f"- At most {cut.promised:.1%} of new good frames like these are flagged."
