"""Orders to the system (`qc.control`): the one way a mode is changed."""

from __future__ import annotations

from ingest.log.seam import Log, Outgoing
from ingest.messages import Order, encode
from ingest.settings import Settings


def publish_order(log: Log, settings: Settings, order: Order) -> None:
    """Append one order, durable when this returns. Raises LogUnavailable."""
    producer = log.producer()
    try:
        producer.append(order_record(settings, order))
        producer.flush()
    finally:
        producer.close()


def order_record(settings: Settings, order: Order) -> Outgoing:
    """An order as it stands on the log."""
    return Outgoing(topic=settings.topic("control"), key=order.line_id.encode(), body=encode(order))
