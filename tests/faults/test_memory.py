"""Whatever clients do, and whatever is gone: the memory of each process is bounded, and it serves on."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import httpx2
import pytest

from api.payloads import MAX_BYTES
from tests.faults.conftest import RETURN_SECONDS, Behind, lose
from tests.support.asking import CREATE, READ, create, create_many, due, latest_cursor, run, until_told
from tests.support.following import Follower
from tests.support.graphql_client import (
    GraphQLErrors,
    HttpClient,
    SocketClosed,
    graphql_socket,
    http_client,
    raw_socket,
)
from tests.support.history import all_tasks, check_each_was_done_once
from tests.support.installation import Installation, open_installation
from tests.support.memory import highest, idle_sockets, many_files, resident
from tests.support.socket_talk import ACK, INIT, hear, say, subscribe
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

MEGABYTE = 1024
"""In KiB, as memory is told here."""
PER_SOCKET = 40
SLACK = 8 * MEGABYTE
"""What any process may come to hold while it is watched: buffers, caches that fill, pieces of the heap."""

VIEWER = "{ viewer { tenant } }"
OPEN = "carillon_websocket_connections "

UNREAD = 20
EVENTS, PAYLOAD, TOGETHER = 500, 16_000, 50
KEPT_UNREAD = 100 * MEGABYTE
"""For all who do not read; what they are sent is half as much again."""

HUGE_AT_ONCE, ROUNDS = 8, 2
HUGE = 120 * MEGABYTE

ASKING = 8
"""Clients that go on while PostgreSQL is away."""
RUNNING, WAITING = 20, 30


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
        first = await a_round()
        print(f"{highest(api.pid) - before} KiB at most, {first - before} after")
        assert highest(api.pid) - before < HUGE
        most = highest(api.pid)
        for _ in range(ROUNDS - 1):
            await a_round()
        assert highest(api.pid) - most < 2 * SLACK


@pytest.mark.fault(45, "PostgreSQL away for so many seconds while clients go on")
@pytest.mark.parametrize("seconds", [8, pytest.param(300, marks=pytest.mark.long)])
async def test_no_process_grows_while_postgresql_is_away(behind: Behind, seconds: float) -> None:
    installation, client = behind.installation, behind.clients[0]
    queue, refused = f"memory-{seconds}", 0
    follower = Follower(after=await latest_cursor(client))
    async with follower.at(installation.api):
        working = [a_task(queue, seconds=1.5) for _ in range(RUNNING)]
        waiting = [a_task(queue, seconds=0.1, at=due(1 + number / 10)) for number in range(WAITING)]
        ids = await create_many(client, working + waiting)
        await lose(behind.proxies.postgres, "refuse")
        stop = asyncio.Event()

        async def insist(api: HttpClient) -> None:
            """A task, a list, and a subscription, again and again."""
            nonlocal refused
            while not stop.is_set():
                for query, variables in (
                    (CREATE, {"input": {"title": "Not now", "queue": queue}}),
                    (READ, {"id": ids[-1]}),
                    ("{ tasks(first: 5) { nodes { id } } }", {}),
                ):
                    body = (await api.post(query, **variables)).json()
                    refused += "errors" in body
                with suppress(GraphQLErrors, SocketClosed, TimeoutError):
                    async with (
                        graphql_socket(str(api.http.base_url).rstrip("/")) as socket,
                        socket.subscribe("subscription { taskEvents { id } }"),
                    ):
                        await socket.execute(VIEWER)

        insisting = [asyncio.create_task(insist(behind.clients[n % 2])) for n in range(ASKING)]
        began = time.monotonic()
        await until(lambda: time.monotonic() - began > seconds / 2, seconds)
        half = {member.pid: resident(member.pid) for member in installation.members}
        await until(lambda: time.monotonic() - began > seconds, seconds)
        grown = {pid: resident(pid) - before for pid, before in half.items()}
        stop.set()
        await asyncio.gather(*insisting)
        told = [(member.kind, half[member.pid], grown[member.pid]) for member in installation.members]
        print(f"{refused} refused; {told}")
        assert refused > ASKING
        assert max(grown.values()) < SLACK, told
        await behind.proxies.postgres.accept()
        await until(lambda: len(follower.heard) >= len(ids), RETURN_SECONDS + 30)
        await installation.quiet()
    tasks = await all_tasks(client, queue)
    assert {task["id"] for task in tasks} >= set(ids)
    check_each_was_done_once(tasks, installation.ledger)
    assert (await until_told(client, await create(client, "After"), 10))["state"] == "SUCCEEDED"


def a_task(queue: str, *, seconds: float, at: str | None = None) -> dict[str, object]:
    return {"title": "Work", "queue": queue, "action": run("work", seconds=seconds), "scheduledAt": at}


def in_variables(value: str) -> str:
    query = "query ($x: JSON) { viewer { tenant } preview: tasks(first: 1) { nodes { id } } }"
    return f'{{"query": {json.dumps(query)}, "variables": {{"x": {value}}}}}'


async def open_sockets(client: HttpClient) -> int:
    text = (await client.http.get("/metrics")).text
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(OPEN)))


async def none_open(client: HttpClient) -> bool:
    return await open_sockets(client) == 0
