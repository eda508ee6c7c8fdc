"""Which spans are told of, under which parents, and what becomes of them when nobody takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, nullcontext
from time import perf_counter
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from api.deliveries import Deliveries
from api.responses import Response
from infra.background import background
from infra.telemetry.otlp import WAITING
from infra.telemetry.spans import (
    begin_trace,
    first_span,
    in_traces,
    new_traceparent,
    note_span,
    span,
    span_for_all,
)
from infra.telemetry.trace import current_traceparent, in_trace, is_sampled
from infra.telemetry.tracing import open_tracing
from infra.together import Together
from infra.version import version
from tests.support.collector import Collector, Told, collecting
from tests.support.engine_fakes import settings_of
from tests.support.processes import free_port

ONE, TWO = f"00-{'1' * 32}-{'a' * 16}-01", f"00-{'2' * 32}-{'b' * 16}-01"
UNSAMPLED = f"00-{'3' * 32}-{'c' * 16}-00"


@asynccontextmanager
async def tracing(ratio: float = 0, registry: CollectorRegistry | None = None) -> AsyncIterator[Collector]:
    """What is told inside is there once left."""
    async with collecting() as collector:
        settings = settings_of(otlp_endpoint=collector.url, trace_sample_ratio=ratio)
        async with open_tracing(settings, registry or CollectorRegistry(), "test"):
            yield collector


def named(collector: Collector, name: str) -> Told:
    [found] = [span for span in collector.spans if span.name == name]
    return found


async def test_without_an_endpoint_nothing_is_told_and_traces_go_on_as_they_are() -> None:
    async with open_tracing(settings_of(), CollectorRegistry(), "test"):
        with in_trace(ONE), span("work") as work:
            assert work.traceparent is None
            assert current_traceparent() == ONE
        with first_span("request", "server", ONE) as request:
            assert request.traceparent == current_traceparent() == ONE
        assert is_sampled(new_traceparent()), "who comes after us may record it"
        assert is_sampled(begin_trace("fire"))


async def test_a_span_is_below_the_one_it_is_in() -> None:
    async with tracing() as collector:
        with in_trace(ONE), span("outer") as outer, span("inner", "client", notes={"keys": 3}) as inner:
            assert current_traceparent() == inner.traceparent
            note_span("sql", 0.25)
        assert current_traceparent() is None
    assert {told.trace for told in collector.spans} == {"1" * 32}
    above = [named(collector, "inner").id, named(collector, "outer").id, "a" * 16]
    assert [told.parent for told in collector.spans] == above
    assert named(collector, "inner").notes == {"keys": 3}
    assert collector.versions == {version()}
    assert named(collector, "sql").nanoseconds == pytest.approx(0.25e9, rel=0.2)
    assert outer.traceparent == f"00-{'1' * 32}-{named(collector, 'outer').id}-01"


async def test_what_is_in_no_trace_or_in_one_that_is_not_sampled_is_not_told() -> None:
    async with tracing(ratio=1) as collector:
        note_span("sql", 0.1)
        with in_trace(UNSAMPLED), span("work"):
            note_span("sql", 0.1)
            assert current_traceparent() == UNSAMPLED
        with first_span("request", "server", UNSAMPLED):
            assert current_traceparent() == UNSAMPLED
        with span_for_all("batch", [UNSAMPLED, None]):
            assert current_traceparent() is None
        assert not is_sampled(new_traceparent())
    assert collector.spans == []


@pytest.mark.parametrize("ratio", [0, 1])
async def test_the_ratio_decides_on_traces_that_begin_here(ratio: int) -> None:
    async with tracing(ratio) as collector:
        with first_span("request", "server", None) as request:
            note_span("sql", 0.1)
        assert request.traceparent is not None
        assert is_sampled(request.traceparent) == bool(ratio)
        assert is_sampled(begin_trace("fire")) == bool(ratio)
    assert sorted(told.name for told in collector.spans) == ["fire", "request", "sql"] * ratio


async def test_what_is_done_for_several_is_linked_to_each() -> None:
    async with tracing() as collector:
        with span_for_all("alone", [ONE, ONE, UNSAMPLED]):
            note_span("sql", 0.1)
        with span_for_all("batch", [ONE, TWO, UNSAMPLED, None]):
            note_span("sql of all", 0.1)
    assert named(collector, "alone").parent == "a" * 16
    batch = named(collector, "batch")
    assert batch.parent == ""
    assert batch.links == {"1" * 32, "2" * 32}
    assert batch.trace not in batch.links
    assert named(collector, "sql of all").parent == batch.id


async def test_what_gathers_has_a_span_of_its_own_for_several_alone() -> None:
    async with tracing() as collector:
        with in_traces([ONE, ONE]):
            assert current_traceparent() == ONE
        with in_traces([ONE, TWO]):
            note_span("sql", 0.1)
    assert [told.name for told in collector.spans] == ["sql", "together"]


async def test_each_statement_of_several_askers_is_in_their_trace_alone() -> None:
    seen: list[str | None] = []

    async def state(_: str, numbers: Any) -> list[int]:
        seen.append(current_traceparent())
        await asyncio.sleep(0)
        return list(numbers)

    async with background() as tasks:
        together: Together[str, int, int] = Together(state, tasks, most=1)
        with in_trace(ONE):
            first = asyncio.create_task(together.ask("key", 1))
        with in_trace(TWO):
            second = asyncio.create_task(together.ask("key", 2))
        await asyncio.gather(first, second)
    assert seen == [ONE, TWO]


async def test_a_fault_is_told_by_its_kind_and_never_by_its_words() -> None:
    async with tracing() as collector:
        with pytest.raises(ValueError, match="hunter2"), in_trace(ONE), span("work"):
            raise ValueError("hunter2")
    assert named(collector, "work").failed
    assert named(collector, "work").notes == {"error.type": "ValueError"}
    assert b"hunter2" not in b"".join(collector.bodies)


async def test_an_event_on_its_way_is_in_its_own_trace_until_it_was_told() -> None:
    deliveries = Deliveries()

    async def responses() -> AsyncGenerator[Response, None]:
        for traceparent in (ONE, TWO, UNSAMPLED, None):
            deliveries.begin(traceparent)
            note_span("sql", 0.1)
            yield Response(str(traceparent).encode())

    async with tracing() as collector:
        told = [response async for response in deliveries.told(responses(), nullcontext())]
        assert current_traceparent() == UNSAMPLED, "what has no trace of its own changes nothing"
    assert [response.span is not None for response in told] == [True, True, True, False]
    assert sorted((span.name, span.trace[0]) for span in collector.spans) == [
        ("deliver", "1"),
        ("deliver", "2"),
        ("sql", "1"),
        ("sql", "2"),
    ]


async def test_a_delivery_that_is_broken_off_has_ended_as_well() -> None:
    deliveries = Deliveries()

    async def responses() -> AsyncGenerator[Response, None]:
        deliveries.begin(ONE)
        yield Response(b"{}")

    async with tracing() as collector, aclosing(deliveries.told(responses(), nullcontext())) as told:
        await anext(told)
    assert [span.name for span in collector.spans] == ["deliver"]


async def test_notes_are_bounded() -> None:
    async with tracing() as collector:
        with in_trace(ONE), span("work") as work:
            for number in range(100):
                work.note(f"note {number}", "x" * 10_000)
    assert len(named(collector, "work").notes) == 32
    assert {len(value) for value in named(collector, "work").notes.values()} == {256}


async def test_spans_that_nobody_takes_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    settings = settings_of(otlp_endpoint=f"http://someone:hunter2@127.0.0.1:{free_port()}")
    began = perf_counter()
    async with open_tracing(settings, registry, "test"):
        for _ in range(WAITING + 1_000):
            with in_trace(ONE), span("work"):
                pass
        assert perf_counter() - began < 60
        stopped = perf_counter()
    assert perf_counter() - stopped < 5, "a process that stops waits no longer"
    counted = {
        outcome: registry.get_sample_value("carillon_spans_total", {"outcome": outcome}) or 0
        for outcome in ("exported", "failed", "dropped")
    }
    assert counted["exported"] == 0
    assert counted["failed"] > 0
    assert counted["failed"] + counted["dropped"] == WAITING + 1_000
    said = [record for record in caplog.records if "cannot be exported" in record.getMessage()]
    assert len(said) == 1
    assert "hunter2" not in caplog.text


async def test_spans_that_are_taken_are_counted() -> None:
    registry = CollectorRegistry()
    async with tracing(registry=registry) as collector:
        for _ in range(700):
            with in_trace(ONE), span("work"):
                pass
    assert len(collector.spans) == 700
    assert registry.get_sample_value("carillon_spans_total", {"outcome": "exported"}) == 700
