"""Log lines: JSON, or readable in a terminal, each with the trace and the span it belongs to."""

from __future__ import annotations

import logging
import logging.config
import re
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from infra.settings import Settings
from infra.telemetry.trace import current_ids

_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
# PostgreSQL may quote the whole row that it refuses, and its driver the value that it cannot send.
_ROW = re.compile(
    r"^DETAIL:.*?(?=^HINT:|\n\nThe above exception|\n\nDuring handling|\Z)", re.MULTILINE | re.DOTALL
)
_ARGUMENT = re.compile(r"(?<=invalid input for query argument )(\$\d+): .*")


def configure_logs(settings: Settings) -> None:
    """For the whole process, once, when it starts."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
    ]
    renderer = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _hide_what_is_quoted,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    # A consumer tells of every try to connect again; its name ends with its queue, so no logger has them all.
    handler.addFilter(lambda record: not record.name.startswith("dramatiq.worker.ConsumerThread"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for noisy in ("dramatiq", "uvicorn.access", "httpx2", "httpcore2", "alembic"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    # At every try to connect again they repeat, as an error, what we log once for each outage.
    for noisy in ("aio_pika", "aiormq", "pika", "opentelemetry", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def _add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    ids = current_ids()
    if ids is not None:
        event.setdefault("trace_id", ids[0])
        event.setdefault("span_id", ids[1])
    return event


def _hide_what_is_quoted(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A driver's message may quote the URL it was given, or what it was to store."""
    for name, value in event.items():
        if isinstance(value, str):
            shown = _CREDENTIALS.sub("***@", value)
            shown = _ROW.sub("DETAIL: left out", shown) if "DETAIL:" in shown else shown
            event[name] = _ARGUMENT.sub(r"\1: left out", shown)
    return event
