"""Whatever clients do, and whatever is gone: the memory of each process is bounded, and it serves on."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from api.payloads import MAX_BYTES
from tests.support.asking import create_many, due, run
from tests.support.graphql_client import (
    HttpClient,
    graphql_socket,
    http_client,
    raw_socket,
)
from tests.support.installation import Installation, open_installation
from tests.support.memory import MEGABYTE, SLACK, highest, idle_sockets, many_files, resident
from tests.support.socket_talk import ACK, INIT, hear, say, subscribe
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

PER_SOCKET = 40

VIEWER = "{ viewer { tenant } }"
OPEN = "carillon_websocket_connections "

UNREAD = 20
EVENTS, PAYLOAD, TOGETHER = 500, 16_000, 50
KEPT_UNREAD = 100 * MEGABYTE
"""For all who do not read; what they are sent is half as much again."""

HUGE_AT_ONCE = 8
HUGE = 120 * MEGABYTE


@pytest.fixture
def files() -> Iterator[int]:
    with many_files() as most:
        yield most


@pytest.fixture
async def installation(
    files: int, postgres_server: str, migrated: str, tmp_path: Path
) -> AsyncIterator[Installation]:
    async with open_installation(
        postgres_server, migrated, tmp_path, "api", "relay", CARILLON_TENANT_CONNECTIONS="20000"
    ) as installation:
        yield installation


@pytest.mark.fault(43, "so many idle websockets at one API")
@pytest.mark.parametrize("number", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
async def test_idle_websockets_take_little_each_and_leave_nothing(
    installation: Installation, files: int, number: int
) -> None:
    if files < number + 500:
        pytest.skip(f"a process may open {files} files here")
    [api], address = installation.of("api"), installation.api
    async with http_client(address) as client:

        async def filled() -> int:
            """What is held with all of them open."""
            sockets = await idle_sockets(address, number)
            assert await open_sockets(client) == number
            assert await client.execute(VIEWER), "it serves others"
            assert all(socket.open for socket in sockets)
            held = resident(api.pid)
            for socket in sockets:
                socket.transport.abort()
            await until(lambda: none_open(client), 60)
            return held

        for socket in await idle_sockets(address, 50):
            socket.transport.abort()
        await until(lambda: none_open(client), 10)
        before = resident(api.pid)
        first = await filled()
        print(f"{(first - before) / number:.1f} KiB for each of {number}; {before} KiB before")
        assert (first - before) / number < PER_SOCKET
        assert await filled() - first < SLACK, "what the first took is used again"


@pytest.mark.fault(30, "subscribers of an API process that never read")
async def test_who_never_reads_is_kept_little_for_and_who_reads_is_told_all(
    installation: Installation,
) -> None:
    [api], address = installation.of("api"), installation.api
    query = "subscription { NAME: taskEvents { kind task { title action { ... on RunAction { payload } } } } }"
    async with http_client(address) as client, AsyncExitStack() as stack:
        reader = await stack.enter_async_context(graphql_socket(address))
        told = await stack.enter_async_context(reader.subscribe("subscription { taskEvents { kind taskId } }"))
        for number in range(UNREAD):  # each with a name of its own: none shares what is encoded
            socket = await stack.enter_async_context(raw_socket(address))
            await say(socket, INIT, subscribe(query.replace("NAME", f"a{number}")))
            assert await hear(socket) == ACK
            socket.transport.pause_reading()
            stack.callback(socket.transport.abort)
        await reader.execute(VIEWER)
        task = {"title": "Large", "action": run("echo", value="x" * PAYLOAD), "scheduledAt": due(3_600)}
        before = resident(api.pid)
        for _ in range(EVENTS // TOGETHER):
            await create_many(client, [task] * TOGETHER)
        heard = {(await anext(told))["taskEvents"]["taskId"] for _ in range(EVENTS)}
        assert len(heard) == EVENTS
        print(f"{(highest(api.pid) - before) / UNREAD:.0f} KiB for each of {UNREAD}; {before} KiB before")
        assert highest(api.pid) - before < KEPT_UNREAD
        held = resident(api.pid)
        for _ in range(EVENTS // TOGETHER):
            await create_many(client, [task] * TOGETHER)
        for _ in range(EVENTS):
            await anext(told)
        assert resident(api.pid) - held < SLACK, "more events take no more"


HUGE_REQUESTS: dict[str, Callable[[], str]] = {
    "at the limit": lambda: in_variables('"' + "x" * (MAX_BYTES - 1_000) + '"'),
    "beyond the limit": lambda: in_variables('"' + "x" * (8 * MAX_BYTES) + '"'),
    "nested": lambda: in_variables("[" * 400_000 + "]" * 400_000),
    "lists": lambda: in_variables("[" + "[]," * 300_000 + "0]"),
    "objects": lambda: in_variables("[" + '{"a":1},' * 120_000 + "0]"),
    "a document": lambda: json.dumps({"query": "{" + " a" * 500_000 + "}"}),
}


@pytest.mark.fault(44, "huge requests, many at once")
async def test_huge_requests_are_refused_or_answered_and_leave_nothing(installation: Installation) -> None:
    [api] = installation.of("api")
    async with http_client(installation.api) as client:
        bodies = {name: made().encode() for name, made in HUGE_REQUESTS.items()}

        async def send(body: bytes) -> int:
            try:
                answer = await client.http.post(
                    "/graphql", content=body, headers={"content-type": "application/json"}, timeout=60
                )
            except httpx2.TransportError:
                return 0  # it hung up on a body that it does not read to its end
            return answer.status_code

        async def a_round() -> int:
            for body in bodies.values():
                statuses = Counter(await asyncio.gather(*(send(body) for _ in range(HUGE_AT_ONCE))))
                assert set(statuses) <= {0, 200, 400, 413}, statuses
            assert await client.execute(VIEWER), "it serves others"
            return resident(api.pid)

        await client.execute(VIEWER)
        before = resident(api.pid)
        first, again = await a_round(), await a_round()
        print(f"{highest(api.pid) - before} KiB at most, {first - before} and {again - before} after")
        assert highest(api.pid) - before < HUGE
        assert again - first < 2 * SLACK, "how many of them it read at a time differs, what it keeps does not"


def in_variables(value: str) -> str:
    query = "query ($x: JSON) { viewer { tenant } preview: tasks(first: 1) { nodes { id } } }"
    return f'{{"query": {json.dumps(query)}, "variables": {{"x": {value}}}}}'


async def open_sockets(client: HttpClient) -> int:
    text = (await client.http.get("/metrics")).text
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(OPEN)))


async def none_open(client: HttpClient) -> bool:
    return await open_sockets(client) == 0
