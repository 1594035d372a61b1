"""Prometheus metrics of the API role, and what the other roles tell in their heartbeats."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as MetricSource
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.collect import CollectorState
from api.road import Heartbeat

HTTP_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0)


class Metrics:
    """The metrics of one API process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "qcfuse_http_requests", "HTTP requests answered.", ["method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "qcfuse_http_seconds", "Time to answer an HTTP request.", buckets=HTTP_SECONDS, registry=self.registry
        )
        self.streams = Gauge("qcfuse_stream_clients", "Clients of the verdict stream.", registry=self.registry)
        self.reviews = Counter("qcfuse_reviews", "Reviews recorded.", ["outcome"], registry=self.registry)
        self.refused = Counter("qcfuse_refused", "Requests refused.", ["reason"], registry=self.registry)

    def watch(
        self,
        collector: Callable[[], CollectorState],
        left_out: Callable[[], dict[tuple[str, str], int]],
        beats: Callable[[], list[Heartbeat]],
    ) -> None:
        """Also show the collector and the heartbeats, read when somebody asks."""
        self.registry.register(_RoadSource(collector, left_out, beats))

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


class Measured:
    """ASGI middleware: counts requests and the time to the first byte of each answer (a stream has no end)."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.requests.labels(scope["method"], str(message["status"])).inc()
                self._metrics.seconds.observe(time.monotonic() - began)
            await send(message)

        await self._app(scope, receive, counting if scope["type"] == "http" else send)


class _RoadSource(MetricSource):
    def __init__(
        self,
        collector: Callable[[], CollectorState],
        left_out: Callable[[], dict[tuple[str, str], int]],
        beats: Callable[[], list[Heartbeat]],
    ) -> None:
        self._collector = collector
        self._left_out = left_out
        self._beats = beats

    def collect(self) -> Iterator[Metric]:
        state = self._collector()
        yield GaugeMetricFamily("qcfuse_collector_lag_records", "Records not collected yet.", state.lag_records)
        yield GaugeMetricFamily("qcfuse_collector_leading", "1: this process is the collector.", int(state.leading))
        yield CounterMetricFamily("qcfuse_collected_verdicts", "Verdicts written to the store.", state.collected)
        yield CounterMetricFamily("qcfuse_repeated_verdicts", "Verdicts seen again and left out.", state.repeats)
        left = CounterMetricFamily(
            "qcfuse_collector_left_out", "Records the collector could not use.", labels=["topic", "reason"]
        )
        for (topic, reason), count in self._left_out().items():
            left.add_metric([topic, reason], count)
        yield left
        yield from _heartbeat_metrics(self._beats())


def _heartbeat_metrics(beats: Iterable[Heartbeat]) -> Iterator[Metric]:
    at = GaugeMetricFamily("qcfuse_heartbeat_seconds", "Time of a role's last heartbeat.", labels=["role", "pid"])
    told = GaugeMetricFamily("qcfuse_role", "Figures that a role tells of itself.", labels=["role", "pid", "figure"])
    for beat in beats:
        at.add_metric([beat.role, str(beat.pid)], beat.at / 1000)
        for figure, value in _flat("", beat.state):
            told.add_metric([beat.role, str(beat.pid), figure], value)
    yield at
    yield told


def _flat(prefix: str, tree: object) -> Iterator[tuple[str, float]]:
    if isinstance(tree, dict):
        for name, branch in tree.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), branch)
    elif isinstance(tree, int | float):
        yield prefix, float(tree)
