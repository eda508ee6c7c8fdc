"""What the API counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from graphql_plans import Fallback
from infra.telemetry.tenants import OTHER, naming
from schema.error_codes import CODES, LIMITS

MOST_OPERATIONS = 100
"""Names of published operations that have figures of their own in one process."""
UNPUBLISHED = "unpublished"
_CODES = frozenset(each.name for each in CODES)
_DURATION = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_TENANT_DURATION = (0.01, 0.05, 0.1, 0.5, 1, 5)


class ApiMetrics:
    """Labels are bounded: none ever holds what a client sent."""

    def __init__(self, registry: CollectorRegistry, tenants: Collection[str] = ()) -> None:
        """`tenants` have figures of their own."""
        self._tenant = naming(tenants)
        self._names: dict[str | None, str] = {None: UNPUBLISHED}
        self.requests = Histogram(
            "carillon_http_request_duration_seconds",
            "How long requests took, by route and status",
            ["method", "route", "status"],
            registry=registry,
        )
        requests_logged = Counter(
            "carillon_http_requests_logged",
            "Requests by why they were logged: failed, slow, drawn from the rest, or not logged",
            ["reason"],
            registry=registry,
        )
        self.requests_logged = {
            reason: requests_logged.labels(reason) for reason in ("failed", "slow", "drawn", "not")
        }
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
        self._durations = Histogram(
            "carillon_graphql_operation_duration_seconds",
            "How long operations took over any transport, subscriptions until they began, by name (that of a"
            " published operation, the first 100 there are, then other; unpublished), kind and outcome",
            ["operation", "kind", "outcome"],
            buckets=_DURATION,
            registry=registry,
        )
        self._durations_of = cache(self._durations.labels)
        self._tenant_durations = Histogram(
            "carillon_tenant_operation_duration_seconds",
            "How long the operations of a tenant took, by outcome",
            ["tenant", "outcome"],
            buckets=_TENANT_DURATION,
            registry=registry,
        )
        self._tenant_durations_of = cache(self._tenant_durations.labels)
        self._tenant_points = Counter(
            "carillon_tenant_points",
            "Points that the operations of a tenant cost, subscriptions when they begin",
            ["tenant"],
            registry=registry,
        )
        self._errors = Counter(
            "carillon_graphql_errors",
            "Errors told in responses and events, by code",
            ["code"],
            registry=registry,
        )
        for code in (*_CODES, OTHER):
            self._errors.labels(code)
        self.fallbacks = Counter(
            "carillon_graphql_fallbacks",
            "Repeated operations, and parts of them, that graphql-core executed instead of a plan, by reason",
            ["reason"],
            registry=registry,
        )
        self.sockets = Gauge("carillon_websocket_connections", "Open websockets", registry=registry)
        self._tenant_connections = Gauge(
            "carillon_tenant_connections",
            "Open websockets and event streams by tenant",
            ["tenant"],
            registry=registry,
        )
        for tenant in tenants:
            self._tenant_connections.labels(tenant)
        self.subscriptions = Gauge(
            "carillon_subscriptions_active",
            "Running subscriptions by transport (websocket, sse)",
            ["transport"],
            registry=registry,
        )
        for transport in ("websocket", "sse"):
            self.subscriptions.labels(transport)
        self.event_waits = Counter(
            "carillon_event_waits",
            "Events of subscriptions that waited for others of their tenant to be executed",
            registry=registry,
        )
        self.delivered = Counter(
            "carillon_events_delivered",
            "Events of subscriptions that were written to a subscriber's connection",
            registry=registry,
        )
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

    def took(self, seconds: float, tenant: str, *, operation: str | None, kind: str, outcome: str) -> None:
        """`operation` is the name of a published one."""
        self._durations_of(self._operation(operation), kind, outcome).observe(seconds)
        self._tenant_durations_of(self._tenant(tenant), outcome).observe(seconds)

    def told(self, errors: Iterable[Mapping[str, Any]]) -> None:
        """As a response has them."""
        for error in errors:
            code = error["extensions"]["code"]
            self._errors.labels(code if code in _CODES else OTHER).inc()

    def spent(self, tenant: str, points: int) -> None:
        self._tenant_points.labels(self._tenant(tenant)).inc(points)

    def connections(self, tenant: str) -> Gauge:
        return self._tenant_connections.labels(self._tenant(tenant))

    def _operation(self, name: str | None) -> str:
        if name not in self._names and len(self._names) <= MOST_OPERATIONS:
            self._names[name] = name or UNPUBLISHED
        return self._names.get(name, OTHER)
