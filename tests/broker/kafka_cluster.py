"""The real Apache Kafka of the tests: one broker on loopback, started once in a test run, shared by all who ask."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from deploy.kafka import run

#: What could not be tested on this machine; `tests/broker/conftest.py` says it aloud at the end.
NOT_TESTED: list[str] = []


class LocalKafka:
    """One broker that a test may stop, kill and start again; its records stay."""

    def __init__(self, cluster: run.Cluster) -> None:
        self.cluster = cluster

    @property
    def bootstrap(self) -> str:
        return self.cluster.bootstrap

    @property
    def url(self) -> str:
        """As `QCFUSE_LOG` has it."""
        return f"kafka://{self.bootstrap}"

    def start(self) -> None:
        run.start(self.cluster.folder, self.cluster.nodes, self.cluster.port)

    def stop(self) -> None:
        for node in self.cluster.node_ids:
            run.stop_node(self.cluster, node, kill=False)

    def kill(self) -> None:
        for node in self.cluster.node_ids:
            run.stop_node(self.cluster, node, kill=True)


@functools.cache
def _started() -> LocalKafka | str:
    folder = Path(tempfile.mkdtemp(prefix="qcfuse-kafka-"))
    try:
        kafka = LocalKafka(run.start(folder, nodes=1, port=0))
    except run.NotPossible as error:
        return str(error)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(kafka.kill)  # called first; not a fixture's end, because two folders of tests share the broker
    return kafka


def real_kafka() -> LocalKafka:
    """The running broker. Without Java or Maven: a failure under CI, elsewhere a skip that is told at the end."""
    kafka = _started()
    if isinstance(kafka, LocalKafka):
        kafka.start()
        return kafka
    sentence = f"not tested: real Kafka: {kafka}"
    if os.environ.get("CI"):
        pytest.fail(sentence)
    if sentence not in NOT_TESTED:
        NOT_TESTED.append(sentence)
    pytest.skip(sentence)
