"""Whether a process tells of its traces: by setting, and to a collector of OpenTelemetry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from infra.settings import Settings
from infra.telemetry.spans import told_to


@asynccontextmanager
async def open_tracing(settings: Settings, registry: CollectorRegistry, part: str) -> AsyncIterator[None]:
    """For the whole process, once. `part` is what it does, as whoever looks at traces is told it."""
    if settings.otlp_endpoint is None:
        yield
        return
    from infra.telemetry.otlp import open_exporting  # noqa: PLC0415  it takes a third of a second to import

    async with open_exporting(settings, registry, part) as tracing:
        with told_to(tracing):
            yield
