"""What a card says of calibration: how far risks are off, what of that is luck, and what labels must show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fusion.calibration.calibrate import calibration_floor, expected_calibration_error
from fusion.calibration.lot_spread import LOTS_MIN, LotSpread


def calibration_lines(
    risk: npt.NDArray[np.float64], defect: npt.NDArray[np.bool_], spread: LotSpread, products: dict[str, float]
) -> list[str]:
    """Sentences. `risk`: float64[n], calibrated, out of fold; `defect`: bool[n]; `products`: own offsets in logits."""
    error, floor = expected_calibration_error(risk, defect), calibration_floor(risk)
    lines = [f"Calibration: ECE {error:.4f}, of which luck alone gives {floor:.4f} on so many parts."]
    if spread.lots < LOTS_MIN:
        lines.append(
            f"{spread.lots} lots are too few to know how much lots differ; half a logit is assumed, and later lots may "
            "be off by more than the ECE says."
        )
    else:
        odds = float(np.exp(np.sqrt(spread.variance)))
        lines.append(
            f"Lots differ by a factor of {odds:.2f} in their odds (one standard deviation of {spread.lots} lots): a "
            "single lot's risks may be off by as much, and only a departure beyond it is called miscalibrated."
        )
    if products:
        told = ", ".join(f"{name} x {np.exp(offset):.2f}" for name, offset in sorted(products.items()))
        lines.append(f"Products with odds of their own: {told}.")
    return lines
