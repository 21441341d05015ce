"""The server's health in Prometheus' text form, made when it is asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from edgewise.node.server import Health


class _Collector:
    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        h = self._health
        for name, text, value in (
            ("devices", "connected devices", len(h.devices)),
            ("queue_frames", "frames that wait for the worker", h.queue),
            ("queue_wait_seconds", "wait of a frame that comes now", h.forecast),
            ("batch_frames", "mean frames a run", h.batch_mean),
            ("resident_bytes", "resident memory", h.memory),
            ("uptime_seconds", "time since start", h.uptime),
        ):
            yield GaugeMetricFamily(f"edgewise_{name}", text, value=value)
        models = GaugeMetricFamily("edgewise_model", "models that are served", labels=["name", "address"])
        for address, model in h.models.items():
            models.add_metric([model, address[:12]], 1)
        yield models
        events = CounterMetricFamily("edgewise_events", "what sessions and queue counted", labels=["kind"])
        for kind, n in h.counts.items():
            events.add_metric([re.sub(r"\W+", "_", kind)], n)
        yield events


def exposition(health: Health) -> tuple[bytes, str]:
    """Body and content type of `/metrics`."""
    registry = CollectorRegistry()
    registry.register(_Collector(health))
    return generate_latest(registry), CONTENT_TYPE_LATEST
