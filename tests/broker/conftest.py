"""Real Kafka for the tests of this folder."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest

from tests.broker.kafka_cluster import NOT_TESTED, LocalKafka, real_kafka


@pytest.fixture(autouse=True)
def _sockets_of_a_stopped_broker() -> Iterator[None]:
    """The client forgets to close sockets that a stopped broker tore; they must not be blamed on a later test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def kafka() -> LocalKafka:
    """A running broker, the same one for the whole run; a test that stopped it leaves it to the next to start it."""
    return real_kafka()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for sentence in NOT_TESTED:
        terminalreporter.write_line(sentence, red=True, bold=True)
