"""Each fire time of a schedule has one task at most, whoever fires and whatever is cut off meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from domain.errors import Unavailable
from domain.paging import PageRequest
from domain.schedules.misfire import MisfirePolicy
from domain.schedules.model import Schedule, edited
from domain.schedules.overlap import OverlapPolicy
from domain.schedules.planning import planned
from domain.schedules.ports import Fired
from domain.schedules.recurrence import Cron, Every, Recurrence
from domain.tasks.listing import TaskFilter, TaskOrder
from domain.tasks.states import TaskState
from infra.cache.ports import TaskVersion
from infra.postgres.database import DatabaseMetrics, open_database
from infra.postgres.firing import MOST_TASKS, PostgresFiring
from infra.recurrence.reading import ReadRecurrences
from tests.support.cut_firing import cut_off
from tests.support.schedules import TEMPLATE, Garden
from tests.support.storage import Storage, ids, recurrences

pytestmark = pytest.mark.postgres

HOUR = timedelta(hours=1)


@pytest.fixture
def garden(storage: Storage) -> Garden:
    return Garden(storage)


async def test_a_fire_time_that_has_passed_makes_the_task_of_the_template(
    storage: Storage, garden: Garden
) -> None:
    template = replace(TEMPLATE, owner="ann", labels=(("order", "7"),), queue="mail", priority=2)
    template = replace(template, concurrency_key="account-17")
    schedule = await garden.add_passed(1, task=template)
    assert await storage.firing.fire(10) == Fired(schedules=1, tasks=1)
    [task] = await garden.tasks(schedule)
    assert (task.title, task.owner, task.labels, task.queue, task.priority) == (
        template.title,
        "ann",
        (("order", "7"),),
        "mail",
        2,
    )
    assert task.concurrency_key == "account-17"
    assert (task.fire_time, task.scheduled_at) == (schedule.next_fire_time, schedule.next_fire_time)
    assert (task.schedule_id, task.schedule_revision) == (schedule.id, 1)
    assert (task.state, task.version) == (TaskState.SCHEDULED, 1)
    assert await storage.event_kinds(task.id) == ["CREATED"]
    after = await garden.find(schedule)
    assert after.settled_until == schedule.next_fire_time
    assert after.next_fire_time == after.settled_until + HOUR
    assert (after.version, after.updated_at) == (1, schedule.updated_at), "firing is no edit"
    labelled = TaskFilter(schedule=schedule.id, labels=(("order", "7"),), search="plants")
    page = await storage.tasks.page("acme", labelled, TaskOrder.SCHEDULED_AT_ASC, PageRequest())
    assert page.items == (task,)


async def test_nothing_fires_early_or_twice(storage: Storage, garden: Garden) -> None:
    await garden.add()
    assert await storage.firing.fire(10) == Fired()
    passed = await garden.add_passed(1)
    assert (await storage.firing.fire(10)).tasks == 1
    assert await storage.firing.fire(10) == Fired()
    assert len(await garden.tasks(passed)) == 1


async def test_it_says_how_long_until_the_next_fire_time(storage: Storage, garden: Garden) -> None:
    assert await storage.firing.next_fire_in() is None
    await garden.add()
    due_in = await storage.firing.next_fire_in()
    assert due_in is not None
    assert timedelta(minutes=59) < due_in <= HOUR
    await garden.add_passed(1)
    passed = await storage.firing.next_fire_in()
    assert passed is not None
    assert passed <= -timedelta(seconds=10)


async def test_schedulers_that_fire_at_once_make_each_task_once(storage: Storage, garden: Garden) -> None:
    schedules = [await garden.add_passed(1) for _ in range(40)]
    rounds = await asyncio.gather(*(storage.firing.fire(7) for _ in range(20)))
    while (await storage.firing.fire(7)).schedules:
        pass
    assert sum(one.tasks for one in rounds) <= 40
    for schedule in schedules:
        assert await garden.fire_times(schedule) == [schedule.next_fire_time]


async def test_a_round_takes_no_more_schedules_than_it_is_told(storage: Storage, garden: Garden) -> None:
    for _ in range(5):
        await garden.add_passed(1)
    assert [(await storage.firing.fire(2)).schedules for _ in range(4)] == [2, 2, 1, 0]


class _Slow(ReadRecurrences):
    """Takes a fifth of a second for each fire time, and says what else its loop did until then."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0
        self.seen: list[int] = []

    async def take_turns(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)

    @override
    def next_after(
        self, recurrence: Recurrence, zone: str, anchor: datetime, after: datetime
    ) -> datetime | None:
        time.sleep(0.2)
        self.seen.append(self.turns)
        return super().next_after(recurrence, zone, anchor, after)


async def test_schedules_that_take_longer_to_compute_than_a_round_may_last_fire_in_several(
    storage: Storage, garden: Garden
) -> None:
    schedules = [await garden.add_passed(1) for _ in range(12)]
    slow = _Slow()
    metrics = DatabaseMetrics(CollectorRegistry())
    async with open_database(storage.url, size=2, limit=2, metrics=metrics) as database:
        firing = PostgresFiring(database, slow, ids, _nobody)
        others = asyncio.create_task(slow.take_turns())
        while fired := (await firing.fire(200)).schedules:
            assert fired < len(schedules)
        others.cancel()
    for schedule in schedules:
        assert await garden.fire_times(schedule) == [schedule.next_fire_time]
    assert len(set(slow.seen)) == len(schedules), "between two of them the loop goes on"


async def test_a_round_makes_a_bounded_number_of_tasks_however_many_fire_times_passed(
    storage: Storage, garden: Garden
) -> None:
    caught_up = {"misfire_policy": MisfirePolicy.FIRE_ALL, "overlap_policy": OverlapPolicy.ALLOW}
    for _ in range(15):
        await garden.add_passed(100, timedelta(minutes=1), **caught_up)
    rounds = [await storage.firing.fire(200) for _ in range(4)]
    assert max(one.tasks for one in rounds) <= MOST_TASKS
    while (one := await storage.firing.fire(200)).schedules:
        rounds.append(one)
    assert (sum(one.tasks for one in rounds), sum(one.schedules for one in rounds)) == (1_500, 15)


async def _nobody(_: Sequence[TaskVersion]) -> None:
    return None


@pytest.mark.fault(4, "the firing of a schedule cut off at every statement")
@pytest.mark.parametrize("statement", range(8))
async def test_a_round_that_is_cut_off_anywhere_does_nothing(
    storage: Storage, garden: Garden, statement: int
) -> None:
    schedule = await garden.add_passed(1, overlap_policy=OverlapPolicy.CANCEL_RUNNING)
    await storage.firing.fire(10)
    schedule = await garden.pass_by(schedule, 3)
    [before] = await garden.tasks(schedule)
    with pytest.raises(Unavailable):
        await cut_off(storage, statement).fire(10)
    assert await garden.find(schedule) == schedule
    assert await garden.tasks(schedule) == [before]
    assert await garden.facts() == []
    fired = await storage.firing.fire(10)
    assert (fired.tasks, fired.dropped, fired.cancelled) == (1, 2, 1)
    assert len(await garden.facts()) == 1


async def test_a_cursor_that_is_moved_back_makes_no_task_twice(storage: Storage, garden: Garden) -> None:
    schedule = await garden.add_passed(
        3, misfire_policy=MisfirePolicy.FIRE_ALL, overlap_policy=OverlapPolicy.ALLOW
    )
    assert (await storage.firing.fire(10)).tasks == 3
    await storage.execute(
        "update schedules set settled_until = $2, next_fire_time = $3 where id = $1",
        schedule.id,
        schedule.settled_until,
        schedule.next_fire_time,
    )
    assert (await storage.firing.fire(10)).tasks == 0
    assert len(await garden.tasks(schedule)) == 3
    assert (await garden.find(schedule)).settled_until == schedule.settled_until + 3 * HOUR


@pytest.mark.fault(20, "the clock of PostgreSQL was ahead (stored instants moved)")
async def test_a_clock_that_was_ahead_fires_nothing_again_when_it_is_put_right(
    storage: Storage, garden: Garden
) -> None:
    schedule = await garden.add_passed(1, recurrence=Every(timedelta(minutes=1)))
    await storage.firing.fire(10)
    ahead = timedelta(hours=2)
    await storage.execute(
        "update schedules set settled_until = settled_until + $2::interval,"
        " next_fire_time = next_fire_time + $2::interval where id = $1",
        schedule.id,
        ahead,
    )
    made, before = await garden.tasks(schedule), await garden.find(schedule)
    assert await storage.firing.fire(10) == Fired()
    await storage.schedules.change("acme", schedule.id, pausing)
    after = await storage.schedules.change("acme", schedule.id, resuming)
    assert (after.settled_until, after.next_fire_time) == (before.settled_until, before.next_fire_time)
    assert await garden.tasks(schedule) == made


async def test_a_schedule_ends_with_its_last_fire_time(storage: Storage, garden: Garden) -> None:
    schedule = await garden.add_passed(1)
    assert schedule.next_fire_time is not None
    await storage.execute(
        "update schedules set ends_at = $2 where id = $1", schedule.id, schedule.next_fire_time
    )
    assert (await storage.firing.fire(10)).tasks == 1
    assert (await garden.find(schedule)).next_fire_time is None
    assert await storage.firing.next_fire_in() is None


def pausing(schedule: Schedule, _now: datetime) -> Schedule:
    return schedule.pausing()


def resuming(schedule: Schedule, now: datetime) -> Schedule:
    return planned(schedule.resuming(now), recurrences)


def quickened(schedule: Schedule, now: datetime) -> Schedule:
    after = replace(schedule, recurrence=Every(timedelta(minutes=30)))
    return planned(edited(schedule, after, now), recurrences)


async def test_while_it_is_paused_nothing_fires_and_nothing_is_made_up_for(
    storage: Storage, garden: Garden
) -> None:
    schedule = await garden.add_passed(1)
    await storage.firing.fire(10)
    schedule = await garden.pass_by(schedule)
    await storage.firing.fire(10)
    assert (await garden.find(schedule)).held_fire_time is not None
    await storage.schedules.change("acme", schedule.id, pausing)
    await garden.end(*await garden.tasks(schedule))
    assert (await storage.firing.fire(10), await storage.firing.release(10)) == (Fired(), Fired())
    await garden.pass_by(schedule, 5)
    resumed = await storage.schedules.change("acme", schedule.id, resuming)
    assert resumed.next_fire_time is not None
    assert resumed.next_fire_time > await garden.now()
    assert (await storage.firing.fire(10), await storage.firing.release(10)) == (Fired(), Fired())


@pytest.mark.fault(36, "a schedule changed while it fires")
@pytest.mark.parametrize("what", ["pause", "edit", "delete"])
async def test_nothing_of_before_fires_once_a_change_is_committed(
    storage: Storage, garden: Garden, what: str
) -> None:
    """Each round races a fire: whatever was made was made before the change, and is seen right after it."""
    fired = 0
    for number in range(150):
        schedule = await garden.add_passed(1)
        head_start = number % 10 / 1_000  # by turns of either

        async def change(schedule: Schedule = schedule, wait: float = head_start * (number % 2)) -> int:
            await asyncio.sleep(wait)
            if what == "pause":
                await storage.schedules.change("acme", schedule.id, pausing)
            elif what == "edit":
                await storage.schedules.change("acme", schedule.id, quickened)
            else:
                await storage.schedules.delete("acme", schedule.id)
            return len(await garden.tasks(schedule))

        async def fire(wait: float = head_start * (1 - number % 2)) -> None:
            await asyncio.sleep(wait)
            await storage.firing.fire(10)

        seen, *_ = await asyncio.gather(change(), fire(), fire())
        await storage.firing.fire(10)
        assert len(await garden.tasks(schedule)) == seen
        fired += seen
    assert 0 < fired < 150, "the race was no race"


async def test_a_new_revision_fires_at_its_own_times_alone(storage: Storage, garden: Garden) -> None:
    schedule = await garden.add_passed(1)
    await storage.firing.fire(10)
    await garden.pass_by(schedule)
    after = await storage.schedules.change("acme", schedule.id, quickened)
    assert await storage.firing.fire(10) == Fired(), "what passed before the edit does not fire"
    assert after.revision == 2
    await storage.execute(
        "update schedules set anchor = anchor - $2::interval, settled_until = settled_until - $2::interval,"
        " next_fire_time = next_fire_time - $2::interval where id = $1",
        schedule.id,
        timedelta(minutes=31),
    )
    await garden.end(*await garden.tasks(schedule))
    assert (await storage.firing.fire(10)).tasks == 1
    assert {task.schedule_revision for task in await garden.tasks(schedule)} == {1, 2}


async def test_a_schedule_that_cannot_be_read_is_set_aside_and_stops_nobody(
    storage: Storage, garden: Garden, caplog: pytest.LogCaptureFixture
) -> None:
    unreadable, unknown, good = [await garden.add_passed(1) for _ in range(3)]
    await storage.execute(
        """update schedules set recurrence = '{"cron": "now and then"}' where id = $1""", unreadable.id
    )
    await storage.execute("update schedules set task = '{}' where id = $1", unknown.id)
    fired = await storage.firing.fire(10)
    assert (fired.tasks, fired.set_aside) == (1, 2)
    after = await garden.find(unreadable)
    assert (after.paused, after.next_fire_time, after.version) == (True, None, 2)
    assert after.fault is not None
    assert "five fields" in after.fault
    assert await storage.firing.fire(10) == Fired()
    assert len(await garden.tasks(good)) == 1
    assert [record.message for record in caplog.records].count("a schedule cannot be read and is paused") == 2


class _Later(ReadRecurrences):
    """A newer zone database, by which Berlin's clocks are two hours further."""

    def __init__(self, by: timedelta) -> None:
        super().__init__()
        self.by = by

    @override
    def zone_database_version(self) -> str:
        return "2099.1"

    @override
    def next_after(self, recurrence: Any, zone: str, anchor: datetime, after: datetime) -> datetime | None:
        found = super().next_after(recurrence, zone, anchor, after + self.by)
        return None if found is None else found - self.by


@pytest.mark.fault(22, "another zone database")
async def test_another_zone_database_moves_fire_times_and_fires_nothing_that_passed(
    storage: Storage, garden: Garden
) -> None:
    async def changed(_: object) -> None:
        return None

    soon = await garden.add()
    late = await garden.add_passed(1)
    assert soon.next_fire_time is not None
    near = PostgresFiring(storage.database, _Later(timedelta(minutes=10)), ids, changed)
    assert await near.replan(1) == 1
    assert await near.replan(10) == 1
    assert await near.replan(10) == 0
    moved = await garden.find(soon)
    assert moved.next_fire_time == soon.next_fire_time - timedelta(minutes=10)
    assert (moved.zone_version, moved.revision, moved.version) == ("2099.1", 1, 1)
    assert (await garden.find(late)).next_fire_time == late.next_fire_time, "it is due already"
    await storage.execute("update schedules set zone_version = '' where id = $1", soon.id)
    far = PostgresFiring(storage.database, _Later(timedelta(minutes=70)), ids, changed)
    assert await far.replan(10) == 1
    moved = await garden.find(soon)
    assert moved.next_fire_time is not None
    assert moved.next_fire_time > await garden.now()
    assert (await far.fire(10)).tasks == 1, "only what was due before"
    assert await garden.tasks(soon) == []


async def test_cron_fires_in_the_zone_of_its_schedule(storage: Storage, garden: Garden) -> None:
    schedule = await garden.add(recurrence=Cron("0 9 * * *"), zone="Asia/Tokyo")
    assert schedule.next_fire_time is not None
    assert schedule.next_fire_time.hour == 0
    await garden.pass_by(schedule, 24)
    await storage.firing.fire(10)
    [task] = await garden.tasks(schedule)
    assert task.scheduled_at.hour == 0
