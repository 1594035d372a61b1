"""What a person may ask of the training of the eyes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PIXELS_MAX = 100_000_000  # the default of the setting image_pixels_max


@dataclass(frozen=True, slots=True)
class EyeOptions:
    """`pixels_max`: largest image decoded. `plugins`: folder of own backbones and models (`deploy/eyes.md`). `net`: try
    the network on painted defects, which needs torch, and keep it where it helps."""

    pixels_max: int = PIXELS_MAX
    plugins: Path | None = None
    net: bool = False
