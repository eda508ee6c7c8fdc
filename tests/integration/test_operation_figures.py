"""How long operations take, what errors they tell and to whom events go: counted alike over every transport."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from api import metrics as metrics_module
from api.metrics import ApiMetrics
from domain.budgets.ports import Rates
from domain.documents.model import hash_of
from infra.authentication.callers import Everyone
from infra.budgets.leased import LeasedBudgets
from infra.budgets.memory import MemoryBuckets
from tests.support.event_stream import event_stream
from tests.support.graphql_client import GraphQLErrors, HttpClient, graphql_socket, http_client
from tests.support.serving import serving
from tests.support.small_graph import Watched, small_app
from tests.support.stored_documents import StoredDocuments
from tests.support.waiting import until

GREET = 'query Greet($name: String! = "all") { hello(name: $name) }'
RATES = Rates(limit=1_000_000, refill_per_second=1)


@dataclass(frozen=True)
class Served:
    address: str
    client: HttpClient
    watched: Watched
    registry: CollectorRegistry

    def measure(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"carillon_{name}", labels)

    def taken(self, operation: str, kind: str, outcome: str) -> float | None:
        name = "graphql_operation_duration_seconds_count"
        return self.measure(name, operation=operation, kind=kind, outcome=outcome)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    watched, registry = Watched(), CollectorRegistry()
    app = small_app(
        watched,
        registry=registry,
        documents=StoredDocuments(GREET),
        budgets=LeasedBudgets(MemoryBuckets(RATES), RATES),
        callers=Everyone("acme"),
        tenants=("acme",),
    )
    async with serving(app) as address, http_client(address) as client:
        yield Served(address, client, watched, registry)


async def test_a_published_operation_is_measured_by_its_name(served: Served) -> None:
    body = {"documentId": f"sha256:{hash_of(GREET)}"}
    assert (await served.client.http.post("/graphql", json=body)).status_code == 200
    assert served.taken("Greet", "query", "ok") == 1


async def test_what_anybody_sends_names_no_figure(served: Served) -> None:
    await served.client.post("query Sent { hello }")
    await served.client.post(GREET)  # the text of a published one, but not asked for as that
    assert served.taken("unpublished", "query", "ok") == 2
    assert served.taken("Sent", "query", "ok") is None


async def test_operations_on_a_websocket_are_measured_too(served: Served) -> None:
    async with graphql_socket(served.address) as socket:
        await socket.execute("{ hello }")
        await socket.execute("mutation { double(number: 2) }")
        with pytest.raises(GraphQLErrors):
            await socket.execute("{ fault }")
        async with socket.subscribe("subscription { count(to: 1) }") as stream:
            assert await anext(stream) == {"count": 0}
    assert served.taken("unpublished", "query", "ok") == 1
    assert served.taken("unpublished", "mutation", "ok") == 1
    assert served.taken("unpublished", "query", "failed") == 1
    assert served.taken("unpublished", "subscription", "ok") == 1


async def test_an_operation_takes_as_long_as_it_takes(served: Served) -> None:
    await served.client.post("{ slow(seconds: 0.1) }")
    labels = {"operation": "unpublished", "kind": "query", "outcome": "ok"}
    assert (served.measure("graphql_operation_duration_seconds_sum", **labels) or 0) > 0.09
    assert served.measure("graphql_operation_duration_seconds_bucket", **labels, le="0.05") == 0


async def test_errors_are_counted_by_their_codes_each_of_them(served: Served) -> None:
    await served.client.post("{ a: unavailable b: unavailable }")
    await served.client.post("{ fault }")
    await served.client.post("{ nothing }")
    assert served.measure("graphql_errors_total", code="UNAVAILABLE") == 2
    assert served.measure("graphql_errors_total", code="INTERNAL") == 1
    assert served.measure("graphql_errors_total", code="INVALID") == 1
    assert served.measure("graphql_errors_total", code="RESYNC") == 0


async def test_errors_that_events_tell_are_counted_too(served: Served) -> None:
    async with (
        graphql_socket(served.address) as socket,
        socket.subscribe("subscription { fallBehind }") as stream,
    ):
        await anext(stream)
        with pytest.raises(GraphQLErrors):
            await anext(stream)
    assert served.measure("graphql_errors_total", code="RESYNC") == 1


def test_a_code_that_nobody_listed_is_counted_with_all_such() -> None:
    registry = CollectorRegistry()
    ApiMetrics(registry).told([{"extensions": {"code": "NEW"}}])
    assert registry.get_sample_value("carillon_graphql_errors_total", {"code": "other"}) == 1
    assert registry.get_sample_value("carillon_graphql_errors_total", {"code": "NEW"}) is None


def test_so_many_published_names_have_figures_of_their_own_and_the_rest_one() -> None:
    registry = CollectorRegistry()
    metrics = ApiMetrics(registry)
    for number in range(metrics_module.MOST_OPERATIONS + 2):
        metrics.took(0.1, "acme", operation=f"Op{number}", kind="query", outcome="ok")
    metrics.took(0.1, "acme", operation="Op0", kind="query", outcome="ok")

    def taken(operation: str) -> float | None:
        labels = {"operation": operation, "kind": "query", "outcome": "ok"}
        return registry.get_sample_value("carillon_graphql_operation_duration_seconds_count", labels)

    assert taken("Op0") == 2
    assert taken(f"Op{metrics_module.MOST_OPERATIONS}") is None
    assert taken("other") == 2


async def test_events_are_counted_as_they_are_written_shared_or_not(served: Served) -> None:
    async with graphql_socket(served.address) as socket:
        async with socket.subscribe("subscription { count(to: 3) }") as stream:
            for _ in range(3):
                await anext(stream)
        await until(lambda: served.measure("events_delivered_total") == 3)
        async with (
            socket.subscribe("subscription { live }") as one,
            socket.subscribe("subscription { live }") as two,
        ):
            await until(lambda: served.measure("shared_subscribers") == 2)
            await until(lambda: served.watched.open == 1)
            await served.watched.tell()
            await anext(one)
            await anext(two)
        await until(lambda: served.measure("events_delivered_total") == 5)
    async with event_stream(served.client.http, "subscription { count(to: 2) }") as events:
        assert len(await events.all()) == 3, "and the end"
    await until(lambda: served.measure("events_delivered_total") == 7)


async def test_a_tenant_that_is_named_has_figures_of_its_own(served: Served) -> None:
    await served.client.post("mutation { double(number: 2) }")
    labels = {"tenant": "acme", "outcome": "ok"}
    assert served.measure("tenant_operation_duration_seconds_count", **labels) == 1
    assert (served.measure("tenant_points_total", tenant="acme") or 0) > 0
    async with graphql_socket(served.address):
        assert served.measure("tenant_connections", tenant="acme") == 1
    await until(lambda: served.measure("tenant_connections", tenant="acme") == 0)


async def test_subscriptions_count_among_the_points_of_their_tenant_for_each_subscriber(served: Served) -> None:
    def points() -> float:
        return served.measure("tenant_points_total", tenant="acme") or 0

    async with graphql_socket(served.address) as socket:
        async with (
            socket.subscribe("subscription { live }"),
            socket.subscribe("subscription { live }"),
        ):
            await until(lambda: points() >= 2)
            assert served.measure("shared_subscribers") == 2
            shared = points()
        async with socket.subscribe("subscription { count(to: 1) }") as stream:
            await anext(stream)
    assert points() > shared


async def test_tenants_that_are_not_named_have_theirs_together() -> None:
    registry = CollectorRegistry()
    app = small_app(registry=registry, callers=Everyone("stranger"), tenants=("acme",))
    async with serving(app) as address, http_client(address) as client:
        await client.post("{ hello }")
        async with graphql_socket(address):
            assert registry.get_sample_value("carillon_tenant_connections", {"tenant": "other"}) == 1
    name = "carillon_tenant_operation_duration_seconds_count"
    assert registry.get_sample_value(name, {"tenant": "other", "outcome": "ok"}) == 1
    assert registry.get_sample_value(name, {"tenant": "stranger", "outcome": "ok"}) is None
