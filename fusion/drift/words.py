"""Drift in plain words: what moved, by how much, since when, and how it was in training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from fusion.drift.charts import Run
from fusion.drift.signals import DriftReference
from ingest.messages import Instant

#: measure -> how a person calls it
SAID = {
    "mean": "mean",
    "std": "spread within a cycle (standard deviation)",
    "golden_mean": "mean distance from the golden cycle in its standard deviations",
    "form": "distance from the form of the golden cycle in its standard deviations",
    "ratio": "score as a share of its threshold",
    "exposure": "mean brightness (0 to 1)",
    "contrast": "contrast in grey levels",
    "sharpness": "sharpness (log ratio)",
    "shift_x": "place of the part to the right, pixels,",
    "shift_y": "place of the part downwards, pixels,",
}


def clock(at: int) -> str:
    """A time as a person reads it."""
    return f"{Instant(at).isoformat()[:16].replace('T', ' ')} UTC"


def say_drift(reference: DriftReference, signal: int, residual: float, since: int) -> str:
    """`OP10.spindle_current_a: mean 4.6 A since 2026-01-05 14:02 UTC, 3.9 to 4.2 A in training
    ...`; `residual`: the mean since then, in spreads of a part."""
    told = reference.signals[signal]
    now = in_units(reference, signal, residual)
    low, high = float(reference.low[signal]), float(reference.high[signal])
    places = _places(now, low, high)
    unit = f" {told.unit}" if told.unit and told.measure in ("mean", "std") else ""
    between = f"{low:.{places}f} to {high:.{places}f}{unit}"
    return (
        f"{told.entity}: {SAID[told.measure]} {now:.{places}f}{unit} since {clock(since)}, {between} in training "
        f"(means of {reference.block} parts). What models learned from is no longer what they see here."
    )


def say_shift(entity: str, spreads: float, share: float, excess: float, parts: int, since: int) -> str:
    """What moved, and how many flags go away with it."""
    direction = "up" if spreads > 0 else "down"
    return (
        f"{entity} moved {direction} by {abs(spreads):.2f} standard deviations of a part since {clock(since)}; without "
        f"this shift {share:.0%} of the {excess:.0f} flags in excess among the latest {parts} parts would not be. "
        "Check it (sensor, tool, light) before the parts."
    )


def say_unlike(entities: Sequence[str], parts: int, auc: float, allowed: float, since: int) -> str:
    """Which signals tell the latest parts from training's."""
    named = ", ".join(entities) or "no single signal"
    return (
        f"The latest {parts} parts can be told from training's since {clock(since)} (AUC {auc:.2f}; periods of "
        f"training differ by up to {allowed:.2f}); most by {named}. Train again if this is how the line now is."
    )


def say_structure(entities: Sequence[str], parts: int, more: bool, times: float, allowed: float, since: int) -> str:
    """Which signals no longer go together as they did. `times`: how much more, or less, parts vary along what they
    say together; `allowed`: by how much periods of training differ."""
    named = ", ".join(entities) or "no single signal"
    than = f"{times:.1f} times {'as much as' if more else 'less than'} in training"
    return (
        f"Signals of the latest {parts} parts no longer go together as they did, since {clock(since)}: taken together "
        f"they vary {than} (periods of training differ by up to {allowed:.1f} times); most {named}. Look for a new "
        "kind of part, tool or coupling; train again if this is how the line now is."
    )


def in_units(reference: DriftReference, signal: int, residual: float) -> float:
    """A mean residual as a figure of the line: beside the mean of all of training's parts."""
    return float(reference.overall[signal] + residual * reference.spread[signal])


def drift_figures(reference: DriftReference, signal: int, run: Run) -> dict[str, float]:
    """The figures behind the sentence."""
    figures = {
        "now": in_units(reference, signal, run.residual),
        "low": float(reference.low[signal]),
        "high": float(reference.high[signal]),
        "spreads": run.residual,
    }
    return {name: float(f"{value:.5g}") for name, value in figures.items()}


def _places(*values: float) -> int:
    """Decimals that tell the values apart, three digits of the finest difference at most."""
    ordered = sorted(values)
    gap = min((b - a for a, b in pairwise(ordered) if b > a), default=1.0)
    places = 0
    while places < 6 and gap * 10**places < 2.0:
        places += 1
    return places
