"""GraphQL over server-sent events: frames as the protocol has them, resumed where they stopped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import perf_counter
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry

from api import event_stream as event_stream_module
from tests.support.event_stream import COMPLETE, EVENTS, Event, event_stream
from tests.support.graphql_client import HttpClient, http_client
from tests.support.node_clients import run_client
from tests.support.serving import serving
from tests.support.small_graph import Watched, small_app
from tests.support.waiting import until

URQL_ACCEPTS = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, "
    "multipart/mixed"
)
STEPS = "subscription($to: Int!, $after: String) { steps(to: $to, after: $after) { number } }"


@dataclass(frozen=True)
class Served:
    address: str
    client: HttpClient
    watched: Watched
    registry: CollectorRegistry

    def measure(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    async def nothing_is_left(self) -> None:
        await until(lambda: self.watched.open == 0)
        await until(lambda: self.measure("carillon_subscriptions_active", transport="sse") == 0)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    watched, registry = Watched(), CollectorRegistry()
    app = small_app(watched, registry=registry, tenant_connections=2)
    async with serving(app) as address, http_client(address) as client:
        server = Served(address, client, watched, registry)
        yield server
        await server.nothing_is_left()


# Frames


async def test_each_event_is_a_frame_of_its_own_and_the_end_is_told(served: Served) -> None:
    answer = await served.client.post("subscription { count(to: 2) }", EVENTS)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "content-encoding" not in answer.headers
    assert answer.text == (
        'event: next\ndata: {"data":{"count":0}}\n\n'
        'event: next\ndata: {"data":{"count":1}}\n\n'
        "event: complete\ndata:\n\n"
    )


async def test_queries_and_mutations_are_answered_to_who_takes_nothing_else(served: Served) -> None:
    async with event_stream(served.client.http, '{ hello(name: "two\\nlines") }') as stream:
        assert await stream.all() == [Event("next", {"data": {"hello": "hello two\nlines"}}), COMPLETE]
    async with event_stream(served.client.http, "mutation { double(number: 3) }") as stream:
        assert await stream.all() == [Event("next", {"data": {"double": 6}}), COMPLETE]


@pytest.mark.parametrize(
    "accept", [URQL_ACCEPTS, "text/event-stream, */*;q=0.1", "text/event-stream,application/*"]
)
async def test_events_listed_beside_json_do_not_make_a_stream_of_one_result(
    served: Served, accept: str
) -> None:
    answer = await served.client.post("{ hello }", {"accept": accept})
    assert "json" in answer.headers["content-type"]
    assert answer.json() == {"data": {"hello": "hello world"}}
    answer = await served.client.post("subscription { count(to: 1) }", {"accept": accept})
    assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("query", ["{", "{ nothing }", "subscription { nothing }", "subscription { count }"])
async def test_what_cannot_be_executed_is_told_as_a_result(served: Served, query: str) -> None:
    async with event_stream(served.client.http, query) as stream:
        [told, end] = await stream.all()
    assert stream.response.status_code == 200
    assert told.data["errors"][0]["extensions"]["code"] == "INVALID"
    assert end == COMPLETE


async def test_what_is_no_operation_is_refused_before_a_stream_begins(served: Served) -> None:
    answer = await served.client.http.post("/graphql", json={"query": 5}, headers=EVENTS)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/json")


async def test_a_subscription_that_fell_behind_is_told_to_resync_and_ends(served: Served) -> None:
    async with event_stream(served.client.http, "subscription { fallBehind }") as stream:
        first, told, end = await stream.all()
    assert first.data == {"data": {"fallBehind": 1}}
    assert told.data["errors"][0]["extensions"]["code"] == "RESYNC"
    assert end == COMPLETE


async def test_a_query_over_its_time_is_stopped() -> None:
    async with (
        serving(small_app(timeout=0.05)) as address,
        http_client(address) as client,
        event_stream(client.http, "{ slow(seconds: 60) }") as stream,
    ):
        told, end = await stream.all()
    assert told.data["errors"][0]["extensions"]["code"] == "TIMEOUT"
    assert end == COMPLETE


async def test_a_silent_stream_is_kept_alive(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream_module, "KEEP_ALIVE", 0.01)
    async with event_stream(served.client.http, "subscription { hang }") as stream:
        assert await anext(stream) == Event("next", {"data": {"hang": "begun"}})
        assert [await stream.frame() for _ in range(3)] == [":"] * 3


# Over GET, as EventSource asks


async def test_an_event_source_of_our_own_page_can_follow(served: Served) -> None:
    answer = await served.client.http.get(
        "/graphql",
        params={"query": "subscription { count(to: 1) }"},
        headers=EVENTS | {"sec-fetch-site": "same-origin"},
    )
    assert answer.text.startswith("event: next\n")


async def test_one_of_another_page_cannot(served: Served) -> None:
    answer = await served.client.http.get(
        "/graphql",
        params={"query": "subscription { count(to: 1) }"},
        headers=EVENTS | {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    )
    assert answer.status_code == 403


# Resuming


async def test_events_carry_their_cursor_as_id_and_a_stream_resumes_behind_it(served: Served) -> None:
    async with event_stream(served.client.http, STEPS, to=3) as stream:
        first, second, _, _ = await stream.all()
    assert first == Event("next", {"data": {"steps": {"number": 1}}, "extensions": {"cursor": "1"}}, "1")
    assert second.id is not None
    async with event_stream(served.client.http, STEPS, {"last-event-id": second.id}, to=3, after="0") as stream:
        assert [event.id for event in await stream.all()] == ["3", None]


async def test_an_empty_last_event_id_is_none(served: Served) -> None:
    async with event_stream(served.client.http, STEPS, {"last-event-id": ""}, to=3, after="1") as stream:
        assert [event.id for event in await stream.all()] == ["2", "3", None]


# Bounds and ends


async def test_a_tenant_has_a_bounded_number_of_streams(served: Served) -> None:
    hang = "subscription { hang }"
    async with event_stream(served.client.http, hang) as one:
        await anext(one)
        async with event_stream(served.client.http, hang) as two:
            await anext(two)
            refused = await served.client.post(hang, EVENTS)
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["errors"][0]["extensions"] == {
                "code": "TENANT_CONNECTIONS",
                "retryable": True,
                "retryAfter": 1,
            }
        await until(lambda: served.watched.open == 1)
        async with event_stream(served.client.http, hang) as three:
            await anext(three)
    assert served.measure("carillon_api_limits_hit_total", limit="tenant_connections") == 1


async def test_leaving_ends_the_operation(served: Served) -> None:
    async with event_stream(served.client.http, "subscription { hang }") as stream:
        await anext(stream)
        assert served.watched.open == 1
        assert served.measure("carillon_subscriptions_active", transport="sse") == 1
    await served.nothing_is_left()


async def test_a_stream_is_measured_until_it_begins(served: Served) -> None:
    asked_at = perf_counter()
    async with event_stream(served.client.http, "subscription { hang }") as stream:
        await anext(stream)
        begun_at = perf_counter()
        await asyncio.sleep(0.1)
    labels = {"method": "POST", "route": "/graphql", "status": "200"}
    await until(lambda: served.measure("carillon_http_request_duration_seconds_count", **labels) == 1)
    seconds = served.measure("carillon_http_request_duration_seconds_sum", **labels)
    assert seconds is not None
    assert seconds < begun_at - asked_at


async def test_a_reader_that_stops_reading_stops_its_subscription_not_the_server(served: Served) -> None:
    address = urlsplit(served.address)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1024)
    body = json.dumps({"query": "subscription { flood(size: 65536) }"})
    head = (
        "POST /graphql HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write((head + body).encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    before = -1
    while served.watched.yielded != before:  # until nothing more fits between the two
        before = served.watched.yielded
        await asyncio.sleep(0.2)
    assert before * 65536 < 64 * 1024 * 1024
    assert await served.client.execute("{ hello }") == {"hello": "hello world"}
    writer.transport.abort()


async def test_a_stopping_server_ends_its_streams_without_calling_them_complete() -> None:
    watched = Watched()
    async with asyncio.TaskGroup() as group, serving(small_app(watched)) as address:
        heard = group.create_task(_hang_until_ended(address))
        await until(lambda: watched.open == 1)
    assert heard.result() == [Event("next", {"data": {"hang": "begun"}})]
    assert watched.open == 0


async def _hang_until_ended(address: str) -> list[Event]:
    async with http_client(address) as client, event_stream(client.http, "subscription { hang }") as stream:
        return await stream.all()


async def test_a_stopping_server_lets_a_query_in_a_stream_finish() -> None:
    begun = asyncio.Event()
    async with asyncio.TaskGroup() as group, serving(small_app()) as address:
        heard = group.create_task(_ask_slowly(address, begun))
        await begun.wait()
    assert heard.result() == [Event("next", {"data": {"slow": "done"}}), COMPLETE]


async def _ask_slowly(address: str, begun: asyncio.Event) -> list[Event]:
    async with http_client(address) as client, event_stream(client.http, "{ slow(seconds: 0.5) }") as stream:
        begun.set()
        return await stream.all()


# Clients of others


@pytest.mark.node
async def test_the_client_of_graphql_sse_is_served(served: Served) -> None:
    said = await run_client("sse.js", f"{served.address}/graphql")
    assert said == {
        "subscription": [{"data": {"count": 0}}, {"data": {"count": 1}}],
        "query": [{"data": {"hello": "hello world"}}],
        "mutation": [{"data": {"double": 4}}],
        "syntax": ["INVALID"],
        "validation": ["INVALID"],
    }


@pytest.mark.node
async def test_the_client_of_urql_gets_results_as_json_and_subscriptions_as_events(served: Served) -> None:
    said = await run_client("urql.js", f"{served.address}/graphql")
    assert said == {
        "query": {"data": {"hello": "hello world"}},
        "mutation": {"data": {"double": 4}},
        "invalid": "INVALID",
        "subscription": [{"count": 0}, {"count": 1}],
    }


@pytest.mark.node
async def test_an_event_source_that_reconnects_hears_nothing_twice(served: Served) -> None:
    said = await run_client("event-source.js", f"{served.address}/graphql")
    assert said == {"heard": [1, 2], "lastEventIds": [None, "2"]}
