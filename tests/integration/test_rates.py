"""A tenant sends no more operations each second than it may, by whichever transport."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from domain.budgets.ports import RateLimited, Rates
from infra.budgets.leased import LeasedBudgets
from infra.budgets.memory import MemoryBuckets
from tests.support.event_stream import EVENTS
from tests.support.graphql_client import GraphQLErrors, graphql_socket, http_client
from tests.support.serving import serving
from tests.support.small_graph import small_app

REFUSED = {"code": "RATE_LIMITED", "retryable": True, "retryAfter": 0.5}
HELLO = {"query": "{ hello }"}


def two_operations() -> LeasedBudgets:
    """And no more, as its time stands still."""
    rates = Rates(limit=2, refill_per_second=2)
    return LeasedBudgets(MemoryBuckets(rates, lambda: 0.0), rates, lambda: 0.0, RateLimited)


async def test_over_http_it_is_a_429_that_says_when_to_try_again_and_answers_tell_what_is_left() -> None:
    registry = CollectorRegistry()
    app = small_app(registry=registry, rates=two_operations())
    async with serving(app) as address, http_client(address) as client:
        first = (await client.post("{ __typename }")).json()
        assert first["extensions"] == {"rate": {"remaining": 1, "limit": 2, "refillPerSecond": 2}}
        await client.post("{ no such document")
        refused = await client.post("{ __typename }")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    [error] = refused.json()["errors"]
    assert error["extensions"] == REFUSED, "what cannot be executed counts too"
    assert registry.get_sample_value("carillon_api_limits_hit_total", {"limit": "rate_limited"}) == 1


async def test_each_operation_of_a_batch_counts() -> None:
    app = small_app(rates=two_operations(), most_batched=3)
    async with serving(app) as address, http_client(address) as client:
        answered = (await client.http.post("/graphql", json=[HELLO] * 3)).json()
    assert [body["errors"][0]["extensions"] for body in answered if "errors" in body] == [REFUSED]


@pytest.mark.parametrize("query", ["{ hello }", "subscription { trace }"])
async def test_so_does_what_comes_over_a_websocket(query: str) -> None:
    async with serving(small_app(rates=two_operations())) as address, graphql_socket(address) as socket:
        for _ in range(2):
            await socket.execute("{ hello }")
        with pytest.raises(GraphQLErrors) as told:
            await socket.execute(query)
    assert told.value.errors[0]["extensions"] == REFUSED


async def test_so_does_what_is_followed_as_events() -> None:
    async with serving(small_app(rates=two_operations())) as address, http_client(address) as client:
        for _ in range(2):
            assert (await client.post("subscription { trace }", EVENTS)).status_code == 200
        assert (await client.post("subscription { trace }", EVENTS)).status_code == 429
