"""More requests than can be answered soon: the rest are turned away at once, and nothing else is."""

from __future__ import annotations

import asyncio
import logging
import time

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from domain.resilience.concurrency import ConcurrencyPolicy
from domain.tenancy.model import Caller, Role
from domain.tenancy.ports import Identified
from infra.telemetry import spells
from tests.support.event_stream import EVENTS
from tests.support.graphql_client import GraphQLErrors, HttpClient, graphql_socket, http_client, raw_socket
from tests.support.serving import serving
from tests.support.small_graph import Watched, small_app
from tests.support.socket_talk import ACK, INIT, hear, say, subscribe
from tests.support.waiting import until

FULL = ConcurrencyPolicy(least=2, most=2)
SLOW = "{ slow(seconds: 1.5) }"


class ByTenant:
    """Whoever names a tenant is its."""

    async def identify(self, credential: str | None) -> Identified:
        return Identified(caller=Caller(tenant=credential or "nobody", role=Role.ADMIN))


async def ask(client: HttpClient, query: str) -> tuple[httpx2.Response, float]:
    began = time.perf_counter()
    answer = await client.post(query)
    return answer, time.perf_counter() - began


async def test_what_is_too_much_is_turned_away_at_once_with_the_time_to_come_back() -> None:
    registry, watched = CollectorRegistry(), Watched()
    async with (
        serving(small_app(watched, registry=registry, concurrency=FULL)) as address,
        http_client(address) as client,
        asyncio.TaskGroup() as group,
    ):
        under_way = [group.create_task(ask(client, SLOW)) for _ in range(2)]
        await until(lambda: watched.slow == 2)
        assert registry.get_sample_value("carillon_api_concurrency") == 2
        answer, seconds = await ask(client, "{ hello }")
        assert seconds < 1, "it does not wait for the others"
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        [error] = answer.json()["errors"]
        assert error["extensions"] == {"code": "OVERLOADED", "retryable": True, "retryAfter": 1}
        assert registry.get_sample_value("carillon_api_shed_total", {"reason": "concurrency"}) == 1
        assert (await client.http.get("/health/liveness")).status_code == 200
        for task in under_way:
            assert (await task)[0].status_code == 200
        assert (await client.post("{ hello }")).status_code == 200, "there is room again"
    assert registry.get_sample_value("carillon_api_concurrency") == 0


async def test_a_tenant_that_asks_for_all_there_is_keeps_no_other_out() -> None:
    watched = Watched()
    app = small_app(watched, callers=ByTenant(), concurrency=FULL)
    greedy, modest = ({"authorization": f"Bearer {tenant}"} for tenant in ("greedy", "modest"))
    async with (
        serving(app) as address,
        http_client(address) as client,
        graphql_socket(address, modest) as socket,
        asyncio.TaskGroup() as group,
    ):
        under_way = [group.create_task(client.post(SLOW, greedy)) for _ in range(2)]
        await until(lambda: watched.slow == 2)
        assert (await client.post("{ hello }", greedy)).status_code == 503
        assert (await client.post("{ hello }", modest)).status_code == 200
        assert await socket.execute("{ hello }")
        for task in under_way:
            await task


@pytest.mark.parametrize("query", ["{ hello }", "mutation { double(number: 4) }", "subscription { trace }"])
async def test_over_a_websocket_it_is_an_error_that_says_when_to_come_back(query: str) -> None:
    registry, watched = CollectorRegistry(), Watched()
    async with (
        serving(small_app(watched, registry=registry, concurrency=FULL)) as address,
        graphql_socket(address) as socket,
        asyncio.TaskGroup() as group,
    ):
        under_way = [group.create_task(socket.execute(SLOW)) for _ in range(2)]
        await until(lambda: watched.slow == 2)
        with pytest.raises(GraphQLErrors) as told:
            await socket.execute(query)
        [error] = told.value.errors
        assert error["extensions"] == {"code": "OVERLOADED", "retryable": True, "retryAfter": 1}
        assert registry.get_sample_value("carillon_api_limits_hit_total", {"limit": "overloaded"}) == 1
        for task in under_way:
            await task
        assert await socket.execute(query), "there is room again"
    assert registry.get_sample_value("carillon_api_concurrency") == 0


async def test_subscriptions_that_began_take_no_room() -> None:
    watched = Watched()
    async with (
        serving(small_app(watched, concurrency=FULL)) as address,
        graphql_socket(address) as socket,
        raw_socket(address) as listening,
        http_client(address) as client,
    ):
        await say(listening, INIT)
        assert await hear(listening) == ACK
        for each in range(1, 5):
            await say(listening, subscribe("subscription { hang }", str(each)))
            assert (await hear(listening))["type"] == "next"
        assert await socket.execute("{ hello }")
        assert (await client.post("{ hello }")).status_code == 200


async def test_what_is_followed_as_events_takes_room_while_it_is_executed() -> None:
    watched = Watched()
    async with (
        serving(small_app(watched, concurrency=FULL)) as address,
        http_client(address) as client,
        asyncio.TaskGroup() as group,
    ):
        under_way = [group.create_task(client.post(SLOW, EVENTS)) for _ in range(2)]
        await until(lambda: watched.slow == 2)
        assert (await client.post("{ hello }")).status_code == 503
        for task in under_way:
            assert '"slow"' in (await task).text


async def test_what_fails_or_is_broken_off_makes_room_again() -> None:
    watched = Watched()
    async with serving(small_app(watched, concurrency=FULL)) as address, http_client(address) as client:
        for query in ("{ fault }", "{", "subscription { trace }") * 2:
            await client.post(query)
        leaving = [asyncio.ensure_future(client.post(SLOW)) for _ in range(2)]
        await until(lambda: watched.slow == 2)
        for task in leaving:
            task.cancel()

        async def has_room() -> bool:
            return (await client.post("{ hello }")).status_code == 200

        await until(has_room, 5)


async def test_the_log_tells_once_that_it_begins_and_once_that_it_has_ended_with_how_many(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spells, "QUIET", 1.0)
    caplog.set_level("INFO", "api.bounds.shedding")
    watched = Watched()

    def told(level: int) -> list[logging.LogRecord]:
        return [one for one in caplog.records if (one.name, one.levelno) == ("api.bounds.shedding", level)]

    def counts() -> list[int]:
        return [vars(record)["count"] for record in told(logging.INFO)]

    async with (
        serving(small_app(watched, concurrency=FULL)) as address,
        http_client(address) as client,
        graphql_socket(address) as socket,
        asyncio.TaskGroup() as group,
    ):
        under_way = [group.create_task(client.post(SLOW)) for _ in range(2)]
        await until(lambda: watched.slow == 2)
        for _ in range(3):
            assert (await client.post("{ hello }")).status_code == 503
            assert len(told(logging.WARNING)) == 1
        with pytest.raises(GraphQLErrors):
            await socket.execute("{ hello }")
        for task in under_way:
            await task
        # What began in another test may end during this one, and has another count.
        await until(lambda: 4 in counts())
    assert len(told(logging.WARNING)) == 1
    assert counts().count(4) == 1
