"""What the API puts on the log: reviews and orders. Durable when a method returns."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from api.control import publish_order
from api.harvest import REVIEW_HEADER, ReviewHeader
from api.store.rows import Review
from ingest.errors import LogUnavailable
from ingest.log import Log, Outgoing
from ingest.messages import Order, encode
from ingest.settings import Settings


class Publisher:
    """Opens the log when first needed, and anew after it was away. One record at a time: these are people's."""

    def __init__(self, settings: Settings, open_log: Callable[[], Log]) -> None:
        self._settings = settings
        self._open_log = open_log
        self._log: Log | None = None
        self._turn = threading.Lock()

    def close(self) -> None:
        with self._turn:
            self._drop()

    def order(self, order: Order) -> None:
        """Publish an order on `qc.control`. Raises LogUnavailable."""
        self._on_log(lambda log: publish_order(log, self._settings, order))

    def review(self, review: Review) -> None:
        """Publish a review on `qc.defects`. Raises LogUnavailable."""
        told = ReviewHeader(review.review_id, review.gate_id, review.attempt, review.made, review.undoes)
        record = Outgoing(
            topic=self._settings.topic("defects"),
            key=review.defect.line_id.encode(),
            body=encode(review.defect),
            headers=((REVIEW_HEADER, msgspec.json.encode(told)),),
        )

        def append(log: Log) -> None:
            producer = log.producer()
            try:
                producer.append(record)
                producer.flush()
            finally:
                producer.close()

        self._on_log(append)

    def _on_log(self, effect: Callable[[Log], None]) -> None:
        with self._turn:
            self._log = self._log or self._open_log()
            try:
                effect(self._log)
            except LogUnavailable:
                self._drop()
                raise

    def _drop(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
