"""Health and metrics: what supervisors, load balancers and Prometheus see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

import httpx2
import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from api import health, scraping
from api.health import Check, Readiness
from api.scraping import MetricsPage
from domain.errors import Unavailable, Unprepared
from tests.support.small_graph import small_app
from tests.support.waiting import settle_down, until


async def up() -> None:
    """Answers at once."""


async def down() -> None:
    raise ConnectionError("postgresql://carillon:hunter2@database/carillon is gone")


async def mute() -> None:
    await asyncio.Event().wait()


async def ask(app: ASGIApp, path: str) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://here") as client:
        return await client.get(path)


async def test_a_process_that_lives_says_so_whatever_else_is_gone() -> None:
    answer = await ask(small_app(checks={"postgres": down}), "/health/liveness")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_with_everything_there_it_is_ready() -> None:
    answer = await ask(small_app(checks={"postgres": up, "redis": up, "rabbitmq": up}), "/health/readiness")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert set(answer.json()["checks"]) == {"postgres", "redis", "rabbitmq"}
    assert answer.json()["checks"]["redis"]["status"] == "up"
    assert answer.json()["checks"]["redis"]["milliseconds"] >= 0


async def test_without_postgres_it_is_not_ready_and_names_it() -> None:
    answer = await ask(small_app(checks={"postgres": down, "redis": up}), "/health/readiness")
    assert answer.status_code == 503
    assert answer.json()["status"] == "unready"
    assert answer.json()["checks"]["postgres"]["status"] == "down"
    assert "hunter2" not in answer.text


async def silent() -> None:
    raise Unavailable("PostgreSQL") from ConnectionError("database:5432 hunter2")


async def unprepared() -> None:
    raise Unprepared("PostgreSQL") from LookupError("no relation tasks")


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (silent, "does not answer"),
        (mute, "does not answer"),
        (unprepared, "not migrated, or too little is granted: carillon migrate"),
        (down, "a fault of ours, which is logged"),
    ],
)
async def test_what_is_down_says_why_in_our_words_alone(
    check: Check, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT", 0.05)
    answer = await ask(small_app(checks={"postgres": check, "redis": up}), "/health/readiness")
    assert answer.json()["checks"]["postgres"]["reason"] == reason
    assert "reason" not in answer.json()["checks"]["redis"]


@pytest.mark.parametrize("gone", ["redis", "rabbitmq"])
async def test_without_what_it_can_do_without_it_is_degraded_and_serves(gone: str) -> None:
    checks = {"postgres": up, "redis": up, "rabbitmq": up, gone: down}
    answer = await ask(small_app(checks=checks), "/health/readiness")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["checks"][gone]["status"] == "down"


async def test_the_state_of_each_breaker_is_shown() -> None:
    def states() -> dict[str, str]:
        return {"postgres": "closed", "redis": "half_open"}

    app = Starlette(routes=[Route("/health/readiness", Readiness({"redis": up}, states).answer)])
    answer = await ask(app, "/health/readiness")
    assert (answer.status_code, answer.json()["breakers"]) == (200, states())
    assert answer.json()["status"] == "ready", "which goes by what answers now"


async def test_dependencies_that_do_not_answer_cost_one_time_limit_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT", 1.0)
    started = perf_counter()
    answer = await ask(
        small_app(checks={"postgres": mute, "redis": mute, "rabbitmq": mute}), "/health/readiness"
    )
    assert perf_counter() - started < 2.5, "one after the other they cost three"
    assert answer.status_code == 503
    assert {check["status"] for check in answer.json()["checks"].values()} == {"down"}


async def test_a_dependency_that_goes_is_logged_once_and_again_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here = False

    async def check() -> None:
        if not here:
            raise ConnectionError

    caplog.set_level("INFO")
    app = Starlette(routes=[Route("/health/readiness", Readiness({"redis": check}).answer)])
    await ask(app, "/health/readiness")
    await ask(app, "/health/readiness")
    here = True
    await ask(app, "/health/readiness")
    await ask(app, "/health/readiness")
    told = [record.getMessage() for record in caplog.records if record.name == "api.health"]
    assert told == ["redis does not answer its health check", "redis answers its health check again"]


async def unavailable() -> None:
    raise Unavailable("PostgreSQL") from LookupError("no such table")


@pytest.mark.parametrize(("check", "why"), [(unavailable, "LookupError"), (mute, "TimeoutError")])
async def test_what_is_known_to_be_gone_is_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, check: Check, why: str
) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT", 0.05)
    app = small_app(checks={"postgres": check})
    for _ in range(2):
        await ask(app, "/health/readiness")
    [record] = [record for record in caplog.records if record.name == "api.health"]
    assert record.exc_info is None
    assert vars(record)["fault"] == why


async def test_what_nobody_knew_could_happen_is_logged_with_where(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise KeyError("what")

    await ask(small_app(checks={"postgres": broken}), "/health/readiness")
    [record] = [record for record in caplog.records if record.name == "api.health"]
    assert record.exc_info is not None


async def test_metrics_are_in_the_prometheus_text_format() -> None:
    app = small_app()
    await ask(app, "/health/liveness")
    answer = await ask(app, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"carillon_http_request_duration_seconds", "carillon_graphql_operations"} <= families
    assert {"carillon_websocket_connections", "process_resident_memory_bytes"} <= families


def metrics_app(refresh: Callable[[], Awaitable[None]], registry: CollectorRegistry) -> Starlette:
    return Starlette(routes=[Route("/metrics", MetricsPage(registry, refresh).answer)])


async def test_a_scrape_sees_the_gauges_as_they_are_now() -> None:
    registry = CollectorRegistry()
    depth = Gauge("depth", "How much waits", registry=registry)

    async def refresh() -> None:
        depth.set(7)

    assert "depth 7.0" in (await ask(metrics_app(refresh, registry), "/metrics")).text


@pytest.mark.parametrize("refresh", [down, mute])
async def test_a_scrape_is_answered_though_the_gauges_cannot_be_read(
    refresh: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scraping, "REFRESH_TIMEOUT", 0.05)
    answer = await ask(metrics_app(refresh, CollectorRegistry()), "/metrics")
    assert answer.status_code == 200
    assert "carillon_gauges_failures_total 1.0" in answer.text


async def test_scrapes_at_the_same_time_share_one_page_that_is_no_older_than_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rendered, let, registry = 0, asyncio.Event(), CollectorRegistry()
    depth = Gauge("depth", "How much waits", registry=registry)

    async def refresh() -> None:
        depth.inc()
        await let.wait()

    def render(registry: CollectorRegistry) -> bytes:
        nonlocal rendered
        rendered += 1
        return generate_latest(registry)

    monkeypatch.setattr(scraping, "generate_latest", render)
    app = metrics_app(refresh, registry)
    async with asyncio.TaskGroup() as group:
        scrapes = [group.create_task(ask(app, "/metrics"))]
        await until(lambda: registry.get_sample_value("depth") == 1)
        scrapes += [group.create_task(ask(app, "/metrics")) for _ in range(10)]
        await settle_down()
        let.set()
    told = [each.result().text for each in scrapes]
    assert "depth 1.0" in told[0]
    assert all("depth 2.0" in each for each in told[1:])
    assert rendered == 2
    assert "depth 3.0" in (await ask(app, "/metrics")).text
