"""What the API puts on the log: reviews and orders. Durable when a method returns."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import msgspec

from api.control import order_record
from api.harvest import REVIEW_HEADER, ReviewHeader
from api.store.rows import Review
from ingest.errors import LogUnavailable
from ingest.log.seam import Log, Outgoing, Producer
from ingest.messages import Order, encode
from ingest.settings import Settings


class Publisher:
    """Orders have a way of their own: whoever stops the line waits behind nobody's review."""

    def __init__(self, settings: Settings, open_log: Callable[[], Log]) -> None:
        self._settings = settings
        self._orders = _Way(open_log)
        self._reviews = _Way(open_log)

    def close(self) -> None:
        self._orders.close()
        self._reviews.close()

    def order(self, order: Order) -> None:
        """Publish an order on `qc.control`. Raises LogUnavailable."""
        self._orders.publish(order_record(self._settings, order))

    def review(self, review: Review) -> None:
        """Publish a review on `qc.defects`. Raises LogUnavailable."""
        told = ReviewHeader(review.review_id, review.gate_id, review.attempt, review.made, review.undoes)
        self._reviews.publish(
            Outgoing(
                topic=self._settings.topic("defects"),
                key=review.defect.line_id.encode(),
                body=encode(review.defect),
                headers=((REVIEW_HEADER, msgspec.json.encode(told)),),
            )
        )


class _Way:
    """A producer, opened when first needed and anew after trouble. One record at a time: these are people's."""

    def __init__(self, open_log: Callable[[], Log]) -> None:
        self._open_log = open_log
        self._opened: tuple[Log, Producer] | None = None
        self._turn = threading.Lock()

    def publish(self, record: Outgoing) -> None:
        with self._turn:
            try:
                _, producer = self._opened = self._opened or self._open()
                producer.append(record)
                producer.flush()
            except LogUnavailable:
                self._drop()  # left open it would try on by itself, with nobody to hear what came of it
                raise

    def close(self) -> None:
        with self._turn:
            self._drop()

    def _open(self) -> tuple[Log, Producer]:
        log = self._open_log()
        try:
            return log, log.producer()
        except BaseException:
            log.close()
            raise

    def _drop(self) -> None:
        if self._opened is None:
            return
        (log, producer), self._opened = self._opened, None
        with suppress(LogUnavailable):
            producer.close()
        log.close()
