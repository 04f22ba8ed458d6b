"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_LATENCIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Requests, latency, batches and the queue of one server; in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "convscout_requests",
            "Requests, by route and status.",
            ["route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "convscout_request_seconds",
            "From the head of a request to the end of its answer.",
            ["route"],
            buckets=_LATENCIES_S,
            registry=self._registry,
        )
        self.batches = Histogram(
            "convscout_batch_size",
            "Pictures that were answered in one run of the network.",
            buckets=_SIZES,
            registry=self._registry,
        )
        self.queue = Gauge(
            "convscout_queue_length",
            "Pictures that are being uploaded, or wait for their answer.",
            registry=self._registry,
        )

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)
