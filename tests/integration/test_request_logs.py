"""Which requests leave a line in the log, and how many did not."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

from api import trace
from api.metrics import ApiMetrics
from api.trace import Traced
from tests.support.waiting import settle_down

DRAWS = (0.009, 0.5, 0.02, 0.999)
REASONS = ("failed", "slow", "drawn", "not")


async def answered(
    registry: CollectorRegistry,
    requests: int,
    status: int = 200,
    share: float = 0.01,
    place: str = "/graphql?query=hunter2",
) -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await settle_down()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    draws: Iterator[float] = iter(DRAWS)
    app = Traced(answer, ApiMetrics(registry), lambda _: {}, log_share=share, draw=lambda: next(draws))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
        for _ in range(requests):
            await client.post(place, json={"query": "hunter2"})


def counted(registry: CollectorRegistry) -> dict[str, float | None]:
    name = "carillon_http_requests_logged_total"
    return {reason: registry.get_sample_value(name, {"reason": reason}) for reason in REASONS}


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    about = [vars(record) for record in caplog.records if record.getMessage() == "a request"]
    return [(each["levelname"], each["reason"]) for each in about]


async def test_of_ordinary_requests_a_share_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    registry = CollectorRegistry()
    await answered(registry, 4)
    assert lines(caplog) == [("INFO", "drawn")]
    assert counted(registry) == {"failed": 0, "slow": 0, "drawn": 1, "not": 3}
    assert "hunter2" not in "".join(
        str(vars(record)) for record in caplog.records if record.name == "api.trace"
    )


@pytest.mark.parametrize(("share", "logged"), [(0, 0), (1, 4)])
async def test_none_or_all_of_them_may_be_logged(
    caplog: pytest.LogCaptureFixture, share: float, logged: int
) -> None:
    caplog.set_level("INFO")
    await answered(CollectorRegistry(), 4, share=share)
    assert len(lines(caplog)) == logged


async def test_a_request_that_failed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    await answered(registry, 2, status=500, share=0)
    assert lines(caplog) == [("WARNING", "failed")] * 2
    assert counted(registry) == {"failed": 2, "slow": 0, "drawn": 0, "not": 0}


async def test_of_those_turned_away_the_share_of_ordinary_ones_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    registry = CollectorRegistry()
    await answered(registry, 4, status=503)
    assert lines(caplog) == [("INFO", "drawn")]
    assert counted(registry) == {"failed": 0, "slow": 0, "drawn": 1, "not": 3}


async def test_a_refusal_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    await answered(CollectorRegistry(), 2, status=400, share=0)
    assert lines(caplog) == []


async def test_a_request_that_took_long_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "SLOW", 0.0)
    registry = CollectorRegistry()
    await answered(registry, 2, share=0)
    assert lines(caplog) == [("WARNING", "slow")] * 2
    assert counted(registry) == {"failed": 0, "slow": 2, "drawn": 0, "not": 0}


@pytest.mark.parametrize("place", ["/metrics", "/health/readiness"])
async def test_probes_that_wait_for_what_is_gone_are_not_logged_each_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(trace, "SLOW", 0.0)
    registry = CollectorRegistry()
    await answered(registry, 2, share=0, place=place)
    assert lines(caplog) == []
    assert counted(registry) == {"failed": 0, "slow": 0, "drawn": 0, "not": 2}


@pytest.mark.parametrize("begun", [False, True])
async def test_a_fault_counts_as_a_failure_before_and_after_the_answer_began(
    caplog: pytest.LogCaptureFixture, *, begun: bool
) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    registry = CollectorRegistry()
    app = Traced(fail, ApiMetrics(registry), lambda _: {})
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app, raise_app_exceptions=False), base_url="http://here"
    ) as client:
        await client.post("/graphql")
    assert lines(caplog) == [("WARNING", "failed")]
    assert counted(registry) == {"failed": 1, "slow": 0, "drawn": 0, "not": 0}
    labels = {"method": "POST", "route": "/graphql", "status": "500"}
    assert registry.get_sample_value("carillon_http_request_duration_seconds_count", labels) == 1
