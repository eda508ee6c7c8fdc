"""What would be answered with more bytes than allowed is told so by its code, over every transport."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from domain.documents.model import hash_of
from tests.support.event_stream import COMPLETE, EVENTS, event_stream
from tests.support.graphql_client import HttpClient, graphql_socket, http_client
from tests.support.serving import serving
from tests.support.small_graph import Watched, small_app
from tests.support.stored_documents import StoredDocuments
from tests.support.waiting import until

MOST = 2_000
HELLO = "query Hello($name: String!) { hello(name: $name) }"
LONG = "x" * MOST
DOUBLE = f"mutation {{ {LONG}: double(number: 4) }}"
STEPS = f"subscription ($to: Int!) {{ steps(to: $to) {{ {LONG}: number }} }}"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
async def address(registry: CollectorRegistry, watched: Watched) -> AsyncIterator[str]:
    documents = StoredDocuments(HELLO)
    app = small_app(watched, registry=registry, most_batched=5, documents=documents, most_bytes=MOST)
    async with serving(app) as address:
        yield address


@pytest.fixture
async def client(address: str) -> AsyncIterator[HttpClient]:
    async with http_client(address) as client:
        yield client


def hits(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("carillon_api_limits_hit_total", {"limit": "answer_too_large"})


def is_left_out(body: Any) -> bool:
    codes = [error["extensions"]["code"] for error in body.get("errors", ())]
    return codes == ["ANSWER_TOO_LARGE"] and body["data"] is None


def hello(size: int) -> dict[str, Any]:
    """Answered with so many bytes."""
    rest = len('{"data":{"hello":"hello "}}')
    return {"query": HELLO, "variables": {"name": "x" * (size - rest)}}


@pytest.mark.parametrize("media_type", ["application/json", "application/graphql-response+json"])
async def test_over_http_it_is_a_200_without_data(
    client: HttpClient, registry: CollectorRegistry, media_type: str
) -> None:
    accepting = {"accept": media_type}
    most = await client.http.post("/graphql", json=hello(MOST), headers=accepting)
    assert (most.status_code, len(most.content)) == (200, MOST)
    assert hits(registry) == 0
    answer = await client.http.post("/graphql", json=hello(MOST + 1), headers=accepting)
    assert answer.status_code == 200
    assert is_left_out(answer.json())
    assert hits(registry) == 1


async def test_what_is_not_ascii_counts_as_it_is_written(client: HttpClient) -> None:
    sent = {"query": HELLO, "variables": {"name": "é" * (MOST * 3 // 4)}}
    assert is_left_out((await client.http.post("/graphql", json=sent)).json())


async def test_a_mutation_is_told_that_it_was_executed(client: HttpClient) -> None:
    answer = await client.post(DOUBLE)
    assert answer.status_code == 200
    assert is_left_out(answer.json())
    assert answer.json()["errors"][0]["message"].startswith("The mutation was executed")


async def test_a_client_keeps_no_answer_that_was_left_out(client: HttpClient) -> None:
    for size in (MOST, MOST + 1):
        answer = await client.http.get(
            "/graphql",
            params={
                "documentId": f"sha256:{hash_of(HELLO)}",
                "variables": json.dumps(hello(size)["variables"]),
            },
            headers={"graphql-require-preflight": "1"},
        )
        assert answer.status_code == 200
        assert is_left_out(answer.json()) == (size > MOST)
        assert ("etag" in answer.headers) == (size <= MOST)


async def test_the_answers_of_a_batch_are_bounded_together(
    client: HttpClient, registry: CollectorRegistry
) -> None:
    half, large, wrong = hello(MOST // 2), hello(MOST), {"query": "{ nothing }"}
    assert not any(map(is_left_out, await batch(client, half, half)))
    assert hits(registry) == 0
    answered = await batch(client, half, large, half, half, wrong)
    assert [is_left_out(body) for body in answered] == [False, True, False, True, False]
    assert answered[4]["errors"][0]["extensions"]["code"] == "INVALID"
    assert hits(registry) == 2


async def batch(client: HttpClient, *operations: dict[str, Any]) -> list[Any]:
    answer = await client.http.post("/graphql", json=operations)
    assert answer.status_code == 200
    bodies: list[Any] = answer.json()
    return bodies


async def test_over_a_socket_it_is_a_result_and_the_socket_goes_on(
    address: str, registry: CollectorRegistry
) -> None:
    async with graphql_socket(address) as socket:
        for size in (MOST + 1, MOST):
            async with socket.subscribe(**hello(size), **hello(size)["variables"]) as stream:
                assert is_left_out(await stream.next_body()) == (size > MOST)
                with pytest.raises(StopAsyncIteration):
                    await stream.next_body()
    assert hits(registry) == 1


async def test_over_sse_it_is_a_result(client: HttpClient, registry: CollectorRegistry) -> None:
    answer = await client.http.post("/graphql", json=hello(MOST + 1), headers=EVENTS)
    [_, line] = answer.text.split("\n\n")[0].split("\n")
    assert is_left_out(json.loads(line.removeprefix("data: ")))
    assert hits(registry) == 1


async def test_an_event_that_is_left_out_is_told_in_its_place_with_its_cursor(
    client: HttpClient, registry: CollectorRegistry
) -> None:
    async with event_stream(client.http, STEPS, to=2) as stream:
        *events, end = await stream.all()
    assert [event.id for event in events] == ["1", "2"]
    assert all(is_left_out(event.data) for event in events)
    assert [event.data["extensions"] for event in events] == [{"cursor": "1"}, {"cursor": "2"}]
    assert end == COMPLETE
    assert hits(registry) == 2


async def test_those_who_share_an_event_that_is_left_out_are_told_and_it_is_counted_once(
    address: str, registry: CollectorRegistry, watched: Watched
) -> None:
    async with graphql_socket(address) as one, graphql_socket(address) as other:
        query = f"subscription {{ liveText(size: {MOST}) }}"
        async with one.subscribe(query) as first, other.subscribe(query) as second:
            await until(lambda: registry.get_sample_value("carillon_shared_subscribers") == 2)
            await until(lambda: watched.open == 1)
            for number in (1, 2):
                await watched.tell()
                for stream in (first, second):
                    assert is_left_out(await stream.next_body())
                assert hits(registry) == number
