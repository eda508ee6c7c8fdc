"""The API as a process: it starts without its dependencies, and ends cleanly with clients connected."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from time import perf_counter

import httpx2
import pytest

from schema.paging import stream_cursor
from tests.support.event_stream import event_stream
from tests.support.graphql_client import SocketClosed, graphql_socket, http_client
from tests.support.processes import free_port, process, until_ready
from tests.support.storage import Storage, a_draft

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def services(database_url: str, redis_url: str, amqp_url: str, namespace: str) -> dict[str, str]:
    return {
        "CARILLON_DATABASE_URL": database_url,
        "CARILLON_REDIS_URL": redis_url,
        "CARILLON_AMQP_URL": amqp_url,
        "CARILLON_NAMESPACE": namespace,
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_sends_subscribers_elsewhere_and_ends_it_cleanly(
    services: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    async with process("api", "--port", str(port), log=tmp_path / "log", environment=services) as api:
        await until_ready(address, api)
        async with (
            graphql_socket(address) as client,
            client.subscribe("subscription { taskEvents { id } }") as events,
            client.subscribe("subscription { notifications { id } }") as notifications,
        ):
            assert "viewer" in await client.execute("{ viewer { tenant } }")
            asked = perf_counter()
            api.running.send_signal(number)
            for stream in (events, notifications):
                with pytest.raises(SocketClosed) as closed:
                    await anext(stream)
                assert closed.value.code == 1012
        assert await api.ended() == 0
        assert perf_counter() - asked < 5
        assert "Traceback" not in api.said()


async def test_the_trace_of_a_request_is_that_of_the_task_it_makes(
    services: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    async with process("api", "--port", str(port), log=tmp_path / "log", environment=services) as api:
        await until_ready(address, api)
        async with http_client(address) as client:
            mutation = 'mutation { createTask(input: {title: "Traced"}) { task { traceId } } }'
            answer = await client.post(mutation, headers={"traceparent": TRACEPARENT})
        assert answer.json()["data"]["createTask"]["task"]["traceId"] == TRACEPARENT.split("-")[1]
        assert answer.headers["traceparent"] == TRACEPARENT


async def test_an_event_stream_ends_with_its_process_and_resumes_at_the_next(
    services: dict[str, str], storage: Storage, tmp_path: Path
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    remembered = stream_cursor(0)
    for title in ("First", "Second"):
        await storage.notifications.add([a_draft(tenant="default", title=title)])
        async with process("api", "--port", str(port), log=tmp_path / title, environment=services) as api:
            await until_ready(address, api)
            query, headers = "subscription { notifications { title } }", {"last-event-id": remembered}
            async with http_client(address) as client, event_stream(client.http, query, headers) as stream:
                event = await anext(stream)
                assert event.data["data"] == {"notifications": {"title": title}}
                assert event.id is not None
                remembered = event.id
                api.running.send_signal(signal.SIGTERM)
                assert await stream.all() == []
            assert await api.ended() == 0
            assert "Traceback" not in api.said()


async def test_without_a_database_it_starts_and_says_in_time_that_it_cannot_answer(
    services: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    gone = f"postgresql://postgres:hunter2@127.0.0.1:{free_port()}/nothing"
    environment = services | {"CARILLON_DATABASE_URL": gone}
    async with process("api", "--port", str(port), log=tmp_path / "log", environment=environment) as api:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await _until_listening(client)
            readiness = await client.get("/health/readiness")
            assert readiness.status_code == 503
            assert readiness.json()["checks"]["postgres"]["status"] == "down"
            started = perf_counter()
            answer = await client.post("/graphql", json={"query": "{ tasks(first: 1) { nodes { id } } }"})
            assert perf_counter() - started < 2
            assert answer.status_code == 503
            assert answer.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
        assert await api.stop() == 0
        assert "hunter2" not in api.said()


async def test_what_cannot_be_started_is_told_without_a_traceback(
    services: dict[str, str], tmp_path: Path
) -> None:
    environment = services | {"CARILLON_HANDLERS": "no.such.module"}
    async with process("api", "--port", "0", log=tmp_path / "log", environment=environment) as api:
        assert await api.ended() == 1
    assert "no.such.module" in api.said()
    assert "Traceback" not in api.said()


async def _until_listening(client: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await client.get("/health/liveness")
            except httpx2.TransportError:
                await asyncio.sleep(0.02)
            else:
                return
