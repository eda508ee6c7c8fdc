"""What the API counts, and the page where Prometheus reads it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from graphql_plans import Fallback
from schema.error_codes import LIMITS

log = logging.getLogger(__name__)

REFRESH_TIMEOUT = 2.5
"""Seconds in which gauges that are read from storage must come; Prometheus gives a scrape ten."""


class ApiMetrics:
    """Labels are bounded: none ever holds what a client sent."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Histogram(
            "carillon_http_request_duration_seconds",
            "How long requests took, by route and status",
            ["method", "route", "status"],
            registry=registry,
        )
        self.operations = Counter(
            "carillon_graphql_operations",
            "Operations by kind (query, mutation, subscription, unknown) and outcome (ok; errors that their"
            " caller can put right; refused before they were executed; failed for a reason of ours)",
            ["kind", "outcome"],
            registry=registry,
        )
        for kind in ("query", "mutation", "subscription", "unknown"):
            for outcome in ("ok", "errors", "refused", "failed"):
                self.operations.labels(kind, outcome)
        self.fallbacks = Counter(
            "carillon_graphql_fallbacks",
            "Repeated operations, and parts of them, that graphql-core executed instead of a plan, by reason",
            ["reason"],
            registry=registry,
        )
        self.sockets = Gauge("carillon_websocket_connections", "Open websockets", registry=registry)
        self.subscriptions = Gauge(
            "carillon_subscriptions_active",
            "Running subscriptions by transport (websocket, sse)",
            ["transport"],
            registry=registry,
        )
        for transport in ("websocket", "sse"):
            self.subscriptions.labels(transport)
        self.groups = Gauge(
            "carillon_shared_subscriptions",
            "Executions of subscriptions that serve all who subscribed to the same",
            registry=registry,
        )
        self.members = Gauge(
            "carillon_shared_subscribers", "Subscribers that shared executions serve", registry=registry
        )
        self.executions = Counter(
            "carillon_shared_executions",
            "Responses of shared subscriptions, each executed and encoded once",
            registry=registry,
        )
        self.deliveries = Counter(
            "carillon_shared_deliveries",
            "Responses of shared subscriptions, as often as they were given to a subscriber",
            registry=registry,
        )
        self.resyncs = Counter(
            "carillon_shared_resyncs",
            "Subscribers of shared ones ended because they fell behind",
            registry=registry,
        )
        self.limits = Counter(
            "carillon_api_limits_hit",
            "Requests and messages that were cut off by a limit, by the limit",
            ["limit"],
            registry=registry,
        )
        for code in LIMITS:
            self.limits.labels(code.lower())
        self.unauthenticated = Counter(
            "carillon_unauthenticated",
            "Requests and sockets without a valid credential, or whose credential ended, by transport",
            ["transport"],
            registry=registry,
        )
        self.faults = Counter(
            "carillon_api_faults", "Requests that ended in an internal error", registry=registry
        )

    def fell_back(self, reason: Fallback) -> None:
        self.fallbacks.labels(reason).inc()


class MetricsPage:
    def __init__(self, registry: CollectorRegistry, refresh_gauges: Callable[[], Awaitable[None]]) -> None:
        self._registry = registry
        self._refresh_gauges = refresh_gauges
        self._failures = Counter(
            "carillon_gauges_failures", "Scrapes that were answered with older gauges", registry=registry
        )
        ProcessCollector(registry=registry)

    async def answer(self, _: Request) -> Response:
        try:
            async with asyncio.timeout(REFRESH_TIMEOUT):
                await self._refresh_gauges()
        except Exception:  # a scrape tells what it can; this failure is counted in it
            self._failures.inc()
            log.warning("the gauges could not be refreshed", exc_info=True)
        return Response(generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_LATEST})
