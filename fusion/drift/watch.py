"""Drift of every gate of a partition: which channel or camera moved, by how much and since when.

Parts are counted in the order of judging; nothing here changes a verdict. What a restart must not lose (charts, the
block being filled, open incidents) is in `qc.state` to the last bit.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from fusion.drift.book import DriftBook
from fusion.drift.looks import Looks
from fusion.drift.watched import say_watched
from fusion.incidents import Incident
from fusion.judge import Judge
from fusion.labels import PartLabel
from fusion.watch import Judged
from ingest.join.changelog import SEPARATOR


class DriftWatch:
    """The `Watch` of drift."""

    def __init__(self) -> None:
        self._books: dict[tuple[str, str], DriftBook] = {}
        self._looks: dict[tuple[str, str], Looks] = {}

    def judged(self, judged: Judged) -> None:
        """Count a part at its first verdict, where a model with a reference looked at it."""
        gate, reading = judged.gate, judged.judgement.reading
        if not judged.first or gate is None or reading is None or gate.drift is None:
            return
        evidence, reference = judged.evidence, gate.drift
        if not reading.product_known:  # its usual values are not known either
            return
        book = self._book(evidence.line_id, evidence.gate_id)
        book.use(reference)
        key = evidence.line_id, evidence.gate_id
        looks = self._looks.get(key)
        if looks is None or looks.digest != reference.digest:
            looks = self._looks[key] = Looks(gate, reference)
        flagged = reading.estimate.risk >= gate.threshold
        values = reference.reader.read(reading.row.raw, evidence, flagged)
        product = gate.builder.product_at(evidence.product)
        residuals = reference.residuals(values, product)
        contradicted = reading.estimate.correction is not None
        book.count(reference, residuals, evidence.part_id, int(evidence.event_at), contradicted)
        looks.enter(reading, residuals, product)
        looks.look(book, int(evidence.event_at))

    def label(self, told: PartLabel) -> None:
        """Labels are the calibration's (`fusion/calibration/watch.py`)."""

    def incidents(self) -> list[Incident]:
        """What is open now, each trouble once: of a channel that several gates see, the earliest; a shift that explains
        flags stands for the drift it is; that parts are unlike training is only told when nothing else is."""
        earliest: dict[tuple[str, str], Incident] = {}
        for (line_id, _), book in sorted(self._books.items()):
            for key, incident in book.told().items():
                known = earliest.get((line_id, key))
                if known is None or incident.since < known.since:
                    earliest[line_id, key] = incident
        return [incident for _, incident in sorted(earliest.items())]

    def figures(self, judge: Judge, line_ids: Collection[str]) -> list[dict[str, object]]:
        """For the heartbeat: of each gate of these lines what its charts can show, whether limits have grown, and since
        when."""
        told: list[dict[str, object]] = []
        for line_id, gate_id in sorted(key for key in judge.gates if key[0] in line_ids):
            reference = judge.gates[line_id, gate_id].drift
            if reference is None:
                continue
            book = self._book(line_id, gate_id)
            shown = book.watched(reference)
            of_growth = {"blocks": book.growth.rests_on, "grown_at": book.growth.grown_at}
            figures = {"line_id": line_id, "gate_id": gate_id, **of_growth, **msgspec.structs.asdict(shown)}
            told.append({**figures, "what": say_watched(shown)})
        return told

    def changes(self) -> list[tuple[str, str, bytes | None]]:
        return [
            (line_id, f"{gate_id}{SEPARATOR}{key}", value)
            for (line_id, gate_id), book in self._books.items()
            for key, value in book.changes()
        ]

    def restore(self, line_id: str, key: str, value: bytes | None) -> None:
        gate_id, _, rest = key.partition(SEPARATOR)
        self._book(line_id, gate_id).restore(rest, value)

    def _book(self, line_id: str, gate_id: str) -> DriftBook:
        book = self._books.get((line_id, gate_id))
        if book is None:
            book = self._books[line_id, gate_id] = DriftBook(line_id)
        return book
