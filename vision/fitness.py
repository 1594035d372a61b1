"""May a frame be trusted? Cheap measures, each with limits learned from good frames and set far out.

An unfit frame is `cannot_tell`, so a limit that is too tight floods the inspector, and one that swallows real defects
as "wrong part" hides them: a limit on the whole-frame distance called 80 % of real casting defects another part.
All limits therefore lie outside everything seen on good frames, by a margin, and "wrong part" looks at the frame's
middle cell, which a defect does not move unless it covers half of the part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.messages import Fitness
from vision.image import Grey, Picture, fit_to, laplacian

_SATURATED_LEVEL = 250.0  # of 255: JPEG leaves clipped pixels a few levels below white
_ENERGY_OFFSET = 0.05  # grey levels squared: quantisation noise, so that a flat frame has a ratio of 1
_MIDDLE = 256  # pixels a side of the part of the frame whose sharpness is measured: enough to average over texture
_MIDDLE_MIN = 12  # a picture narrower than this has no Laplacian at quarter scale
_SIGNAL_CONTRAST_MIN = 1.0  # grey levels: less is no picture, whatever the training frames were like
_WRONG_PART_FACTOR = 1.3  # times the distance of the worst good frame's middle cell


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A measure is fit within [low, high]; `below`, `above` name the problem when it is not."""

    low: float | None = None
    high: float | None = None
    below: str = ""
    above: str = ""
    usual: float = 0.0


def measure(picture: Picture, working: Grey) -> dict[str, float]:
    """Measures of a frame, of which `working` is the eye's version.

    `sharpness`: log ratio of Laplacian energy at full and half scale in the middle of the picture as decoded (blur
    lowers, noise raises it); `sharpness_half`: the same of half and quarter scale, for blur so wide that full scale
    holds only the rounding of pixels; `exposure`: mean grey 0..1; `saturated`: share of pixels at white; `contrast`:
    standard deviation in grey levels; `aspect`: log of width over height as it came.
    """
    sharpness, sharpness_half = _sharpness(picture.grey if min(picture.grey.shape) >= _MIDDLE_MIN else working)
    return {
        "sharpness": sharpness,
        "sharpness_half": sharpness_half,
        "exposure": float(working.mean()) / 255,
        "saturated": float(np.count_nonzero(working >= _SATURATED_LEVEL)) / working.size,
        "contrast": float(working.std()),
        "aspect": float(np.log(picture.width / picture.height)),
    }


def learn_limits(measured: Sequence[Mapping[str, float]]) -> dict[str, Limit]:
    """Limits from the measures (and `typical`) of good frames; each of them is within."""
    columns = {name: np.array([m[name] for m in measured]) for name in measured[0]}
    sharp_low, sharp_high = _beyond(columns["sharpness"], 0.1, 0.25)  # a blur of one pixel takes 1 to 2, noise adds 1
    wide_low, _ = _beyond(columns["sharpness_half"], 0.1, 0.25)
    dark, bright = _beyond(columns["exposure"], 0.5, 0.10)  # 40 % off a mid-grey exposure is 0.16 or more
    narrow, wide = _beyond(columns["aspect"], 0.5, 0.10)
    limits = {
        "sharpness": Limit(sharp_low, sharp_high, "blur", "noise"),
        "sharpness_half": Limit(low=wide_low, below="blur"),
        "exposure": Limit(dark, bright, "exposure", "exposure"),
        "saturated": Limit(high=2 * float(columns["saturated"].max()) + 0.02, above="saturated"),
        "contrast": Limit(low=max(0.25 * float(columns["contrast"].min()), _SIGNAL_CONTRAST_MIN), below="no_signal"),
        "aspect": Limit(narrow, wide, "frame_size", "frame_size"),
        "typical": Limit(high=float(columns["typical"].max() + np.log(_WRONG_PART_FACTOR)), above="wrong_part"),
    }
    return {
        name: msgspec.structs.replace(limit, usual=float(np.median(columns[name]))) for name, limit in limits.items()
    }


def judge_fitness(measures: Mapping[str, float], limits: Mapping[str, Limit]) -> Fitness:
    """The problems of a frame. `blur` is sharpness against the usual: 1 as sharp, 0.5 half the fine detail's share."""
    problems = [problem for name, limit in limits.items() if (problem := _problem(measures.get(name), limit))]
    usual = limits["sharpness"].usual if "sharpness" in limits else None
    return Fitness(
        ok=not problems,
        problems=sorted(set(problems)),
        blur=None if usual is None else round(float(np.exp(measures["sharpness"] - usual)), 3),
        exposure=round(measures["exposure"], 4),
        saturated=round(measures["saturated"], 5),
        measures={name: round(value, 4) for name, value in measures.items()},
    )


def unfit(problems: Sequence[str], measures: Mapping[str, float] | None = None) -> Fitness:
    """The fitness of a frame that could not be inspected at all."""
    if measures is None:
        return Fitness(ok=False, problems=list(problems))
    return msgspec.structs.replace(judge_fitness(measures, {}), ok=False, problems=list(problems))


def _problem(value: float | None, limit: Limit) -> str:
    if value is None:
        return ""
    if limit.low is not None and value < limit.low:
        return limit.below
    if limit.high is not None and value > limit.high:
        return limit.above
    return ""


def _beyond(values: npt.NDArray[np.float64], share: float, least: float) -> tuple[float, float]:
    """The range of the good frames, widened on either side by a share of itself, at least by `least`."""
    low, high = float(values.min()), float(values.max())
    wider = max(share * (high - low), least)
    return low - wider, high + wider


def _sharpness(grey: Grey) -> tuple[float, float]:
    """On pixels that were not resized to the eye's shape: stretching a frame blurs it, and differently each size."""
    top, left = (max(0, (side - _MIDDLE) // 2) for side in grey.shape)
    middle = grey[top : top + _MIDDLE, left : left + _MIDDLE]
    half = _halved(middle)
    full, at_half, at_quarter = (_laplacian_energy(image) + _ENERGY_OFFSET for image in (middle, half, _halved(half)))
    return float(np.log(full / at_half)), float(np.log(at_half / at_quarter))


def _halved(grey: Grey) -> Grey:
    rows, columns = (side // 2 for side in grey.shape)
    return fit_to(grey[: 2 * rows, : 2 * columns], rows, columns)


def _laplacian_energy(image: Grey) -> float:
    """Mean square of the 4-neighbour Laplacian, rim left out."""
    difference = laplacian(image)[1:-1, 1:-1]
    return float(np.mean(difference * difference))
