"""Opens the log the settings name."""

from __future__ import annotations

from pathlib import Path

from ingest.errors import BadInput
from ingest.log.seam import Log
from ingest.settings import Settings

GIB = 1024**3


def open_log(settings: Settings) -> Log:
    """`embedded:FOLDER` or `kafka://HOST:PORT[,HOST:PORT]`. Raises BadInput for anything else, LogUnavailable."""
    scheme, separator, rest = settings.log.partition(":")
    if separator and scheme == "embedded" and rest:
        from ingest.log.embedded import EmbeddedLog
        from ingest.log.embedded_house import DiskLimit

        disk = DiskLimit(int(settings.log_disk_gib_max * GIB), int(settings.log_retention_h * 3_600_000))
        return EmbeddedLog(
            Path(rest), wait_s=settings.log_wait_s, session_timeout_ms=settings.session_timeout_ms, disk=disk
        )
    if separator and scheme == "kafka" and rest.startswith("//") and rest.strip("/"):
        from ingest.log.kafka import KafkaLog  # imported only where used: an embedded plant needs no Kafka client

        return KafkaLog(
            [server for server in rest.strip("/").split(",") if server],
            prefix=settings.topic_prefix,
            wait_s=settings.log_wait_s,
            session_timeout_ms=settings.session_timeout_ms,
            record_bytes_max=settings.record_bytes_max,
        )
    raise BadInput(f"QCFUSE_LOG: {settings.log!r} is no log; write embedded:FOLDER or kafka://HOST:PORT[,HOST:PORT]")
