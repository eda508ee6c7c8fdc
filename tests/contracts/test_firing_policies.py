"""Fire times that were missed, or that meet an unfinished task, are treated as their policies say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from domain.notifications.model import NotificationKind
from domain.paging import PageRequest
from domain.schedules.jitter import jittered
from domain.schedules.misfire import MOST, MisfirePolicy
from domain.schedules.overlap import OverlapPolicy
from domain.schedules.ports import Fired
from domain.tasks.states import TaskState
from jobs.metrics import JobMetrics
from jobs.notifier import notify
from jobs.relay import relay_once
from tests.support.engine_fakes import services_of
from tests.support.live_fakes import FakeEvents
from tests.support.schedules import TEMPLATE, Garden
from tests.support.storage import Storage, a_task

pytestmark = pytest.mark.postgres

HOUR = timedelta(hours=1)


@pytest.fixture
def garden(storage: Storage) -> Garden:
    return Garden(storage)


async def test_people_are_told_once_of_fire_times_that_were_dropped(storage: Storage, garden: Garden) -> None:
    schedule = await garden.add_passed(4, task=replace(TEMPLATE, owner="ann"))
    await storage.firing.fire(10)
    events = FakeEvents()
    services = services_of(outbox=storage.outbox, events=events, notifications=storage.notifications)
    async with storage.outbox.lead() as lead:
        await lead.acquire()
        await lead.remove(await relay_once(services, lead))
    metrics = JobMetrics(services.metrics)
    for _ in range(2):
        await notify(services, events.published, metrics)
    [told] = (await storage.notifications.page("acme", PageRequest())).items
    assert (told.kind, told.title, told.body) == (
        NotificationKind.SCHEDULE_MISFIRED,
        schedule.name,
        "3 fire times were dropped.",
    )
    assert (told.owner, told.task_id) == ("ann", None)


@dataclass
class Missed:
    """What becomes of four fire times of which three were missed."""

    misfire: MisfirePolicy
    overlap: OverlapPolicy
    made: int
    held: bool = False
    skipped: int = 0
    dropped: int = 0


@pytest.mark.parametrize(
    "missed",
    [
        Missed(MisfirePolicy.SKIP, OverlapPolicy.ALLOW, 1, dropped=3),
        Missed(MisfirePolicy.FIRE_ONCE, OverlapPolicy.ALLOW, 1, dropped=3),
        Missed(MisfirePolicy.FIRE_ALL, OverlapPolicy.ALLOW, 4),
        Missed(MisfirePolicy.FIRE_ALL, OverlapPolicy.SKIP, 1, skipped=3),
        Missed(MisfirePolicy.FIRE_ALL, OverlapPolicy.BUFFER_ONE, 1, held=True, skipped=2),
        Missed(MisfirePolicy.FIRE_ALL, OverlapPolicy.CANCEL_RUNNING, 1, skipped=3),
    ],
    ids=lambda missed: f"{missed.misfire}-{missed.overlap}",
)
async def test_missed_fire_times_are_made_up_for_as_both_policies_say(
    storage: Storage, garden: Garden, missed: Missed
) -> None:
    schedule = await garden.add_passed(4, misfire_policy=missed.misfire, overlap_policy=missed.overlap)
    fired = await storage.firing.fire(10)
    assert (fired.tasks, fired.skipped, fired.dropped) == (missed.made, missed.skipped, missed.dropped)
    after = await garden.find(schedule)
    assert (after.held_fire_time is not None) == missed.held
    assert after.settled_until == schedule.settled_until + 4 * HOUR
    assert [fact["dropped"] for fact in await garden.facts()] == ([missed.dropped] if missed.dropped else [])


async def test_what_is_older_than_the_window_is_dropped(storage: Storage, garden: Garden) -> None:
    schedule = await garden.add_passed(
        10,
        misfire_policy=MisfirePolicy.FIRE_ALL,
        overlap_policy=OverlapPolicy.ALLOW,
        catch_up_window=timedelta(hours=3, minutes=30),
    )
    fired = await storage.firing.fire(10)
    assert (fired.tasks, fired.dropped) == (4, 6)
    assert await garden.fire_times(schedule) == [schedule.settled_until + n * HOUR for n in (7, 8, 9, 10)]


async def test_no_more_than_a_hundred_are_made_up_for(storage: Storage, garden: Garden) -> None:
    await garden.add_passed(
        5_000,
        every=timedelta(seconds=10),
        misfire_policy=MisfirePolicy.FIRE_ALL,
        overlap_policy=OverlapPolicy.ALLOW,
    )
    fired = await storage.firing.fire(10)
    assert fired.tasks == MOST
    [fact] = await garden.facts()
    assert (fact["dropped"], fact["exact"]) == (fired.dropped, False)
    assert fired.dropped >= 900


async def test_a_fire_time_waits_for_the_unfinished_task_of_its_schedule(
    storage: Storage, garden: Garden
) -> None:
    schedule = await garden.add_passed(1)
    await storage.firing.fire(10)
    schedule = await garden.pass_by(schedule)
    assert (await storage.firing.fire(10)).tasks == 0
    held = (await garden.find(schedule)).held_fire_time
    assert held == schedule.next_fire_time
    assert await storage.firing.release(10) == Fired(), "the first has not ended"
    [first] = await garden.tasks(schedule)
    await garden.end(first)
    before = await garden.now()
    assert await storage.firing.release(10) == Fired(schedules=1, tasks=1)
    _, second = await garden.tasks(schedule)
    assert second.fire_time == held
    assert before <= second.scheduled_at <= await garden.now(), "it is due when it may start"
    assert (await garden.find(schedule)).held_fire_time is None
    assert await storage.firing.release(10) == Fired()


async def test_only_one_fire_time_waits(storage: Storage, garden: Garden) -> None:
    schedule = await garden.add_passed(1)
    await storage.firing.fire(10)
    for skipped in (0, 1, 1):
        schedule = await garden.pass_by(schedule)
        assert (await storage.firing.fire(10)).skipped == skipped
    assert len(await garden.tasks(schedule)) == 1


async def test_schedulers_that_release_at_once_make_one_task(storage: Storage, garden: Garden) -> None:
    schedule = await garden.add_passed(1)
    await storage.firing.fire(10)
    schedule = await garden.pass_by(schedule)
    await storage.firing.fire(10)
    await garden.end(*await garden.tasks(schedule))
    rounds = await asyncio.gather(*(storage.firing.release(10) for _ in range(10)))
    assert sum(one.tasks for one in rounds) == 1


async def test_a_schedule_that_skips_fires_again_when_its_task_has_ended(
    storage: Storage, garden: Garden
) -> None:
    schedule = await garden.add_passed(1, overlap_policy=OverlapPolicy.SKIP)
    await storage.firing.fire(10)
    schedule = await garden.pass_by(schedule)
    assert (await storage.firing.fire(10)).skipped == 1
    await garden.end(*await garden.tasks(schedule))
    schedule = await garden.pass_by(schedule)
    assert (await storage.firing.fire(10)).tasks == 1


async def test_unfinished_tasks_are_cancelled_for_a_new_one(storage: Storage, garden: Garden) -> None:
    schedule = await garden.add_passed(1, overlap_policy=OverlapPolicy.CANCEL_RUNNING)
    await storage.firing.fire(10)
    [waiting] = await garden.tasks(schedule)
    schedule = await garden.pass_by(schedule)
    fired = await storage.firing.fire(10)
    assert (fired.tasks, fired.cancelled, fired.stopping) == (1, 1, False)
    first, second = await garden.tasks(schedule)
    assert (first.id, first.state) == (waiting.id, TaskState.CANCELLED)
    assert first.finished_at is not None
    assert await storage.event_kinds(first.id) == ["CREATED", "CANCELLED"]
    assert (first.id, first.version) in {(told.id, told.version) for told in storage.changed}

    worker = await storage.a_worker()
    await storage.claimed(10)
    [started] = await storage.attempts.start(worker, [second.id])
    schedule = await garden.pass_by(schedule)
    fired = await storage.firing.fire(10)
    assert (fired.tasks, fired.cancelled, fired.stopping) == (1, 1, True)
    running = await storage.task(second.id)
    assert (running.state, running.cancel_requested_at is not None) == (TaskState.RUNNING, True)
    assert (await storage.event_kinds(second.id))[-1] == "UPDATED"
    assert started.task_id == second.id
    schedule = await garden.pass_by(schedule)
    assert (await storage.firing.fire(10)).cancelled == 1, "the one that was asked is not asked again"


async def test_tasks_of_other_schedules_and_of_none_are_left_alone(storage: Storage, garden: Garden) -> None:
    [own] = await storage.added(a_task())
    other, schedule = await garden.add_passed(1), await garden.add_passed(1)
    await storage.execute("update schedules set overlap_policy = 'CANCEL_RUNNING' where id = $1", schedule.id)
    await storage.firing.fire(10)
    await garden.pass_by(schedule)
    assert (await storage.firing.fire(10)).cancelled == 1
    assert (await storage.task(own)).state is TaskState.SCHEDULED
    [task] = await garden.tasks(other)
    assert task.state is TaskState.SCHEDULED


async def test_jitter_makes_a_task_due_later_as_every_scheduler_would(storage: Storage, garden: Garden) -> None:
    jitter = timedelta(minutes=40)
    schedules = [await garden.add_passed(1, jitter=jitter) for _ in range(10)]
    await storage.firing.fire(20)
    delays = set()
    for schedule in schedules:
        [task] = await garden.tasks(schedule)
        assert task.fire_time is not None
        assert task.scheduled_at == jittered(schedule.id, task.fire_time, jitter, task.fire_time + HOUR)
        delays.add(task.scheduled_at - task.fire_time)
    assert len(delays) == 10
    assert all(timedelta(0) <= delay < jitter for delay in delays)


async def test_what_waits_waits_no_longer_once_tasks_may_overlap(storage: Storage, garden: Garden) -> None:
    schedule = await garden.add_passed(1)
    await storage.firing.fire(10)
    schedule = await garden.pass_by(schedule)
    await storage.firing.fire(10)
    await storage.schedules.change(
        "acme", schedule.id, lambda found, _: replace(found, overlap_policy=OverlapPolicy.ALLOW)
    )
    assert (await storage.firing.release(10)).tasks == 1
