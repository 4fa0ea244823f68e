"""Prometheus metrics of one log (specs/10 §7): requests, stages, queue, head, publication, witnesses."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from exequatur_log.publish.publication import Publication

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Requests:
    """A registry of its own, so that several services in one process do not meet, and the requests to one of them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "exequatur_http_requests", "Requests answered", ["route", "status"], registry=self._registry
        )
        self._refusals = Counter(
            "exequatur_http_refusals", "Requests that the log refused, as a whole", ["code"], registry=self._registry
        )
        self._latency = Histogram(
            "exequatur_http_seconds", "Until the answer", ["route"], buckets=_SECONDS, registry=self._registry
        )

        # Looking a label up costs more than counting.
        self._answered: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, status: int, seconds: float, code: str | None) -> None:
        """Count a request, and the code of its refusal.

        ``route`` names what answered, never the path asked for, of which there is no end.
        """
        if code is not None:
            self._refusals.labels(code).inc()
        answered = self._answered.get((route, status))
        if answered is None:
            answered = self._requests.labels(route, str(status)), self._latency.labels(route)
            self._answered[route, status] = answered
        answered[0].inc()
        answered[1].observe(seconds)


class Metrics(Requests):
    """The metrics of one log. ``observe`` is for ``Log.open``."""

    def __init__(self) -> None:
        super().__init__()
        self._stages = Histogram(
            "exequatur_stage_seconds", "A batch in a stage", ["stage"], buckets=_SECONDS, registry=self._registry
        )
        self._statements = Counter(
            "exequatur_stage_statements", "Statements through a stage", ["stage"], registry=self._registry
        )
        self._waiting = Gauge("exequatur_queue_statements", "Statements that wait for a batch", registry=self._registry)
        self._size = Gauge("exequatur_head_size", "Entries under the current head", registry=self._registry)
        self._time = Gauge("exequatur_head_timestamp_seconds", "Time of the current head", registry=self._registry)
        self._age = Gauge("exequatur_head_age_seconds", "Since the head was last proven", registry=self._registry)
        self._shown = Gauge("exequatur_shown_size", "Entries under the shown checkpoint", registry=self._registry)
        self._lag = Gauge("exequatur_publication_lag_entries", "Entries not yet shown", registry=self._registry)
        self._witnessed = Gauge(
            "exequatur_witnessed_size", "Entries under the newest cosigned checkpoint", registry=self._registry
        )
        self._trouble = Gauge(
            "exequatur_publication_failing", "1 while the last round of publication failed", registry=self._registry
        )
        self._told = Gauge(
            "exequatur_witness_up", "1 for each witness that cosigned of late", ["witness"], registry=self._registry
        )

    def observe(self, stage: str, seconds: float, statements: int) -> None:
        """Count a batch in a stage."""
        self._stages.labels(stage).observe(seconds)
        self._statements.labels(stage).inc(statements)

    def render(self, publication: Publication, *, waiting: int, size: int, time: int, age: int) -> bytes:
        """Return the text format, with queue, head (``time`` in unix seconds) and publication as they are now."""
        shown = publication.shown.size if publication.levels[1:] else size
        for gauge, value in (
            (self._waiting, waiting),
            (self._size, size),
            (self._time, time),
            (self._age, age),
            (self._shown, shown),
            (self._lag, size - shown),
            (self._witnessed, publication.witnessed.size),
            (self._trouble, int(publication.trouble is not None)),
        ):
            gauge.set(value)
        for name, told in publication.told.items():
            self._told.labels(name).set(int(told == "cosigned"))
        return generate_latest(self._registry)
