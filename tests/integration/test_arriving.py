"""What the bodies of one tenant take while they arrive, and while they are answered, is bounded."""

from __future__ import annotations

import asyncio
import gc
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry

from api.bounds import arriving
from domain.tenancy.model import Caller, Role
from domain.tenancy.ports import Identified
from tests.support.graphql_client import http_client
from tests.support.serving import serving
from tests.support.small_graph import Watched, small_app
from tests.support.waiting import until

KIB = 1024


class ByTenant:
    """Whoever names a tenant is its."""

    async def identify(self, credential: str | None) -> Identified:
        return Identified(caller=Caller(tenant=credential or "nobody", role=Role.ADMIN))


async def begun(address: str, tenant: str, size: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request of which so many bytes have been sent, and one is to come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(address).port)
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {tenant}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {size + 1}\r\n\r\n"
    )
    body = b'{"query":"{ hello }"'
    writer.write(head.encode() + body + b" " * (size - len(body)))
    await writer.drain()
    return reader, writer


async def test_what_arrives_of_one_tenant_is_bounded_and_that_of_another_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arriving, "MOST", 280 * KIB + 2)  # two of those, to their ends
    registry = CollectorRegistry()
    app = small_app(callers=ByTenant(), registry=registry)
    async with serving(app) as address, http_client(address) as client:
        waiting = [await begun(address, "greedy", 140 * KIB) for _ in range(2)]
        reader, writer = await begun(address, "greedy", 140 * KIB)
        assert b" 503 " in await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        assert registry.get_sample_value("carillon_api_limits_hit_total", {"limit": "overloaded"}) == 1
        greedy, modest = ({"authorization": f"Bearer {tenant}"} for tenant in ("greedy", "modest"))
        large = "{ hello }" + " " * 90 * KIB
        assert (await client.post(large, modest)).status_code == 200
        assert (await client.post("{ hello }", greedy)).status_code == 200, "what is small is taken"
        assert (await client.post(large, greedy)).status_code == 503
        for reader, writer in waiting:
            writer.write(b"}")
            assert b" 200 " in await asyncio.wait_for(reader.readline(), 10), "what came first is answered"
            writer.close()
        assert (await client.post(large, greedy)).status_code == 200, "there is room again"


async def test_what_an_operation_does_not_declare_is_not_held_while_it_is_executed() -> None:
    watched = Watched()
    value = "a value of this test"
    async with serving(small_app(watched)) as address, http_client(address) as client:
        sent = {
            "query": "query Slow($seconds: Float!) { slow(seconds: $seconds) }",
            "variables": {"seconds": 0.5, "undeclared": [[value]] * 1_000},
            "extensions": {"more": [[value]] * 1_000},
        }
        asking = asyncio.ensure_future(client.http.post("/graphql", json=sent))
        await until(lambda: watched.slow == 1)
        del sent
        lists = (each for each in gc.get_objects() if type(each) is list and len(each) == 1)
        held = sum(type(each[0]) is str and each[0] == value for each in lists)
        assert held < 10
        assert (await asking).json()["data"] == {"slow": "done"}
