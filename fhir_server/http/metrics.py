"""What Prometheus reads at /metrics: requests by interaction class, status and time."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder in which several processes count together."""

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """The counters of one server; labels never hold ids, so neither cost nor PHI grows with data."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "hounsfield_requests_total",
            "Requests answered.",
            ("door", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "hounsfield_request_seconds",
            "Time from a request's arrival to its answer.",
            ("door",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.messages = Counter(
            "hounsfield_hl7v2_messages_total",
            "HL7 v2 messages answered, by acknowledgement code.",
            ("code",),
            registry=self.registry,
        )
        self.children = Gauge(
            "hounsfield_child_up",
            "Whether a supervised child is running.",
            ("child",),
            registry=self.registry,
            multiprocess_mode="livemax",
        )

    def answered(self, door: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request; labelled counters are kept, as to find one costs more than to count."""
        key = (door, method, status)
        known = self._known.get(key)
        if known is None:
            counter = self._requests.labels(door, method, str(status))
            known = self._known[key] = (counter, self._seconds.labels(door))
        known[0].inc()
        known[1].observe(seconds)

    def text(self) -> bytes:
        """Give all metrics in Prometheus' text format."""
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]  # the library has no types here
        return generate_latest(everyone)
