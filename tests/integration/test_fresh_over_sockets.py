"""A socket that is open for long reads nothing older than what it, or anybody at another API, has written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from api.main import create_app
from infra.bootstrap import open_api_services
from infra.settings import Settings
from tests.support.asking import create
from tests.support.graphql_client import graphql_socket, http_client
from tests.support.services import RABBIT, REDIS
from tests.support.serving import serving

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

READ = "query($id: ID!) { task(id: $id) { title version } node(id: $id) { ... on Task { title } } }"
RENAME = """mutation($id: ID!, $title: String!) {
  updateTask(input: {id: $id, title: $title}) { task { title version } } }"""
TWICE = """mutation($id: ID!) {
  first: updateTask(input: {id: $id, title: "first"}) { task { title } }
  second: updateTask(input: {id: $id, title: "second"}) { task { title } } }"""
TIMES = 20


@asynccontextmanager
async def replicas(database_url: str, namespace: str) -> AsyncIterator[list[str]]:
    """The addresses of two APIs."""
    places = {"database_url": database_url, "redis_url": REDIS.url, "amqp_url": RABBIT.url}
    settings = Settings.model_validate(places | {"namespace": namespace})
    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(open_api_services(settings)) for _ in range(2)]
        yield [await stack.enter_async_context(serving(create_app(each))) for each in services]


async def test_what_a_socket_reads_is_what_was_written_last_here_or_elsewhere(
    database_url: str, namespace: str
) -> None:
    async with (
        replicas(database_url, namespace) as (here, elsewhere),
        graphql_socket(here) as socket,
        http_client(elsewhere) as other,
    ):
        id = await create(other, "Before", scheduledAt="2040-01-01T00:00:00Z")
        for number in range(TIMES):
            for writer in (socket, other):
                title = f"{number} by {type(writer).__name__}"
                task = (await writer.execute(RENAME, id=id, title=title))["updateTask"]["task"]
                assert await socket.execute(READ, id=id) == {"task": task, "node": {"title": title}}
        both = await socket.execute(TWICE, id=id)
        assert [both[name]["task"]["title"] for name in ("first", "second")] == ["first", "second"]
        assert (await socket.execute(READ, id=id))["task"]["title"] == "second"
