"""The web application: every address the API answers at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api import graphiql
from api.admission import Admission
from api.bounds.live_connections import LiveConnections
from api.bounds.shedding import Shedding
from api.graph import Graph
from api.graphql import GraphQLOverHttp
from api.health import Check, Readiness, liveness
from api.hosts import NamedHosts
from api.metrics import ApiMetrics
from api.origins import Origins
from api.scraping import MetricsPage
from api.trace import Traced
from api.websocket import GraphQLOverWebsocket
from domain.resilience.concurrency import ConcurrencyPolicy
from infra.bootstrap import ApiServices
from infra.settings import Settings
from infra.telemetry.spans import new_traceparent, span
from infra.telemetry.trace import current_traceparent
from schema.build import build_schema
from schema.context import Contexts
from schema.limits import Limits
from schema.operations import Operations


def create_app(services: ApiServices) -> ASGIApp:
    """On services that are open for as long as the application serves."""
    settings = services.settings
    contexts = Contexts(
        services,
        poll_interval=timedelta(seconds=settings.poll_interval),
        most_bytes=settings.max_answer_bytes,
        resolving=span,
    )
    metrics = ApiMetrics(services.metrics, settings.measured_tenants)
    operations = Operations(build_schema(), metrics.fell_back, limits_of(settings), services.budgets)
    graph = Graph(
        operations=operations,
        admission=Admission(
            settings.documents, services.known_documents, services.registered_documents, operations
        ),
        callers=services.callers,
        new_context=lambda caller: contexts.new(caller, current_traceparent() or new_traceparent()),
        metrics=metrics,
        clock=services.clock,
        ids=services.ids,
        timeout=settings.operation_timeout,
        most_bytes=settings.max_answer_bytes,
        rates=services.operation_rates,
        tenant_subscriptions=settings.tenant_subscriptions,
    )
    return application(
        graph,
        services.metrics,
        services.health,
        services.gauges,
        allowed_hosts=settings.allowed_hosts,
        origins=Origins(settings.allowed_origins),
        tenant_connections=settings.tenant_connections,
        most_batched=settings.max_batch,
        log_share=settings.log_requests,
        breakers=services.breakers.states,
        concurrency=ConcurrencyPolicy(
            least=settings.api_concurrency_least,
            most=settings.api_concurrency_most,
            unnoticed=settings.api_unnoticed_latency,
        ),
    )


def limits_of(settings: Settings) -> Limits:
    return Limits(
        characters=settings.max_document_characters,
        tokens=settings.max_document_tokens,
        depth=settings.max_depth,
        aliases=settings.max_aliases,
        root_fields=settings.max_root_fields,
        directives=settings.max_directives,
        items=settings.max_list_items,
        items_in_all=settings.max_list_items_in_all,
        page=settings.max_page,
        cost=settings.max_cost,
        introspection=settings.tells_schema_to,
    )


def application(
    graph: Graph,
    registry: CollectorRegistry,
    checks: Mapping[str, Check],
    refresh_gauges: Callable[[], Awaitable[None]],
    *,
    allowed_hosts: Sequence[str],
    origins: Origins,
    tenant_connections: int,
    most_batched: int = 0,
    log_share: float = 0,
    breakers: Callable[[], Mapping[str, str]] = dict,
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy(),  # noqa: B008  it is frozen
) -> ASGIApp:
    hosts = list(allowed_hosts)
    named_as_allowed = Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    connections = LiveConnections(tenant_connections, graph.metrics)
    shedding = Shedding(concurrency, registry)
    over_http: ASGIApp = GraphQLOverHttp(graph, origins, connections, shedding, most_batched)
    for wrap, arguments, named in reversed([Middleware(NamedHosts, hosts), *origins.answering()]):
        over_http = wrap(over_http, *arguments, **named)
    over_websockets = GraphQLOverWebsocket(graph, origins, connections, shedding)
    others = Starlette(
        routes=[
            Route("/", _to_graphiql),
            WebSocketRoute("/graphql", over_websockets.serve, middleware=[named_as_allowed]),
            graphiql.assets,
            Route("/health/liveness", liveness),
            Route("/health/readiness", Readiness(checks, breakers).answer),
            Route("/metrics", MetricsPage(registry, refresh_gauges).answer),
        ]
    )

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        # Past the router and what is around it, which take a good part of a small answer's time.
        chosen = over_http if scope["type"] == "http" and scope["path"] == "/graphql" else others
        await chosen(scope, receive, send)

    return Traced(serve, metrics=graph.metrics, present=graph.present, log_share=log_share)


async def _to_graphiql(_: Request) -> Response:
    return RedirectResponse("graphql")  # relative: there may be a prefix before us
