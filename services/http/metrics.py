"""RequestMetrics: what any of our servers counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_LATENCIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class RequestMetrics:
    """Requests and latency of one server, in a ``registry`` of their own, to which it adds what else it counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "convscout_requests",
            "Requests, by route and status.",
            ["route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "convscout_request_seconds",
            "From the head of a request to the end of its answer.",
            ["route"],
            buckets=_LATENCIES_S,
            registry=self.registry,
        )
        self._children: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, status: str, seconds: float) -> None:
        """Count a request that was answered, or left, after ``seconds``."""
        labels = route, status
        if labels not in self._children:  # to have them looked up takes longer than to count
            self._children[labels] = self.requests.labels(route, status), self.seconds.labels(route)
        requests, times = self._children[labels]
        requests.inc()
        times.observe(seconds)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)
