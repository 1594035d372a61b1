"""All that is strange of one part, with the sentences that name it: for the verdict, its interval and its reasons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fusion.history import HistoryView
from fusion.novelty.gate import NoveltyGate, NoveltyNotes, say_outside
from fusion.novelty.space import Space
from fusion.novelty.values import ClosedAttribute, KnownValues
from fusion.risk.features import FeatureRow, RowBuilder
from fusion.risk.model import Estimate, RiskModels
from ingest.join.evidence import Evidence
from models.open import OpenModel

PRODUCTS_NAMED = 5


@dataclass(frozen=True, slots=True)
class Strange:
    """`novel`: values or a combination of them that training never saw. `unknown`: attribute values are new.
    `lowest`, `highest`: logits by which the risk would move had they been learned ones. `remarks`: what is named."""

    novel: bool = False
    unknown: bool = False
    lowest: float = 0.0
    highest: float = 0.0
    remarks: tuple[str, ...] = ()

    def widened(self, estimate: Estimate) -> Estimate:
        """The estimate with an interval that holds what the learned values would have made of it."""
        if not self.unknown:
            return estimate
        low = min(estimate.low, moved(estimate.risk, self.lowest))
        high = max(estimate.high, moved(estimate.risk, self.highest))
        return replace(estimate, low=low, high=high)

    def could_reach(self, risk: float, threshold: float) -> bool:
        """Would one of the learned values have taken this risk over the threshold?"""
        return self.unknown and risk < threshold <= moved(risk, self.highest)


def moved(risk: float, by: float) -> float:
    """A probability after its logit moved."""
    clipped = min(max(risk, 1e-12), 1.0 - 1e-12)
    return 0.5 * (1.0 + math.tanh(0.5 * (math.log(clipped / (1.0 - clipped)) + by)))


NOTHING_STRANGE = Strange()


class Strangeness:
    """Of one gate: the novelty gate and the known values of its attributes."""

    def __init__(
        self,
        novelty: NoveltyNotes | None,
        closed: Sequence[ClosedAttribute],
        builder: RowBuilder,
        opened: OpenModel,
    ) -> None:
        self._builder = builder
        self._gate = NoveltyGate(novelty, Space.unpack(opened.read(novelty.space)), builder.spec) if novelty else None
        self._known = KnownValues(closed, builder.spec, builder)

    def of(self, evidence: Evidence, row: FeatureRow, history: HistoryView, models: RiskModels) -> Strange:
        """What training never saw of a part; mostly nothing. A combination is only asked about a learned product:
        another's values are strange beside any."""
        known = self._builder.product_known(evidence.product)
        outside = say_outside(row, self._builder.spec, self._builder.norms)
        together: tuple[str, ...] = ()
        if self._gate is not None and known and not row.outside:
            together = self._gate.remarks(row, self._builder.product_at(evidence.product))
        model = models.speaking(row.usable)
        unknown = self._known.unknown(evidence.attributes, row, history, models, model) if model is not None else ()
        if known and not row.outside and not together and not unknown:
            return NOTHING_STRANGE
        return Strange(
            novel=bool(row.outside) or bool(together),
            unknown=bool(unknown),
            lowest=sum(one.reach[0] for one in unknown),
            highest=sum(one.reach[1] for one in unknown),
            remarks=(*self._product(evidence.product), *outside, *together, *(one.remark() for one in unknown)),
        )

    def _product(self, product: str) -> tuple[str, ...]:
        if self._builder.product_known(product):
            return ()
        learned = self._builder.spec.products
        named = ", ".join(learned[:PRODUCTS_NAMED]) + (" and others" if len(learned) > PRODUCTS_NAMED else "")
        return (f"product {product or '(none booked)'} is none of those learned: {named}",)
