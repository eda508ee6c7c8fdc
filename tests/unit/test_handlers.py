"""Handlers are loaded by name, checked before they run, and whatever they do becomes an outcome."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from pydantic import JsonValue

from carillon import Context, Discard, Retry, Snooze, handler
from domain.actions.model import Call, Failed, Outcome, Run, Snoozed, Succeeded
from domain.errors import Invalid, Refusals, UnknownHandler
from infra.handlers.loading import HandlersNotLoaded, LoadedHandlers, load_handlers
from infra.handlers.reports import WAITING
from tests.support.waiting import until

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CALL = Call(task_id=UUID(int=7), tenant="default", attempt=2, fence=5, due_at=NOON, traceparent="")
TRACE: contextvars.ContextVar[str] = contextvars.ContextVar("TRACE", default="none")


class Noon:
    def now(self) -> datetime:
        return NOON


@dataclass
class Heard:
    """Keeps what is reported, and says when a thread reported it past the loop."""

    progressed: list[tuple[float, str | None]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def progress(self, fraction: float, message: str | None) -> None:
        self.threads.add(threading.get_ident())
        self.progressed.append((fraction, message))

    def log(self, message: str) -> None:
        self.threads.add(threading.get_ident())
        self.lines.append(message)


@contextmanager
def module(name: str, *functions: Callable[..., Any]) -> Iterator[str]:
    sys.modules[name] = ModuleType(name)
    for number, function in enumerate(functions):
        setattr(sys.modules[name], f"function_{number}", function)
    try:
        yield name
    finally:
        del sys.modules[name]


@contextmanager
def loaded(*functions: Callable[..., Any], threads: int = 2) -> Iterator[LoadedHandlers]:
    with module("handlers_of_a_test", *functions) as name:
        yield load_handlers([name], threads, Noon())


async def run(function: Callable[..., Any], /, **payload: Any) -> Outcome:
    with loaded(function) as handlers:
        return await handlers.run(Run(handler=handlers.all()[0].name, payload=payload), CALL, Heard())


async def test_the_examples_are_loaded_in_the_order_of_their_names() -> None:
    handlers = load_handlers(["examples.handlers"], 2, Noon())
    infos = handlers.all()
    assert [info.name for info in infos] == ["count_to", "echo", "fail", "sleep"]
    assert all(info.description for info in infos)
    assert infos[3].payload_schema["required"] == ["seconds"]


async def test_a_module_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_handlers.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("no_such_handlers", "examples.no_such_module", "broken_handlers"):
        with pytest.raises(HandlersNotLoaded, match=f"handlers module '{name}' cannot be loaded"):
            load_handlers([name], 2, Noon())


async def test_two_handlers_of_one_name_are_refused() -> None:
    @handler("twin")
    def one() -> None: ...

    @handler("twin")
    def other() -> None: ...

    with module("first", one) as first, module("second", other) as second, module("third", one) as third:
        with pytest.raises(HandlersNotLoaded, match="two handlers are named 'twin'"):
            load_handlers([first, second], 2, Noon())
        handlers = load_handlers([first, third], 2, Noon())
        assert [info.name for info in handlers.all()] == ["twin"], "one function in two modules"


async def test_a_module_without_handlers_is_said_to_be_so(caplog: pytest.LogCaptureFixture) -> None:
    with loaded() as handlers:
        assert handlers.all() == []
    assert "defines no handler" in caplog.text


async def test_a_run_is_checked_before_it_is_accepted() -> None:
    handlers = load_handlers(["examples.handlers"], 2, Noon())
    handlers.check(Run(handler="sleep", payload={"seconds": 1}))
    with pytest.raises(UnknownHandler) as unknown:
        handlers.check(Run(handler="weep", payload={}))
    assert unknown.value.path == ("handler",)
    assert unknown.value.message == "No handler is named 'weep': `handlers` lists those there are."
    for payload, path in (
        ({}, ("payload", "seconds")),
        ({"seconds": "1"}, ("payload", "seconds")),
        ({"seconds": -1}, ("payload", "seconds")),
        ({"seconds": 1, "more": 1}, ("payload", "more")),
    ):
        with pytest.raises(Refusals) as refused:
            handlers.check(Run(handler="sleep", payload=payload))
        assert [refusal.path for refusal in refused.value.refusals] == [path]


async def test_everything_that_is_wrong_with_a_payload_is_told_at_once() -> None:
    handlers = load_handlers(["examples.handlers"], 2, Noon())
    with pytest.raises(Refusals) as refused:
        handlers.check(Run(handler="count_to", payload={"n": "three", "more": 1}))
    told = {refusal.path: type(refusal) for refusal in refused.value.refusals}
    assert told[("payload", "n")] is told[("payload", "more")] is Invalid


async def test_the_examples_do_what_they_say() -> None:
    heard = Heard()
    handlers = load_handlers(["examples.handlers"], 2, Noon())
    echoed = await handlers.run(Run(handler="echo", payload={"value": {"a": [1, None]}}), CALL, heard)
    slept = await handlers.run(Run(handler="sleep", payload={"seconds": 0}), CALL, heard)
    failing = Run(handler="fail", payload={"message": "not yet", "times": 2})
    failed = await handlers.run(failing, CALL, heard)
    succeeded = await handlers.run(failing, Call(task_id=UUID(int=7), tenant="default", attempt=3, fence=6,
                                                 due_at=NOON, traceparent=""), heard)  # fmt: skip
    counted = await handlers.run(Run(handler="count_to", payload={"n": 4, "delay": 0}), CALL, heard)
    assert echoed == Succeeded({"a": [1, None]})
    assert slept == Succeeded(None)
    assert failed == Failed(type="RuntimeError", message="not yet")
    assert succeeded == Succeeded({"attempts": 3})
    assert counted == Succeeded(4)
    assert heard.progressed == [(0.25, "1 of 4"), (0.5, "2 of 4"), (0.75, "3 of 4"), (1.0, "4 of 4")]


async def test_counting_stops_when_it_is_cancelled() -> None:
    heard = Heard()
    handlers = load_handlers(["examples.handlers"], 2, Noon())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await handlers.run(Run(handler="count_to", payload={"n": 1_000, "delay": 60}), CALL, heard)
    assert heard.progressed == []


async def test_a_handler_knows_its_attempt() -> None:
    @handler
    async def on_the_loop(context: Context) -> JsonValue:
        return [
            context.attempt,
            context.fence,
            context.idempotency_key,
            context.cancelled,
            str(context.task_id),
        ]

    @handler
    def in_a_thread(c: Context) -> JsonValue:
        return [c.attempt, c.fence, c.idempotency_key, c.cancelled, str(c.task_id)]

    expected = Succeeded([2, 5, str(CALL.task_id), False, str(CALL.task_id)])
    assert await run(on_the_loop) == await run(in_a_thread) == expected


async def test_plain_handlers_leave_the_loop_free_and_keep_the_callers_trace() -> None:
    @handler
    def where() -> JsonValue:
        return [threading.current_thread().name.startswith("handler"), TRACE.get()]

    TRACE.set("trace-1")
    assert await run(where) == Succeeded([True, "trace-1"])


ENDINGS: list[tuple[Callable[[], BaseException], Outcome]] = [
    (Retry, Failed(type="Retry", message="asked to be tried again")),
    (lambda: Retry(after=30), Failed(type="Retry", message="asked to be tried again", after=30.0)),
    (lambda: Discard("no use"), Failed(type="Discard", message="no use", retryable=False)),
    (lambda: Snooze(for_=timedelta(hours=1)), Snoozed(NOON + timedelta(hours=1))),
    (lambda: Snooze(NOON + timedelta(days=1)), Snoozed(NOON + timedelta(days=1))),
    (lambda: Snooze(NOON - timedelta(days=1)), Snoozed(NOON)),
    (lambda: Snooze(datetime.min.replace(tzinfo=UTC)), Snoozed(NOON)),
    (lambda: KeyError("x"), Failed(type="KeyError", message="'x'")),
    (lambda: ValueError("x" * 9_000), Failed(type="ValueError", message="x" * 2_000)),
    (lambda: ValueError("a\x00\ud800b"), Failed(type="ValueError", message="a\ufffd\ufffdb")),
    (lambda: SystemExit(1), Failed(type="SystemExit", message="1")),
    (lambda: asyncio.CancelledError("its own"), Failed(type="CancelledError", message="its own")),
]


@pytest.mark.parametrize(("make", "outcome"), ENDINGS)
async def test_what_a_handler_raises_becomes_its_outcome(
    make: Callable[[], BaseException], outcome: Outcome
) -> None:
    @handler
    async def on_the_loop() -> None:
        raise make()

    @handler
    def in_a_thread() -> None:
        raise make()

    assert await run(on_the_loop) == outcome
    if not isinstance(make(), asyncio.CancelledError):
        assert await run(in_a_thread) == outcome


async def test_what_a_handler_raises_is_logged_with_its_task_and_attempt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @handler
    async def on_the_loop() -> None:
        raise KeyError("x")

    @handler
    def in_a_thread() -> None:
        raise KeyError("x")

    caplog.set_level("INFO")
    for each in (on_the_loop, in_a_thread):
        await run(each)
    raised = [vars(record) for record in caplog.records if record.getMessage() == "a handler raised"]
    assert [(each["task"], each["attempt"]) for each in raised] == [(str(CALL.task_id), CALL.attempt)] * 2


def nested(levels: int) -> list[Any]:
    result: list[Any] = []
    for _ in range(levels):
        result = [result]
    return result


@pytest.mark.parametrize(
    "result", [object(), float("nan"), "x" * 65_535, "a\x00b", nested(65), nested(100_000)], ids=range(6)
)
async def test_a_result_that_cannot_be_kept_fails_for_good(result: Any) -> None:
    @handler
    async def on_the_loop() -> Any:
        return result

    @handler
    def in_a_thread() -> Any:
        return result

    for function in (on_the_loop, in_a_thread):
        outcome = await run(function)
        assert isinstance(outcome, Failed)
        assert (outcome.type, outcome.retryable) == ("InvalidResult", False)


async def test_a_snooze_without_end_fails_for_good() -> None:
    @handler("never")
    def never() -> None:
        raise Snooze(until=datetime.max.replace(tzinfo=UTC))

    outcome = await run(never)
    assert isinstance(outcome, Failed)
    assert (outcome.type, outcome.retryable) == ("InvalidSnooze", False)


async def test_a_payload_that_no_longer_fits_fails_for_good() -> None:
    @handler
    async def changed(new: int) -> None: ...

    assert await run(changed, old=1) == Failed(
        type="InvalidPayload",
        message="new: Field required; old: Extra inputs are not permitted",
        retryable=False,
    )


async def test_a_handler_this_worker_lacks_is_left_to_another_try() -> None:
    handlers = load_handlers([], 2, Noon())
    outcome = await handlers.run(Run(handler="echo", payload={}), CALL, Heard())
    assert isinstance(outcome, Failed)
    assert (outcome.type, outcome.retryable) == ("UnknownHandler", True)


async def test_cancelling_reaches_an_async_handler_as_cancellation() -> None:
    seen: list[object] = []

    @handler
    async def patient(context: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.extend(["stopped", context.cancelled])

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await run(patient)
    assert seen == ["stopped", True]


async def test_cancelling_asks_a_plain_handler_and_waits_for_it() -> None:
    seen: list[str] = []

    @handler
    def patient(context: Context) -> None:
        seen.append("started")
        for _ in range(5_000):
            if context.cancelled:
                break
            time.sleep(0.001)
        time.sleep(0.05)
        seen.append("stopped")

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run(patient))
        await until(lambda: seen == ["started"])
        running.cancel()
        await asyncio.wait({running})
        assert seen == ["started", "stopped"], "waited for"
    assert running.cancelled()


async def test_a_second_cancellation_gives_a_stuck_thread_up() -> None:
    stuck = threading.Event()
    started = threading.Event()

    @handler
    def deaf() -> None:
        started.set()
        stuck.wait(30)

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run(deaf))
        await until(started.is_set)
        running.cancel()
        await asyncio.sleep(0.02)
        assert not running.done(), "the first one waits"
        running.cancel()
        await asyncio.wait({running})
    stuck.set()
    assert running.cancelled()


async def test_plain_handlers_run_in_so_many_threads_and_wait_their_turn() -> None:
    lock = threading.Lock()
    now = most = 0

    @handler
    def busy() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1

    with loaded(busy, threads=3) as handlers:
        outcomes = await asyncio.gather(
            *(handlers.run(Run(handler="busy", payload={}), CALL, Heard()) for _ in range(12))
        )
    assert outcomes == [Succeeded(None)] * 12
    assert most <= 3


async def test_a_plain_handler_cancelled_before_its_turn_never_starts() -> None:
    release = threading.Event()
    started: list[int] = []

    @handler
    def numbered(number: int) -> None:
        started.append(number)
        release.wait(5)

    with loaded(numbered, threads=1) as handlers:
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(
                handlers.run(Run(handler="numbered", payload={"number": 1}), CALL, Heard())
            )
            await until(lambda: started == [1])
            second = tasks.create_task(
                handlers.run(Run(handler="numbered", payload={"number": 2}), CALL, Heard())
            )
            await asyncio.sleep(0.01)
            second.cancel()
            await asyncio.wait({second})
            release.set()
            await first
    assert started == [1]


async def test_reports_reach_the_loop_from_threads_too_in_order_and_before_the_end() -> None:
    @handler
    def in_a_thread(context: Context) -> None:
        for number in range(50):
            context.log(f"line {number}")
        context.progress(0.5, "half")

    @handler
    async def with_a_thread(context: Context) -> None:
        await asyncio.to_thread(context.log, "from a thread")
        context.log("x" * 9_000 + "end")
        context.log("a\x00b")

    heard = Heard()
    with loaded(in_a_thread, with_a_thread) as handlers:
        await handlers.run(Run(handler="in_a_thread", payload={}), CALL, heard)
        assert heard.lines == [f"line {number}" for number in range(50)]
        assert heard.progressed == [(0.5, "half")]
        heard.lines.clear()
        await handlers.run(Run(handler="with_a_thread", payload={}), CALL, heard)
        await until(lambda: len(heard.lines) == 3)
    assert sorted(heard.lines) == sorted(["from a thread", "x" * 2_000, "a\ufffdb"])
    assert heard.threads == {threading.get_ident()}


async def test_a_thread_that_reports_too_fast_loses_the_oldest_and_is_told() -> None:
    @handler
    def talkative(context: Context) -> None:
        for number in range(1_000):
            context.log(str(number))

    heard = Heard()
    with loaded(talkative) as handlers:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(handlers.run(Run(handler="talkative", payload={}), CALL, heard))
            await asyncio.sleep(0)
            time.sleep(0.2)  # noqa: ASYNC251  a loop that is held up is what this is about
            await running
    assert heard.lines[-1] == "999"
    assert len(heard.lines) == WAITING + 1
    assert heard.lines[0] == f"{1_000 - WAITING} reports were dropped: they came faster than they could be told"


def test_a_handler_that_never_returns_does_not_keep_the_process() -> None:
    code = """
import asyncio, threading, time, sys
from datetime import UTC, datetime
from types import ModuleType
from uuid import UUID
from carillon import handler
from domain.actions.model import Call, Run
from infra.handlers.loading import load_handlers

started = threading.Event()

@handler
def deaf() -> None:
    started.set()
    time.sleep(600)

async def main() -> None:
    sys.modules["deaf_ones"] = ModuleType("deaf_ones")
    sys.modules["deaf_ones"].deaf = deaf
    handlers = load_handlers(["deaf_ones"], 1, None)
    call = Call(task_id=UUID(int=1), tenant="t", attempt=1, fence=1, due_at=datetime.now(UTC), traceparent="")
    running = asyncio.create_task(handlers.run(Run(handler="deaf", payload={}), call, None))
    while not started.is_set():
        await asyncio.sleep(0.001)
    for _ in range(2):
        running.cancel()
        await asyncio.sleep(0)
    await asyncio.wait({running})

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
