"""Whatever happens, in whatever order: no slot leaks, nothing is recorded twice, no task is left behind."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.actions.model import Call, Failed, Outcome, Succeeded
from domain.actions.ports import Reporter
from domain.errors import Unavailable
from jobs import runner as runner_module
from jobs.metrics import JobMetrics
from jobs.runner import Runner, open_runner
from tests.support.engine_fakes import FakeEngine, FakeHandlerRunner, ids, services_of, settings_of
from tests.support.waiting import settle_down, until

SLOTS = 3
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(1, 5)),
        st.tuples(st.just("redeliver"), st.integers(0, 9)),
        st.tuples(st.just("finish"), st.integers(0, 9)),
        st.tuples(st.just("fail"), st.integers(0, 9)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("lose the lease"), st.just(0)),
        st.tuples(st.just("lose an answer"), st.sampled_from(["start", "finish", "hand_back"])),
        st.tuples(st.just("outage"), st.sampled_from(["start", "finish"])),
        st.tuples(st.just("settle"), st.just(0)),
    ),
    max_size=25,
)


class World:
    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.running: dict[UUID, asyncio.Future[Outcome]] = {}
        self.at_once = 0
        self.most_at_once = 0
        self.services = services_of(
            self.engine,
            settings_of(worker_slots=SLOTS, flush_interval=0, cancel_grace=60),
            handler_runner=FakeHandlerRunner({"wait": self.handle}),
        )

    async def handle(self, call: Call, reporter: Reporter) -> Outcome:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.running[call.task_id] = asyncio.get_running_loop().create_future()
        try:
            return await self.running[call.task_id]
        finally:
            self.at_once -= 1

    def end(self, which: int, outcome: Outcome) -> None:
        waiting = [future for future in self.running.values() if not future.done()]
        if waiting:
            waiting[which % len(waiting)].set_result(outcome)

    def begin(self, runner: Runner) -> None:
        worker = ids.next()
        self.engine.leases[worker] = (SLOTS, False)
        runner.begin(worker)

    def lose_the_lease(self, runner: Runner) -> None:
        """And the rescuer comes."""
        self.engine.lapse()
        for row in self.engine.rows.values():
            if row.state == "RUNNING":
                row.state, row.worker = "RETRYING", None
                row.fence += 1
        runner.abandon()
        self.begin(runner)


@given(STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_slot_leaks_nothing_is_recorded_twice_and_no_task_is_left_behind(
    steps: list[tuple[str, int | str]],
) -> None:
    world = World()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner_module, "START_PAUSE", 0.001)
        runner = await live_through(world, steps)
    assert world.most_at_once <= SLOTS
    assert runner._slots.free == SLOTS
    for row in world.engine.rows.values():
        fences = [fence for fence, _ in row.outcomes]
        assert fences == sorted(set(fences)), "one outcome for each start"
        assert row.state in {"SCHEDULED", "RETRYING", "SUCCEEDED", "FAILED", "CANCELLED"}, (
            "the next worker's, or done"
        )


async def live_through(world: World, steps: list[tuple[str, int | str]]) -> Runner:
    metrics = JobMetrics(world.services.metrics)
    async with asyncio.TaskGroup() as group, open_runner(world.services, metrics, lambda: 0.5) as runner:
        world.begin(runner)
        for step, argument in steps:
            await act(world, runner, group, step, argument)
        await settle_down()
        await runner.drain(0)
    await until(lambda: world.at_once == 0)
    return runner


async def act(world: World, runner: Runner, group: asyncio.TaskGroup, step: str, argument: int | str) -> None:
    engine = world.engine
    match step, argument:
        case "take", int(count):
            tasks = [engine.add_run("wait") for _ in range(count)]
            group.create_task(runner.take(tasks))
        case "redeliver", int(which) if engine.rows:
            task = list(engine.rows)[which % len(engine.rows)]
            if engine.rows[task].state in {"SCHEDULED", "RETRYING"}:
                engine.rows[task].state = "QUEUED"
            group.create_task(runner.take([task, task]))
        case "finish", int(which):
            world.end(which, Succeeded())
        case "fail", int(which):
            world.end(which, Failed(type="Boom", message="boom"))
        case "cancel", int(which) if engine.rows:
            runner.cancel([list(engine.rows)[which % len(engine.rows)]])
        case "lose the lease", _:
            world.lose_the_lease(runner)
        case "lose an answer", str(call):
            engine.faults.plan(call, Unavailable("PostgreSQL"), done_all_the_same=True)
        case "outage", str(call):
            engine.faults.plan(call, Unavailable("PostgreSQL"))
        case _:
            await settle_down()
