"""GraphQL over websockets: the protocol to the letter, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from api import websocket
from api.payloads import MAX_BYTES
from tests.support.graphql_client import (
    GraphQLErrors,
    SocketClosed,
    graphql_socket,
    raw_socket,
)
from tests.support.serving import serving
from tests.support.small_graph import Watched, small_app
from tests.support.socket_talk import ACK, INIT, closing, hear, say, subscribe
from tests.support.waiting import until

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@dataclass(frozen=True)
class Served:
    address: str
    watched: Watched
    registry: CollectorRegistry

    def measure(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    async def nothing_is_left(self) -> None:
        """Every socket, subscription and generator has ended."""
        await until(lambda: self.watched.open == 0)
        await until(lambda: self.measure("carillon_websocket_connections") == 0)
        assert self.measure("carillon_subscriptions_active", transport="websocket") == 0


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Served]:
    watched, registry = Watched(), CollectorRegistry()
    async with serving(small_app(watched, registry=registry)) as address:
        yield Served(address, watched, registry)


@pytest.fixture
async def served(server: Served) -> AsyncIterator[Served]:
    """What each test leaves to the next: nothing."""
    yield server
    await server.nothing_is_left()


# Operations


async def test_a_subscription_tells_each_event_and_then_its_end(served: Served) -> None:
    async with raw_socket(served.address) as client:
        assert client.subprotocol == "graphql-transport-ws"
        await say(client, INIT)
        assert await hear(client) == ACK
        await say(client, subscribe("subscription($to: Int!) { count(to: $to) }", variables={"to": 2}))
        assert await hear(client) == {"id": "1", "type": "next", "payload": {"data": {"count": 0}}}
        assert await hear(client) == {"id": "1", "type": "next", "payload": {"data": {"count": 1}}}
        assert await hear(client) == {"id": "1", "type": "complete"}
        await say(client, subscribe("subscription { count(to: 1) }"))  # the id is free again
        assert (await hear(client))["payload"] == {"data": {"count": 0}}


async def test_queries_and_mutations_are_answered_over_the_socket_too(served: Served) -> None:
    async with raw_socket(served.address) as client:
        await say(client, INIT, subscribe('{ hello(name: "you") }'))
        assert await hear(client) == ACK
        assert await hear(client) == {"id": "1", "type": "next", "payload": {"data": {"hello": "hello you"}}}
        assert await hear(client) == {"id": "1", "type": "complete"}
        await say(client, subscribe("mutation { double(number: 3) }"))
        assert (await hear(client))["payload"] == {"data": {"double": 6}}
        assert (await hear(client))["type"] == "complete"


async def test_operations_run_beside_each_other_on_one_socket(served: Served) -> None:
    async with graphql_socket(served.address) as client, client.subscribe("subscription { hang }") as stream:
        assert await anext(stream) == {"hang": "begun"}
        slow = asyncio.TaskGroup()
        async with slow as group:
            answer = group.create_task(client.execute("{ slow(seconds: 0.1) }"))
            assert await client.execute("{ hello }") == {"hello": "hello world"}
            assert not answer.done()
        assert answer.result() == {"slow": "done"}


@pytest.mark.parametrize(
    "query", ["{", "{ nothing }", "subscription { nothing }", "", "query A { hello } query B { hello }"]
)
async def test_an_operation_that_cannot_be_executed_ends_with_an_error_and_its_neighbours_go_on(
    served: Served, query: str
) -> None:
    async with graphql_socket(served.address) as client, client.subscribe("subscription { hang }") as stream:
        await anext(stream)
        async with client.subscribe(query) as refused:
            with pytest.raises(GraphQLErrors) as told:
                await refused.next_body()
        assert told.value.codes == ["INVALID"]
        assert await client.execute("{ hello }") == {"hello": "hello world"}
        assert served.watched.open == 1


async def test_an_error_while_executing_is_part_of_the_result(served: Served) -> None:
    async with graphql_socket(served.address) as client, client.subscribe("{ fault }") as stream:
        body = await stream.next_body()
        assert body["data"] is None
        assert body["errors"][0]["extensions"]["code"] == "INTERNAL"
        assert "hunter2" not in json.dumps(body)
        with pytest.raises(StopAsyncIteration):
            await stream.next_body()


async def test_a_subscription_that_fell_behind_is_told_to_resync_and_ends(served: Served) -> None:
    async with (
        graphql_socket(served.address) as client,
        client.subscribe("subscription { fallBehind }") as stream,
    ):
        assert await anext(stream) == {"fallBehind": 1}
        with pytest.raises(GraphQLErrors) as told:
            await anext(stream)
        assert told.value.codes == ["RESYNC"]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_complete_ends_the_operation_and_silences_it(served: Served) -> None:
    async with raw_socket(served.address) as client:
        await say(client, INIT, subscribe("subscription { hang }"))
        assert await hear(client) == ACK
        assert (await hear(client))["type"] == "next"
        await say(client, {"id": "1", "type": "complete"})
        await until(lambda: served.watched.open == 0)
        assert served.measure("carillon_subscriptions_active", transport="websocket") == 0
        await say(client, {"type": "ping"})
        assert await hear(client) == {"type": "pong"}  # nothing of the operation came before it


async def test_an_id_can_be_used_anew_as_soon_as_it_was_completed(served: Served) -> None:
    async with raw_socket(served.address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        for number in range(20):
            await say(client, subscribe("subscription { hang }"), {"id": "1", "type": "complete"})
            await say(client, subscribe("query($n: String!) { hello(name: $n) }", variables={"n": str(number)}))
            while (message := await hear(client))["payload"] == {"data": {"hang": "begun"}}:
                """It may have begun before it was completed."""
            assert message == {"id": "1", "type": "next", "payload": {"data": {"hello": f"hello {number}"}}}
            assert await hear(client) == {"id": "1", "type": "complete"}


async def test_complete_for_an_operation_that_is_over_changes_nothing(served: Served) -> None:
    async with graphql_socket(served.address) as client:
        await client.send({"id": "never", "type": "complete"})
        assert await client.execute("{ hello }") == {"hello": "hello world"}


async def test_a_query_over_its_time_is_stopped() -> None:
    async with serving(small_app(timeout=0.05)) as address, graphql_socket(address) as client:
        with pytest.raises(GraphQLErrors) as told:
            await client.execute("{ slow(seconds: 60) }")
        assert told.value.codes == ["TIMEOUT"]


# Ping and pong


async def test_a_ping_is_answered_with_its_payload_even_before_the_connection_is_initialised(
    served: Served,
) -> None:
    async with raw_socket(served.address) as client:
        await say(client, {"type": "ping", "payload": {"at": 5}})
        assert await hear(client) == {"type": "pong", "payload": {"at": 5}}
        await say(client, INIT, {"type": "ping"}, {"type": "pong"}, {"type": "ping", "payload": None})
        assert [await hear(client) for _ in range(3)] == [ACK, {"type": "pong"}, {"type": "pong"}]


# Closing


@pytest.mark.parametrize(
    "message",
    [
        "",
        "nonsense",
        "[]",
        "5",
        "null",
        '"ping"',
        "{}",
        '{"type": 5}',
        '{"type": null}',
        '{"type": ["ping"]}',
        '{"type": "unknown"}',
        '{"type": "next", "id": "1", "payload": {}}',
        '{"type": "connection_ack"}',
        '{"type": "ping", "payload": 5}',
        '{"type": "pong", "payload": []}',
        '{"type": "connection_init", "payload": "token"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "subscribe", "id": "1", "payload": null}',
        '{"type": "subscribe", "id": "1", "payload": []}',
        '{"type": "subscribe", "id": "1", "payload": "{ hello }"}',
        '{"type": "subscribe", "id": "1", "payload": {}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 5}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "variables": "{}"}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "operationName": 5}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "extensions": []}}',
        '{"type": "subscribe", "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": "", "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": null, "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": {"a": 1}, "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": "%s", "payload": {"query": "{ hello }"}}' % ("x" * 257),
        '{"type": "complete"}',
        '{"type": "complete", "id": 1}',
        '{"type": "ping", "payload": {"x": NaN}}',
        '{"type": "ping", "payload": {"x": 1e999}}',
        '{"type": "ping", "payload": {"x": "\\ud800"}}',
        "[" * 100_000,
        b'{"type": "ping"}',
    ],
    ids=lambda message: str(message)[:60],
)
async def test_a_message_that_is_none_closes_the_socket_with_4400(
    served: Served, message: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw_socket(served.address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        await say(client, message)
        code, reason = await closing(client)
    assert code == 4400
    assert reason.startswith("Invalid message received: ")
    assert not [record for record in caplog.records if record.exc_info]


async def test_an_operation_before_the_acknowledgement_closes_with_4401(served: Served) -> None:
    async with raw_socket(served.address) as client:
        await say(client, subscribe("{ hello }"))
        assert await closing(client) == (4401, "Unauthorized")


@pytest.mark.parametrize("protocol", ["graphql-ws", "something"])
async def test_another_subprotocol_closes_with_4406(served: Served, protocol: str) -> None:
    async with raw_socket(served.address, protocol=Subprotocol(protocol)) as client:
        assert await closing(client) == (4406, "Subprotocol not acceptable")


async def test_a_client_that_does_not_initialise_in_time_is_closed_with_4408(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "INITIALISATION_TIMEOUT", 0.1)
    async with raw_socket(served.address) as client:
        await say(client, {"type": "ping"})  # does not count
        assert await hear(client) == {"type": "pong"}
        assert await closing(client) == (4408, "Connection initialisation timeout")
    assert served.measure("carillon_api_limits_hit_total", limit="initialisation_time") == 1


async def test_the_same_id_twice_closes_with_4409_whatever_its_length(served: Served) -> None:
    operation_id = "ä" * 200  # longer in the reason than a close frame holds
    async with raw_socket(served.address) as client:
        await say(client, INIT, subscribe("subscription { hang }", operation_id))
        assert await hear(client) == ACK
        assert (await hear(client))["type"] == "next"
        await say(client, subscribe("{ hello }", operation_id))
        code, reason = await closing(client)
    assert code == 4409
    assert reason.startswith("Subscriber for ä")


async def test_initialising_twice_closes_with_4429(served: Served) -> None:
    async with raw_socket(served.address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        await say(client, INIT)
        assert await closing(client) == (4429, "Too many initialisation requests")


async def test_closing_for_a_violation_ends_the_operations_first(served: Served) -> None:
    async with raw_socket(served.address) as client:
        await say(client, INIT, subscribe("subscription { hang }"))
        assert await hear(client) == ACK
        assert (await hear(client))["type"] == "next"
        await say(client, "nonsense")
        assert (await closing(client))[0] == 4400


# Bounds


async def test_a_socket_carries_a_bounded_number_of_operations(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MAX_OPERATIONS", 3)
    async with raw_socket(served.address) as client:
        await say(client, INIT, *(subscribe("subscription { hang }", f"held {n}") for n in range(3)))
        assert [(await hear(client))["type"] for _ in range(4)] == ["connection_ack"] + ["next"] * 3
        await say(client, subscribe("{ hello }", "one more"))
        refused = await hear(client)
        assert (refused["id"], refused["type"]) == ("one more", "error")
        assert refused["payload"][0]["extensions"] == {"code": "TOO_MANY"}
        await say(client, {"id": "held 1", "type": "complete"})
        await until(lambda: served.watched.open == 2)
        await say(client, subscribe("{ hello }", "one more"))
        assert (await hear(client))["type"] == "next"
    assert served.measure("carillon_api_limits_hit_total", limit="socket_operations") == 1


async def test_a_message_over_the_limit_closes_the_socket(served: Served) -> None:
    async with raw_socket(served.address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        await say(client, json.dumps({"type": "ping", "payload": {"x": "y" * MAX_BYTES}}))
        assert (await closing(client))[0] == 1009


@pytest.mark.fault(30, "a subscriber that stops reading")
async def test_a_reader_that_stops_reading_stops_its_subscription_not_the_server(served: Served) -> None:
    async with raw_socket(served.address) as slow:
        slow.transport.pause_reading()
        await say(slow, INIT, subscribe("subscription { flood(size: 65536) }"))
        await until(lambda: served.watched.yielded > 0)
        before = -1
        while served.watched.yielded != before:  # until nothing more fits between the two
            before = served.watched.yielded
            await asyncio.sleep(0.2)
        assert before * 65536 < 64 * 1024 * 1024
        async with graphql_socket(served.address) as other:
            assert await other.execute("{ hello }") == {"hello": "hello world"}
        slow.transport.resume_reading()
        await until(lambda: served.watched.yielded > before)
        slow.transport.abort()


# Origin


async def test_a_page_of_another_site_cannot_connect(served: Served) -> None:
    for origin in ("https://evil.example", "null", "http://[", "http://[x]"):
        with pytest.raises(InvalidStatus, match="403"):
            async with raw_socket(served.address, headers={"origin": origin}):
                pass
    async with graphql_socket(served.address, headers={"origin": served.address}) as client:
        assert await client.execute("{ hello }") == {"hello": "hello world"}


# Traces


async def test_the_trace_of_the_handshake_is_that_of_its_operations(served: Served) -> None:
    async with graphql_socket(served.address, headers={"traceparent": TRACEPARENT}) as client:
        assert client.websocket.response is not None
        assert client.websocket.response.headers["traceparent"] == TRACEPARENT
        assert await client.execute("{ trace }") == {"trace": TRACEPARENT}
        assert await client.execute("subscription { trace }") == {"trace": TRACEPARENT}


async def test_each_operation_has_a_trace_of_its_own_or_the_one_it_names(served: Served) -> None:
    async with graphql_socket(served.address) as client:
        first, second = await client.execute("{ trace }"), await client.execute("{ trace }")
        assert first != second
    async with raw_socket(served.address, headers={"traceparent": TRACEPARENT}) as raw:
        other = TRACEPARENT.replace("4bf9", "5bf9")
        await say(raw, INIT, subscribe("subscription { trace }", extensions={"traceparent": other}))
        assert await hear(raw) == ACK
        assert (await hear(raw))["payload"] == {"data": {"trace": other}}


# Ends


async def test_leaving_ends_every_operation(served: Served) -> None:
    async with (
        graphql_socket(served.address) as client,
        client.subscribe("subscription { hang }") as one,
        client.subscribe("subscription { hang }") as two,
    ):
        await anext(one)
        await anext(two)
        assert served.watched.open == 2
        assert served.measure("carillon_websocket_connections") == 1
        await client.websocket.close()
        await served.nothing_is_left()


@pytest.mark.fault(31, "100 subscribers cut by reset")
async def test_a_hundred_sockets_cut_by_reset_leave_nothing_behind(served: Served) -> None:
    before = asyncio.all_tasks()
    address = urlsplit(served.address)
    writers = [await _reset_soon(address.hostname or "", address.port or 0) for _ in range(100)]
    await until(lambda: served.watched.open == 100)
    for writer in writers:
        cut = writer.get_extra_info("socket")
        cut.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    await served.nothing_is_left()
    await until(lambda: asyncio.all_tasks() <= before)


@pytest.mark.fault(31, "500 subscribers of one execution cut by reset")
async def test_five_hundred_sockets_that_share_an_execution_leave_nothing_behind(served: Served) -> None:
    before = asyncio.all_tasks()
    address = urlsplit(served.address)
    host, port = address.hostname or "", address.port or 0
    writers = [await _reset_soon(host, port, "subscription { live }") for _ in range(500)]
    await until(lambda: served.measure("carillon_shared_subscribers") == 500, 20)
    assert served.watched.open == 1
    await served.watched.tell()
    for writer in writers:
        cut = writer.get_extra_info("socket")
        cut.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    await until(lambda: served.measure("carillon_websocket_connections") == 0, 20)
    await served.nothing_is_left()
    assert served.measure("carillon_shared_subscribers") == 0
    assert served.measure("carillon_shared_subscriptions") == 0
    await until(lambda: asyncio.all_tasks() <= before)


async def test_what_is_shared_differs_by_the_id_alone(served: Served) -> None:
    async with raw_socket(served.address) as one, raw_socket(served.address) as other:
        for client, id in ((one, "1"), (other, 'a "quoted" ü')):
            await say(client, INIT, subscribe("subscription { live }", id))
            assert await hear(client) == ACK
        await until(lambda: served.measure("carillon_shared_subscribers") == 2)
        await served.watched.tell()
        first, second = await hear(one), await hear(other)
        assert first == {"id": "1", "type": "next", "payload": {"data": {"live": served.watched.number}}}
        assert second == first | {"id": 'a "quoted" ü'}


async def _reset_soon(host: str, port: int, query: str = "subscription { hang }") -> asyncio.StreamWriter:
    """A subscribed socket that knows no manners."""
    reader, writer = await asyncio.open_connection(host, port)
    head = (
        f"GET /graphql HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
    )
    frames = [json.dumps(message).encode() for message in (INIT, subscribe(query))]
    masked = b"".join(b"\x81" + bytes([0x80 | len(frame)]) + b"\0\0\0\0" + frame for frame in frames)
    writer.write(head.encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    writer.write(masked)
    return writer


async def test_a_stopping_server_closes_its_sockets_so_that_clients_reconnect() -> None:
    watched, registry = Watched(), CollectorRegistry()
    async with asyncio.TaskGroup() as group, serving(small_app(watched, registry=registry)) as address:
        ended = group.create_task(_hang_until_closed(address))
        await until(lambda: watched.open == 1)
    assert ended.result() == 1012
    assert watched.open == 0


async def _hang_until_closed(address: str) -> int | None:
    async with graphql_socket(address) as client, client.subscribe("subscription { hang }") as stream:
        await anext(stream)
        try:
            await anext(stream)
        except SocketClosed as closed:
            return closed.code
    return None
