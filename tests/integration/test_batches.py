"""Several operations in one request: refused unless an installation takes them, and then up to its bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from domain.budgets.ports import Rates
from domain.documents.model import hash_of
from infra.budgets.leased import LeasedBudgets
from infra.budgets.memory import MemoryBuckets
from tests.support.engine_fakes import settings_of
from tests.support.graphql_client import HttpClient, http_client, raw_socket
from tests.support.serving import serving
from tests.support.small_graph import Watched, small_app
from tests.support.socket_talk import ACK, INIT, hear, say
from tests.support.stored_documents import StoredDocuments
from tests.support.waiting import until

HELLO = {"query": "{ hello }"}
GREETED = {"data": {"hello": "hello world"}}
PUBLISHED = "query Hello { hello }"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
async def client(registry: CollectorRegistry, watched: Watched) -> AsyncIterator[HttpClient]:
    app = small_app(watched, registry=registry, most_batched=3, documents=StoredDocuments(PUBLISHED))
    async with serving(app) as address, http_client(address) as client:
        yield client


async def told(client: HttpClient, *batch: object) -> Any:
    answer = await client.http.post("/graphql", json=batch)
    assert answer.status_code == 200, answer.text
    return answer.json()


def code(body: Any) -> str:
    [error] = body["errors"]
    return str(error["extensions"]["code"])


async def test_a_batch_is_refused_by_default() -> None:
    assert settings_of().max_batch == 0
    async with serving(small_app()) as address, http_client(address) as client:
        for batch in ([HELLO], []):
            answer = await client.http.post("/graphql", json=batch)
            assert (answer.status_code, code(answer.json())) == (400, "BATCHING_DISABLED")


async def test_responses_have_the_order_of_the_requests(client: HttpClient) -> None:
    slow = {"query": "query ($s: Float!) { slow(seconds: $s) }", "variables": {"s": 0.05}}
    id = {"documentId": f"sha256:{hash_of(PUBLISHED)}"}
    assert await told(client, slow, HELLO, id) == [{"data": {"slow": "done"}}, GREETED, GREETED]
    assert await told(client, {"query": "mutation { double(number: 4) }"}) == [{"data": {"double": 8}}]


async def test_they_are_executed_at_the_same_time(client: HttpClient, watched: Watched) -> None:
    slow = {"query": "{ slow(seconds: 60) }"}
    asking = asyncio.create_task(client.http.post("/graphql", json=[slow, slow, slow]))
    await until(lambda: watched.slow == 3)
    asking.cancel()


async def test_one_more_than_allowed_is_refused_and_counted(
    client: HttpClient, registry: CollectorRegistry
) -> None:
    assert await told(client, *[HELLO] * 3) == [GREETED] * 3
    answer = await client.http.post("/graphql", json=[HELLO] * 4)
    assert (answer.status_code, code(answer.json())) == (400, "BATCH_TOO_LARGE")
    assert registry.get_sample_value("carillon_api_limits_hit_total", {"limit": "batch_too_large"}) == 1


async def test_what_is_wrong_with_one_is_told_in_its_place(client: HttpClient) -> None:
    wrong = [{"query": "{ nothing }"}, {"invalid": "request"}, {"query": "subscription { count(to: 1) }"}]
    assert [code(body) for body in await told(client, *wrong)] == ["INVALID", "BAD_REQUEST", "NOT_ACCEPTABLE"]
    unknown, known = await told(client, {"documentId": "sha256:none"}, HELLO)
    assert (code(unknown), known) == ("DOCUMENT_NOT_FOUND", GREETED)


@pytest.mark.parametrize("batch", [[], [HELLO, 5], [[HELLO]], [None]])
async def test_what_holds_no_requests_is_a_400(client: HttpClient, batch: list[object]) -> None:
    answer = await client.http.post("/graphql", json=batch)
    assert (answer.status_code, code(answer.json())) == (400, "BAD_REQUEST")


async def test_the_media_type_is_the_one_asked_for(client: HttpClient) -> None:
    for accept in ("application/json", "application/graphql-response+json"):
        answer = await client.http.post("/graphql", json=[{"query": "{"}], headers={"accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, f"{accept}; charset=utf-8")


async def test_each_is_taken_from_the_budget() -> None:
    rates = Rates(limit=25, refill_per_second=1)
    budgets = LeasedBudgets(MemoryBuckets(rates, lambda: 0.0), rates, lambda: 0.0)
    double = {"query": "mutation { double(number: 4) }"}
    app = small_app(budgets=budgets, most_batched=3)
    async with serving(app) as address, http_client(address) as client:
        answered = await told(client, double, double, double)
    assert sum("data" in body for body in answered) == 2
    assert [code(body) for body in answered if "errors" in body] == ["BUDGET_EXCEEDED"]
    assert {body["extensions"]["cost"]["requested"] for body in answered if "data" in body} == {10}


async def test_sockets_take_none(client: HttpClient) -> None:
    async with raw_socket(str(client.http.base_url).rstrip("/")) as socket:
        await say(socket, INIT)
        assert await hear(socket) == ACK
        await say(socket, {"id": "1", "type": "subscribe", "payload": [HELLO]})
        await socket.wait_closed()
        assert socket.close_code == 4400
