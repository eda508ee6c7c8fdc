"""A mutation that has begun comes to its end, and into the audit log, whichever way its caller leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from api.graph import Graph
from api.main import application
from api.metrics import ApiMetrics
from api.origins import Origins
from domain.audit.model import Ended, Outcome
from domain.tenancy.model import Caller
from infra.authentication.callers import Everyone
from infra.settings import Settings
from infra.system import SystemClock
from schema.context import Context
from schema.ids import task_id
from tests.support.event_stream import EVENTS, event_stream
from tests.support.face import TENANT, Face, operations
from tests.support.graphql_client import http_client, raw_socket
from tests.support.held_tasks import HeldTasks
from tests.support.serving import serving
from tests.support.small_graph import small_admission
from tests.support.socket_talk import ACK, INIT, hear, say, subscribe
from tests.support.waiting import until

CREATE = 'mutation { createTask(input: { title: "Mine" }) { task { id } } }'


class Served:
    """Takes down which task executes the operation that is asked for."""

    def __init__(self) -> None:
        self.face = Face()
        self.face.tasks = self.tasks = HeldTasks(self.face.clock)
        self.address = ""
        self._executing: asyncio.Task[object] | None = None

    def new_context(self, caller: Caller) -> Context:
        self._executing = asyncio.current_task()
        return self.face.context(caller)

    async def has_begun(self) -> None:
        await until(lambda: self.tasks.calls)

    async def has_noticed(self) -> None:
        """That the caller left, or that its time is over."""
        await until(lambda: self._executing is not None and self._executing.cancelling())


@asynccontextmanager
async def served(*, within: float = 20) -> AsyncIterator[Served]:
    server, registry = Served(), CollectorRegistry()
    graph = Graph(
        operations=operations(),
        admission=small_admission(operations(), registry),
        callers=Everyone(TENANT),
        new_context=server.new_context,
        metrics=ApiMetrics(registry),
        clock=SystemClock(),
        ids=server.face.ids,
        timeout=within,
        most_bytes=Settings().max_answer_bytes,
    )
    app = application(
        graph,
        registry,
        {},
        _nothing,
        allowed_hosts=Settings().allowed_hosts,
        origins=Origins(()),
        tenant_connections=10,
    )
    async with serving(app) as server.address:
        yield server


async def _nothing() -> None:
    """There are no gauges to refresh."""


async def complete(server: Served) -> None:
    async with raw_socket(server.address) as client:
        await say(client, INIT)
        assert await hear(client) == ACK
        await say(client, subscribe(CREATE))
        await server.has_begun()
        await say(client, {"id": "1", "type": "complete"})
        await server.has_noticed()


async def close_the_socket(server: Served) -> None:
    async with raw_socket(server.address) as client:
        await say(client, INIT, subscribe(CREATE))
        await server.has_begun()
    await server.has_noticed()


async def drop_the_socket(server: Served) -> None:
    async with raw_socket(server.address) as client:
        await say(client, INIT, subscribe(CREATE))
        await server.has_begun()
        client.transport.abort()
    await server.has_noticed()


async def drop_the_event_stream(server: Served) -> None:
    async with http_client(server.address) as client, event_stream(client.http, CREATE):
        await server.has_begun()
    await server.has_noticed()


async def drop_the_request(server: Served) -> None:
    async with http_client(server.address) as client, asyncio.TaskGroup() as group:
        asking = group.create_task(client.execute(CREATE))
        await server.has_begun()
        asking.cancel()


@pytest.mark.parametrize(
    "leave",
    [complete, close_the_socket, drop_the_socket, drop_the_event_stream, drop_the_request],
    ids=lambda leave: leave.__name__,
)
async def test_what_was_made_is_named_in_the_log_though_its_caller_left(
    leave: Callable[[Served], Awaitable[None]],
) -> None:
    async with served() as server:
        await leave(server)
        server.tasks.go.set()
        await _is_noted(server)


@pytest.mark.parametrize("accept", ["application/json", EVENTS["accept"]])
async def test_what_was_made_is_named_in_the_log_though_its_time_was_over(accept: str) -> None:
    async with served(within=0.05) as server, http_client(server.address) as client:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(client.post(CREATE, {"accept": accept}))
            await server.has_begun()
            await server.has_noticed()
            server.tasks.go.set()
        assert '"TIMEOUT"' in asking.result().text
        await _is_noted(server)


async def _is_noted(server: Served) -> None:
    log = server.face.audit_log
    await until(lambda: log.rows and all(ended is not None for _, ended in log.rows.values()))
    [(_, ended)] = log.rows.values()
    [made] = server.tasks.rows
    assert ended == Ended(outcome=Outcome.DONE, ids=(task_id(made),), count=1)
