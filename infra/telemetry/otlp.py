"""Exports spans by OTLP over HTTP, from a thread of its own: nothing waits for whoever collects them."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags
from prometheus_client import CollectorRegistry, Counter
from typing_extensions import override

from infra.settings import Settings
from infra.system import draw
from infra.telemetry.spans import MOST_LINKS, Kind, Value
from infra.threads import Threads
from infra.version import version

log = logging.getLogger(__name__)

PATH = "/v1/traces"
WAITING = 8_192
"""Spans that may wait to be exported."""
BATCH = 512
PAUSE = 1_000
"""Milliseconds in which spans gather, unless there is a batch of them."""
EXPORT_TIMEOUT = 2.0
"""Seconds that one batch may take, tries again included; and those that are left at the end of the process."""
LIMITS = SpanLimits(max_span_attributes=32, max_events=0, max_links=MOST_LINKS, max_span_attribute_length=256)
_KINDS: Mapping[Kind, SpanKind] = {kind.name.lower(): kind for kind in SpanKind}  # type: ignore[misc]  # their names


class _Recorded:
    """See `infra.telemetry.spans.Recording`."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def note(self, name: str, value: Value) -> None:
        self._span.set_attribute(name, value)

    def fail(self, error: str) -> None:
        self._span.set_attribute("error.type", error)
        self._span.set_status(StatusCode.ERROR)

    def end(self) -> None:
        self._span.end()


class OtlpTracing:
    """See `infra.telemetry.spans.Tracing`."""

    def __init__(self, provider: TracerProvider, ratio: float) -> None:
        self._tracer = provider.get_tracer("carillon")
        self._ratio = ratio

    def draws(self) -> bool:
        return draw() < self._ratio

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: str | None,
        *,
        links: Sequence[str] = (),
        notes: Mapping[str, Value] | None = None,
        ago: float = 0,
    ) -> _Recorded:
        span = self._tracer.start_span(
            name,
            context=Context() if parent is None else _within(parent),
            kind=_KINDS[kind],
            attributes=notes,
            links=[Link(_context_of(each)) for each in links],
            start_time=time.time_ns() - int(ago * 1_000_000_000),
            record_exception=False,
        )
        return _Recorded(span)


class _Counted(SpanExporter):
    """Counts what comes of spans, and logs once when they cannot be exported."""

    def __init__(self, exporter: SpanExporter, registry: CollectorRegistry) -> None:
        self._exporter = exporter
        spans = Counter(
            "carillon_spans",
            "Spans by what came of them: exported, failed to be, or dropped as too many waited",
            ["outcome"],
            registry=registry,
        )
        self._exported, self._failed = spans.labels("exported"), spans.labels("failed")
        self._dropped = spans.labels("dropped")
        self._down = False
        self._given_up = False
        self._waiting = 0
        self._lock = threading.Lock()

    def has_room(self) -> bool:
        """If so, for one span, which is now counted on."""
        with self._lock:
            if self._waiting >= WAITING:
                self._dropped.inc()
                return False
            self._waiting += 1
            return True

    def give_up(self) -> None:
        """What waits now is not exported any more."""
        with self._lock:
            self._given_up = True
            self._dropped.inc(self._waiting)
        self._exporter.shutdown()

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001  whatever the library does, the next batch is tried
            result = SpanExportResult.FAILURE
        with self._lock:
            self._waiting -= len(spans)
            if not self._given_up:
                self._note(len(spans), failed=result is not SpanExportResult.SUCCESS)
        return result

    def _note(self, count: int, *, failed: bool) -> None:
        (self._failed if failed else self._exported).inc(count)
        if failed and not self._down:
            log.error("spans cannot be exported: is there a collector at CARILLON_OTLP_ENDPOINT?")
        if self._down and not failed:
            log.info("spans are exported again")
        self._down = failed

    @override
    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Bounded(BatchSpanProcessor):
    """The library's own bound drops the oldest, and counts none."""

    def __init__(self, exporter: _Counted) -> None:
        super().__init__(
            exporter, max_queue_size=WAITING, schedule_delay_millis=PAUSE, max_export_batch_size=BATCH
        )
        self._counted = exporter

    @override
    def on_end(self, span: ReadableSpan) -> None:
        if self._counted.has_room():
            super().on_end(span)


@asynccontextmanager
async def open_exporting(
    settings: Settings, registry: CollectorRegistry, part: str
) -> AsyncIterator[OtlpTracing]:
    """When left, what waits is exported, for as long as one batch may take."""
    exporter = _Counted(
        OTLPSpanExporter(f"{str(settings.otlp_endpoint).rstrip('/')}{PATH}", timeout=EXPORT_TIMEOUT), registry
    )
    provider = TracerProvider(
        ALWAYS_ON,  # what is not sampled does not come so far
        Resource.create(
            {
                "service.name": f"carillon-{part}",
                "service.version": version(),
                "service.namespace": settings.namespace,
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            }
        ),
        shutdown_on_exit=False,
        span_limits=LIMITS,
    )
    provider.add_span_processor(_Bounded(exporter))
    try:
        yield OtlpTracing(provider, settings.trace_sample_ratio)
    finally:
        # It blocks, and has no limit of its own.
        ending = await Threads(1, "traces").start(provider.shutdown)
        await asyncio.wait([ending], timeout=EXPORT_TIMEOUT)
        if not ending.done():
            exporter.give_up()
            log.warning("left without exporting all spans")


def _within(traceparent: str) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(_context_of(traceparent)), Context())


def _context_of(traceparent: str) -> SpanContext:
    return SpanContext(
        int(traceparent[3:35], 16),
        int(traceparent[36:52], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(traceparent[53:55], 16)),
    )
