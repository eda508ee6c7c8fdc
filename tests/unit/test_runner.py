"""What the runner starts, runs and records."""

from __future__ import annotations

import asyncio

import pytest

from domain.actions.model import Call, Failed, Http, Notify, Outcome, Snoozed, Succeeded
from domain.actions.ports import Reporter
from domain.errors import Unavailable
from domain.live.ports import Signal
from infra.telemetry.trace import current_traceparent
from jobs import runner as runner_module
from tests.support.engine_fakes import NOON, TRACEPARENT, Handler, sample
from tests.support.runner_work import Work, answering, raising
from tests.support.waiting import settle_down, until

# Starting


async def test_one_statement_starts_all_and_take_returns_while_they_run() -> None:
    handler = Handler()
    work = Work({"wait": handler})
    tasks = [work.engine.add_run("wait") for _ in range(3)]
    async with work.runner() as runner:
        await runner.take(tasks)
        assert work.engine.starts == [tasks]
        await until(lambda: handler.running == 3)
        assert sample(work.services, "carillon_attempts_running") == 3
        handler.gate.set()
        await until(lambda: work.engine.states() == ["SUCCEEDED"] * 3)
    assert work.ended("succeeded") == 3
    assert work.signals.count(Signal.OUTBOX) >= 2, "one for the start, one for the end"
    assert sample(work.services, "carillon_task_lateness_seconds_sum") == pytest.approx(0.009)
    assert sample(work.services, "carillon_task_wait_seconds_sum") == pytest.approx(0.006)
    assert sample(work.services, "carillon_tenant_task_lateness_seconds_count", tenant="acme") == 3
    assert sample(work.services, "carillon_tenant_attempts_total", tenant="acme", outcome="succeeded") == 3


async def test_each_action_is_done_and_told_of_its_attempt() -> None:
    work = Work()
    reminder = work.engine.add(Notify(), state="QUEUED")
    webhook = work.engine.add(Http(url="https://example.org/"), state="QUEUED")
    handler = work.engine.add_run("echo")
    async with work.runner() as runner:
        await runner.take([reminder, webhook, handler])
        await until(lambda: work.engine.states() == ["SUCCEEDED"] * 3)
    assert work.engine.rows[handler].result == "echo"
    assert [call.task_id for call in work.webhooks.sent] == [webhook]
    [call] = work.handlers.calls
    assert (call.task_id, call.attempt, call.fence, call.due_at) == (handler, 1, 1, NOON)


async def test_it_starts_no_more_than_it_has_slots_for_and_the_rest_as_they_are_free() -> None:
    handler = Handler()
    work = Work({"wait": handler}, slots=2)
    tasks = [work.engine.add_run("wait") for _ in range(5)]
    async with work.runner() as runner, asyncio.TaskGroup() as group:
        taking = group.create_task(runner.take(tasks))
        await until(lambda: handler.running == 2)
        await settle_down()
        assert not taking.done()
        assert work.engine.states().count("RUNNING") == 2
        handler.gate.set()
        await taking
        await until(lambda: work.engine.states() == ["SUCCEEDED"] * 5)
    assert max(len(start) for start in work.engine.starts) == 2


async def test_what_waits_too_long_for_a_slot_may_be_had_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "PATIENCE", 0.01)
    handler = Handler()
    work = Work({"wait": handler}, slots=1)
    first, second = work.engine.add_run("wait"), work.engine.add_run("wait")
    async with work.runner() as runner, asyncio.TaskGroup() as group:
        await runner.take([first])
        taking = group.create_task(runner.take([second]))
        await until(lambda: work.state(second) == "SCHEDULED")
        assert work.signals.count(Signal.DUE) == 1
        await settle_down()
        assert not taking.done(), "or the broker would bring more to a worker that is full"
        handler.gate.set()
        await taking
        assert work.state(second) == "SCHEDULED"
    assert work.engine.faults.count("take_back") == 1


async def test_a_second_delivery_starts_nothing_twice() -> None:
    handler = Handler()
    work = Work({"wait": handler})
    task = work.engine.add_run("wait")
    async with work.runner() as runner:
        await runner.take([task])
        await runner.take([task])
        await until(lambda: handler.running == 1)
        handler.gate.set()
        await until(lambda: work.state(task) == "SUCCEEDED")
        await runner.take([task])
        await settle_down()
    assert len(work.handlers.calls) == 1


async def test_a_delivery_between_end_and_record_starts_nothing_twice() -> None:
    work = Work()
    task = work.engine.add_run("echo")
    async with work.runner() as runner:
        work.engine.faults.plan("finish", Unavailable("PostgreSQL"))
        await runner.take([task])
        await until(lambda: work.engine.faults.count("finish") == 1)
        await runner.take([task])
        await until(lambda: work.state(task) == "SUCCEEDED")
    assert len(work.handlers.calls) == 1


async def test_what_ran_and_was_recorded_before_a_second_deliverys_answer_came_is_not_run_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handler = Handler()
    work = Work({"wait": handler})
    task = work.engine.add_run("wait")
    async with work.runner() as runner, asyncio.TaskGroup() as group:
        await runner.take([task])
        answered = late_answers(monkeypatch, work, "start")
        taking = group.create_task(runner.take([task]))
        await until(lambda: len(work.engine.starts) == 2)
        handler.gate.set()
        await until(lambda: work.state(task) == "SUCCEEDED")
        await settle_down()
        answered.set()
        await taking
        await settle_down()
    assert len(work.handlers.calls) == 1


async def test_of_two_deliveries_at_one_time_one_waits_for_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work()
    task = work.engine.add_run("echo")
    answered = late_answers(monkeypatch, work, "start")
    async with work.runner() as runner, asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(runner.take([task]))
        await settle_down()
        assert work.engine.starts == [[task]]
        answered.set()
        await until(lambda: work.state(task) == "SUCCEEDED")
    assert len(work.handlers.calls) == 1


async def test_what_is_due_again_before_its_last_end_was_answered_is_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = Work({"fail": answering(Failed(type="Boom", message="boom"))})
    task = work.engine.add_run("fail")
    answered = late_answers(monkeypatch, work, "finish")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: work.state(task) == "RETRYING")
        work.engine.rows[task].state = "QUEUED"
        await runner.take([task])
        answered.set()
        await until(lambda: work.state(task) == "FAILED")
    assert [call.fence for call in work.handlers.calls] == [1, 2]


async def test_a_start_while_an_older_attempt_of_the_task_still_runs_is_handed_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner_module, "START_PAUSE", 0.001)
    handler = Handler()
    work = Work({"wait": handler})
    task = work.engine.add_run("wait")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: handler.running == 1)
        work.engine.rows[task].state = "QUEUED"  # as when it was given up for cancelled, and run again
        work.engine.faults.plan("hand_back", *[Unavailable("PostgreSQL")] * 5)
        await runner.take([task])
        assert work.state(task) == "SCHEDULED"
        assert work.engine.rows[task].attempt == 1, "it does not count"
        assert work.signals.count(Signal.DUE) == 1
    assert len(work.handlers.calls) == 1


def late_answers(monkeypatch: pytest.MonkeyPatch, work: Work, call: str) -> asyncio.Event:
    """What is asked is done at once, and answered once this event is set."""
    answered, ask = asyncio.Event(), getattr(work.engine, call)

    async def ask_and_wait(*arguments: object) -> object:
        answer = await ask(*arguments)
        await answered.wait()
        return answer

    monkeypatch.setattr(work.engine, call, ask_and_wait)
    return answered


async def test_a_start_whose_answer_was_lost_is_asked_again_and_run_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner_module, "START_PAUSE", 0.001)
    work = Work()
    task = work.engine.add_run("echo")
    work.engine.faults.plan("start", Unavailable("PostgreSQL"), done_all_the_same=True)
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: work.state(task) == "SUCCEEDED")
    assert [call.fence for call in work.handlers.calls] == [1]


async def test_hand_overs_wait_out_an_outage_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "START_PAUSE", 0.001)
    work = Work()
    task = work.engine.add_run("echo")
    async with work.runner() as runner, asyncio.TaskGroup() as group:
        work.engine.faults.down = True
        group.create_task(runner.take([task]))
        await until(lambda: work.engine.faults.count("start") > 3)
        work.engine.faults.down = False
        await until(lambda: work.state(task) == "SUCCEEDED")


# Ending


async def test_ends_at_one_time_are_recorded_in_one_statement() -> None:
    handler = Handler()
    work = Work({"wait": handler})
    tasks = [work.engine.add_run("wait") for _ in range(8)]
    async with work.runner() as runner:
        await runner.take(tasks)
        await until(lambda: handler.running == 8)
        handler.gate.set()
        await until(lambda: work.engine.states() == ["SUCCEEDED"] * 8)
    assert work.engine.finishes == [8]


async def test_results_outlive_an_outage_of_the_database() -> None:
    work = Work()
    task = work.engine.add_run("echo")
    work.engine.faults.plan("finish", Unavailable("PostgreSQL"), Unavailable("PostgreSQL"))
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: work.state(task) == "SUCCEEDED")
    assert work.engine.faults.count("finish") == 3


async def test_a_result_that_came_too_late_is_dropped_and_counted() -> None:
    handler = Handler()
    work = Work({"wait": handler})
    task = work.engine.add_run("wait")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: handler.running == 1)
        work.engine.rows[task].fence += 1
        handler.gate.set()
        await until(lambda: sample(work.services, "carillon_fenced_total") == 1)
    assert work.engine.rows[task].outcomes == []


async def test_a_result_that_cannot_be_stored_fails_alone() -> None:
    handler = Handler()
    work = Work({"wait": handler, "nul": answering(Succeeded("\0"))})
    poison, *others = work.engine.add_run("nul"), *[work.engine.add_run("echo") for _ in range(6)]
    async with work.runner() as runner:
        await runner.take([poison, *others])
        await until(lambda: work.engine.states() == ["FAILED", *["SUCCEEDED"] * 6])
    assert len(work.engine.rows[poison].outcomes) == 1


async def test_a_failure_is_tried_again_and_a_last_one_is_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    work = Work({"fail": answering(Failed(type="Boom", message="boom"))})
    task = work.engine.add_run("fail")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: work.state(task) == "RETRYING")
        assert work.engine.rows[task].due == 1, "half of the first bound"
        work.engine.rows[task].state = "QUEUED"
        await runner.take([task])
        await until(lambda: work.state(task) == "FAILED")
    assert work.ended("failed") == 2
    ends = [record for record in caplog.records if record.getMessage() == "an attempt ended"]
    assert [record.levelname for record in ends] == ["INFO", "WARNING"]
    assert {vars(record)["task"] for record in ends} == {str(task)}


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        (Failed(type="Boom", message="", retryable=False), "WARNING"),
        (Snoozed(NOON), "DEBUG"),
        (Succeeded(), "DEBUG"),
    ],
)
async def test_only_what_fails_for_good_is_a_warning(
    outcome: Outcome, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    work = Work({"end": answering(outcome)})
    task = work.engine.add_run("end")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: work.state(task) != "RUNNING")
    [record] = [record for record in caplog.records if record.getMessage() == "an attempt ended"]
    assert record.levelname == level


@pytest.mark.parametrize("limited", [False, True])
async def test_schedulers_hear_of_an_end_that_others_may_have_waited_for(limited: bool) -> None:
    work = Work()
    task = work.engine.add_run("echo")
    work.engine.rows[task].limited = limited
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: work.state(task) == "SUCCEEDED")
    assert work.signals.count(Signal.DUE) == limited


async def test_a_snoozed_attempt_is_due_again() -> None:
    work = Work({"snooze": answering(Snoozed(NOON))})
    task = work.engine.add_run("snooze")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: work.state(task) == "RETRYING")
    assert work.ended("snoozed") == 1


@pytest.mark.parametrize(
    "fault",
    [
        ValueError("a bug of ours"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        BaseException("odd"),
    ],
)
async def test_nothing_an_action_raises_reaches_the_worker(fault: BaseException) -> None:
    work = Work({"raise": raising(fault)})
    task, other = work.engine.add_run("raise"), work.engine.add_run("echo")
    async with work.runner() as runner:
        await runner.take([task, other])
        await until(lambda: work.engine.states() == ["RETRYING", "SUCCEEDED"])


async def test_a_cancellation_nobody_asked_for_is_a_failure() -> None:
    work = Work({"raise": raising(asyncio.CancelledError())})
    task = work.engine.add_run("raise")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: work.state(task) == "RETRYING")


async def test_what_runs_and_what_is_logged_belongs_to_the_tasks_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str | None] = []

    async def look(call: Call, reporter: Reporter) -> Outcome:
        seen.append(current_traceparent())
        return Succeeded()

    work = Work({"look": look})
    async with work.runner() as runner:
        await runner.take([work.engine.add_run("look")])
        await until(lambda: work.engine.states() == ["SUCCEEDED"])
    assert seen == [TRACEPARENT]
