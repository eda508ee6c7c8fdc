"""The page where Prometheus reads what a process other than the API counts."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from infra.bootstrap import CannotStart
from infra.settings import Settings


@contextmanager
def metrics_page(metrics: CollectorRegistry, settings: Settings) -> Iterator[None]:
    """Served for as long as this lasts, where the settings say so. Raises CannotStart."""
    host, port = settings.metrics_host, settings.metrics_port
    if port is None:
        yield
        return
    ProcessCollector(registry=metrics)
    try:
        server, _ = start_http_server(port, host, registry=metrics)
    except OSError as error:
        reason = "it is in use" if error.errno == errno.EADDRINUSE else str(error.strerror or error)
        settings_of_it = "CARILLON_METRICS_HOST and CARILLON_METRICS_PORT"
        raise CannotStart(f"Cannot listen on {host}, port {port}: {reason}. See {settings_of_it}.") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
