"""Training of the novelty gate: how far from the bulk the parts of lots held out of training lie.

The limit is where one part in a thousand of held-out lots lies, every lot weighing the same: of lots held out in
turn, with an exponential tail where parts are too few to show it, and of lots judged by the earlier ones alone,
whichever is further. n lots can promise a new lot no rarer than 1 in n + 1 (conformal with lots as the unit: Dunn,
Wasserman and Ramdas 2022); the card says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.novelty.fit import TAIL_FROM, HeldOut, enough, fit_space, held_out, lot_weights, tail, upper_quantile
from fusion.novelty.gate import NoveltyLimit, NoveltyNotes
from fusion.novelty.space import Doubles, Space, distance, space_columns, taken_of, whitener
from fusion.novelty.values import closed_attributes
from fusion.risk.features import Column, feature_columns
from fusion.risk.subsets import Sources, wanted_subsets
from fusion.training.gate import FittedGate, GateTraining

SHARE = 1e-3  # of parts of lots like those of training
PARTS_MIN = 200  # of one set of sources; fewer have no tail to speak of
LOTS_MIN = 4
DEFECTS_KEPT = 200  # labelled ones that a part may be like, and so be nothing new


def with_novelty(gate: FittedGate, training: GateTraining, prefix: str) -> FittedGate:
    """A fitted gate that also knows what training never saw."""
    booked = [case.evidence.attributes for case in training.cases]
    closed = closed_attributes(training.spec.attributes, booked, training.groups)
    fitted = fit_novelty(training, feature_columns(training.spec), f"{prefix}-novelty.npz")
    notes = msgspec.structs.replace(gate.notes, closed=closed, novelty=fitted[0] if fitted else None)
    files = {**gate.files, fitted[0].space: fitted[1].pack()} if fitted else gate.files
    return replace(gate, notes=notes, files=files)


def fit_novelty(training: GateTraining, columns: Sequence[Column], file: str) -> tuple[NoveltyNotes, Space] | None:
    """The novelty gate of one gate's cases; None when there are too few, or nothing to combine."""
    spanned = space_columns(columns)
    chosen = training.defect != 1.0
    if len(spanned) < 2 or int(chosen.sum()) < PARTS_MIN or len(np.unique(training.groups)) < LOTS_MIN:
        return None
    features = training.builder.derive(training.raw)
    product_at = np.array([training.builder.product_at(c.evidence.product) for c in training.cases], dtype=np.intp)
    products = len(training.spec.products)
    space = fit_space(features[chosen], product_at[chosen], products, spanned)
    held = held_out(features, product_at, products, spanned, training.groups, chosen)
    usable = [s for s, good in zip(training.usable, chosen, strict=True) if good]
    limits = []
    for sources in wanted_subsets(training.spec.sources, usable):
        taken = taken_of(space, columns, tuple(sources))
        there = chosen & np.array([sources <= s for s in training.usable])
        if int(taken.sum()) >= 2 and enough(usable, sources, PARTS_MIN):
            limits.append(_limit(held, taken, there, training.groups, sources))
    seen = np.flatnonzero(~chosen)[:: max(1, int((~chosen).sum()) // DEFECTS_KEPT)]
    units = space.units(features[seen], product_at[seen])
    if not limits:
        return None
    return NoveltyNotes(space=file, limits=tuple(limits)), replace(space, seen=units.astype(np.float32))


def _limit(
    held: HeldOut,
    taken: npt.NDArray[np.bool_],
    there: npt.NDArray[np.bool_],
    groups: npt.NDArray[np.intp],
    sources: Sources,
) -> NoveltyLimit:
    turned, ahead = _distances(held, taken)
    weights = lot_weights(groups[there])
    start, step = tail(turned[there], weights)
    limit = max(start + step * math.log((1.0 - TAIL_FROM) / SHARE), upper_quantile(turned[there], weights, SHARE))
    later = there & ~np.isnan(ahead)
    if later.any():
        limit = max(limit, upper_quantile(ahead[later], lot_weights(groups[later]), SHARE))
    return NoveltyLimit(
        sources=tuple(sorted(sources)),
        limit=limit,
        parts=int(there.sum()),
        lots=len(np.unique(groups[there])),
        beyond=float(weights[turned[there] > limit].sum()),
    )


def _distances(held: HeldOut, taken: npt.NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
    """float64[n] each: by spaces of the other lots, and of the earlier lots (NaN where there are none)."""
    turned, ahead = np.zeros(len(held.block)), np.full(len(held.block), np.nan)
    for k, (space, before) in enumerate(zip(held.spaces, held.earlier_spaces, strict=True)):
        here = held.block == k
        turned[here] = distance(held.units[here][:, taken], whitener(space, taken))
        if before is not None:
            ahead[here] = distance(held.earlier[here][:, taken], whitener(before, taken))
    return turned, ahead
