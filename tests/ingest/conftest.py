"""The log under test: once the embedded one, once real Apache Kafka."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.log.opening import open_log
from tests.broker.kafka_cluster import real_kafka
from tests.ingest.log_plant import Plant, settings_of, spec


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.broker)])
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    url = f"embedded:{tmp_path / 'log'}" if request.param == "embedded" else real_kafka().url
    prefix = f"t{uuid.uuid4().hex[:8]}."
    plant = Plant(url, prefix, open_log(settings_of(url, prefix)))
    plant.log.create_topics([spec(plant, name) for name in ("in", "more", "out")])
    plant.log.create_topics([spec(plant, "state", compacted=True)])
    yield plant
    for close in reversed(plant.opened):
        close()
    plant.log.close()
