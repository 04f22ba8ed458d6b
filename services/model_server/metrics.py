"""What the model server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram

from convscout.services.http.metrics import RequestMetrics

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics(RequestMetrics):
    """Requests, latency, batches and the queue of one server."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = Histogram(
            "convscout_batch_size",
            "Pictures that were answered in one run of the network.",
            buckets=_SIZES,
            registry=self.registry,
        )
        self.queue = Gauge(
            "convscout_queue_length",
            "Pictures that are being uploaded, or wait for their answer.",
            registry=self.registry,
        )
