"""The page where Prometheus reads what the process counts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import Unavailable

log = logging.getLogger(__name__)

REFRESH_TIMEOUT = 2.5
"""Seconds in which gauges that are read from storage must come; Prometheus gives a scrape ten."""


class MetricsPage:
    """Rendered one at a time; those who ask meanwhile share the next one, which is no older than they are."""

    def __init__(self, registry: CollectorRegistry, refresh_gauges: Callable[[], Awaitable[None]]) -> None:
        self._registry = registry
        self._refresh_gauges = refresh_gauges
        self._failures = Counter(
            "carillon_gauges_failures",
            "Scrapes that were answered with older gauges or none, as what they are read from is gone or slow",
            registry=registry,
        )
        ProcessCollector(registry=registry)
        self._rendering = asyncio.Lock()
        self._begun = 0
        self._rendered = 0
        self._text = b""

    async def answer(self, _: Request) -> Response:
        before = self._begun
        async with self._rendering:
            if self._rendered <= before:
                self._begun = number = self._begun + 1
                await self._refresh()
                self._text, self._rendered = generate_latest(self._registry), number
        return Response(self._text, headers={"content-type": CONTENT_TYPE_LATEST})

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(REFRESH_TIMEOUT):
                await self._refresh_gauges()
        except Unavailable as fault:  # an outage, which is logged by who met it
            self._failures.inc()
            log.debug("the gauges are out of date", extra={"fault": str(fault)})
        except Exception:  # a scrape tells what it can; this failure is counted in it
            self._failures.inc()
            log.warning("the gauges could not be refreshed", exc_info=True)
