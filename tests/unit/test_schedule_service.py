"""Use cases of schedules check everything at once, write once, and keep what passed from firing again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.actions.model import Notify, Run
from domain.errors import NotFound, Refusals, StaleVersion
from domain.live.ports import Signal
from domain.paging import PageRequest
from domain.schedules.drafts import ScheduleDraft, ScheduleEdit
from domain.schedules.misfire import MisfirePolicy
from domain.schedules.model import Schedule
from domain.schedules.overlap import OverlapPolicy
from domain.schedules.planning import next_fire_times
from domain.schedules.recurrence import Cron, Every, RRule
from domain.schedules.service import ScheduleService
from domain.tenancy.model import Caller
from domain.work.drafts import HttpDraft, RunDraft, WorkDraft
from infra.recurrence.reading import ReadRecurrences
from tests.support.face import (
    CALLER,
    NOW,
    TENANT,
    CountedIds,
    EchoAlone,
    ExampleAlone,
    NotedSignals,
    StillClock,
)
from tests.support.stores import StoredSchedules

ALICE = Caller(tenant=TENANT, owner="alice")
HOURLY = Cron("0 * * * *")
WORK = WorkDraft(title="Water the plants")
HOUR = timedelta(hours=1)


@dataclass
class Made:
    clock: StillClock = field(default_factory=StillClock)
    signals: NotedSignals = field(default_factory=NotedSignals)

    def __post_init__(self) -> None:
        self.schedules = StoredSchedules(self.clock)
        self.service = ScheduleService(
            schedules=self.schedules,
            recurrences=ReadRecurrences(),
            handlers=EchoAlone(),
            webhooks=ExampleAlone(),
            signals=self.signals,
            clock=self.clock,
            ids=CountedIds(),
        )

    async def schedule(self, caller: Caller = CALLER, **fields: Any) -> Schedule:
        return await self.service.create(caller, draft(**fields))

    async def edit(self, schedule: Schedule, **fields: Any) -> Schedule:
        return await self.service.update(CALLER, schedule.id, ScheduleEdit(**fields))


def draft(**fields: Any) -> ScheduleDraft:
    return ScheduleDraft(**{"name": "Garden", "recurrence": HOURLY, "task": WORK, **fields})


@pytest.fixture
def made() -> Made:
    return Made()


async def test_a_schedule_is_made_as_asked(made: Made) -> None:
    asked = draft(
        recurrence=Cron("30 9 * * *"),
        zone="Europe/Berlin",
        starts_at=NOW + timedelta(days=2),
        ends_at=NOW + timedelta(days=20),
        jitter=timedelta(minutes=5),
        misfire_policy=MisfirePolicy.FIRE_ALL,
        catch_up_window=timedelta(days=2),
        overlap_policy=OverlapPolicy.ALLOW,
        task=WorkDraft(title="Go", owner="ann", action=RunDraft(handler="echo", payload={"value": 1})),
    )
    schedule = await made.service.create(CALLER, asked)
    assert made.schedules.rows[schedule.id] == schedule
    for name in ("name", "recurrence", "zone", "starts_at", "ends_at", "jitter", "misfire_policy"):
        assert getattr(schedule, name) == getattr(asked, name)
    assert (schedule.owner, schedule.task.action) == ("ann", Run(handler="echo", payload={"value": 1}))
    assert (schedule.anchor, schedule.settled_until) == (asked.starts_at, NOW)
    assert schedule.next_fire_time == datetime(2030, 2, 2, 8, 30, tzinfo=UTC)
    assert made.signals.sent == [Signal.SCHEDULES]


async def test_what_is_left_out_has_its_default(made: Made) -> None:
    schedule = await made.schedule()
    assert (schedule.zone, schedule.jitter, schedule.overlap_policy) == (
        "UTC",
        timedelta(0),
        OverlapPolicy.BUFFER_ONE,
    )
    assert (schedule.misfire_policy, schedule.catch_up_window) == (
        MisfirePolicy.FIRE_ONCE,
        timedelta(hours=24),
    )
    assert schedule.task.action == Notify()
    assert schedule.next_fire_time == NOW + HOUR, "what is due at this very moment has passed"


BAD: dict[str, tuple[dict[str, Any], list[tuple[str, ...]]]] = {
    "name": ({"name": " "}, [("name",)]),
    "cron": ({"recurrence": Cron("61 * * * *")}, [("recurrence", "cron")]),
    "never": ({"recurrence": Cron("0 0 31 2 *")}, [("recurrence", "cron")]),
    "rrule": ({"recurrence": RRule("FREQ=SOMETIMES")}, [("recurrence", "rrule")]),
    "over": ({"recurrence": RRule("FREQ=DAILY;UNTIL=20200101T000000Z")}, [("recurrence", "rrule")]),
    "every": ({"recurrence": Every(timedelta(0))}, [("recurrence", "every")]),
    "zone": ({"zone": "Mars/Base"}, [("timeZone",)]),
    "no offset": ({"starts_at": NOW.replace(tzinfo=None)}, [("startsAt",)]),
    "ancient": ({"starts_at": NOW.replace(year=1850)}, [("startsAt",)]),
    "far": ({"ends_at": NOW.replace(year=9999)}, [("endsAt",)]),
    "end before start": ({"starts_at": NOW + HOUR, "ends_at": NOW + HOUR}, [("endsAt",)]),
    "nothing before its end": ({"ends_at": NOW + timedelta(minutes=59)}, [("endsAt",)]),
    "jitter": ({"jitter": timedelta(seconds=-1)}, [("jitter",)]),
    "long jitter": ({"jitter": timedelta(days=2)}, [("jitter",)]),
    "window": ({"catch_up_window": timedelta(0)}, [("catchUpWindow",)]),
    "long window": ({"catch_up_window": timedelta(days=366)}, [("catchUpWindow",)]),
    "title": ({"task": WorkDraft(title="")}, [("task", "title")]),
    "url": (
        {"task": WorkDraft(title="Go", action=HttpDraft(url="http://10.0.0.1/"))},
        [("task", "action", "http", "url")],
    ),
    "payload": (
        {"task": WorkDraft(title="Go", action=RunDraft(handler="echo", payload={}))},
        [("task", "action", "run", "payload", "value")],
    ),
    "all": (
        {
            "name": "",
            "zone": "Mars/Base",
            "recurrence": Cron("never"),
            "jitter": timedelta(days=2),
            "task": WorkDraft(title="", priority=10),
        },
        [
            ("name",),
            ("jitter",),
            ("task", "title"),
            ("task", "priority"),
            ("timeZone",),
            ("recurrence", "cron"),
        ],
    ),
}


@pytest.mark.parametrize(("fields", "paths"), BAD.values(), ids=BAD.keys())
async def test_each_fault_is_named_by_its_field(
    made: Made, fields: dict[str, Any], paths: list[tuple[str, ...]]
) -> None:
    with pytest.raises(Refusals) as caught:
        await made.schedule(**fields)
    assert [each.path for each in caught.value.refusals] == paths
    assert not made.schedules.calls


async def test_an_edit_of_its_times_begins_a_new_revision_from_now_on(made: Made) -> None:
    schedule = await made.schedule(recurrence=Every(HOUR))
    made.clock.time = NOW + timedelta(minutes=150, seconds=7, microseconds=5)
    edited = await made.edit(schedule, recurrence=Every(2 * HOUR))
    assert (edited.revision, edited.version) == (2, 2)
    assert edited.settled_until == made.clock.time
    assert edited.next_fire_time == NOW + timedelta(minutes=150 + 120, seconds=7)


async def test_an_edit_of_its_end_alone_leaves_its_rhythm(made: Made) -> None:
    schedule = await made.schedule(recurrence=Every(HOUR))
    made.clock.time = NOW + timedelta(minutes=90)
    edited = await made.edit(schedule, ends_at=NOW + 10 * HOUR)
    assert (edited.revision, edited.anchor) == (2, schedule.anchor)
    assert edited.next_fire_time == NOW + 2 * HOUR


async def test_an_edit_of_what_it_makes_leaves_its_revision(made: Made) -> None:
    schedule = await made.schedule()
    edited = await made.edit(
        schedule, name="Yard", jitter=HOUR, overlap_policy=OverlapPolicy.SKIP, task=WorkDraft(title="Mow")
    )
    assert (edited.revision, edited.version) == (1, 2)
    assert (edited.settled_until, edited.next_fire_time) == (NOW, NOW + HOUR)
    assert (edited.name, edited.task.title) == ("Yard", "Mow")


async def test_what_can_be_taken_away_is(made: Made) -> None:
    schedule = await made.schedule(
        starts_at=NOW + HOUR, ends_at=NOW + 9 * HOUR, jitter=HOUR, catch_up_window=HOUR
    )
    edited = await made.edit(schedule, starts_at=None, ends_at=None, jitter=None, catch_up_window=None)
    assert (edited.starts_at, edited.ends_at, edited.jitter) == (None, None, timedelta(0))
    assert edited.catch_up_window == timedelta(hours=24)


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("name", "name"),
        ("recurrence", "recurrence"),
        ("zone", "timeZone"),
        ("misfire_policy", "misfirePolicy"),
        ("overlap_policy", "overlapPolicy"),
        ("task", "task"),
    ],
)
async def test_what_every_schedule_has_cannot_be_taken_away(made: Made, field: str, path: str) -> None:
    schedule = await made.schedule()
    with pytest.raises(Refusals) as caught:
        await made.edit(schedule, **{field: None})
    assert [each.path for each in caught.value.refusals] == [(path,)]


async def test_an_edit_is_checked_against_what_it_leaves(made: Made) -> None:
    schedule = await made.schedule(ends_at=NOW + 5 * HOUR)
    with pytest.raises(Refusals) as caught:
        await made.edit(schedule, starts_at=NOW + 6 * HOUR)
    assert [each.path for each in caught.value.refusals] == [("endsAt",)]
    assert made.schedules.rows[schedule.id] == schedule


async def test_an_edit_that_changes_nothing_writes_nothing(made: Made) -> None:
    schedule = await made.schedule()
    assert await made.edit(schedule, name=schedule.name, recurrence=schedule.recurrence) == schedule


async def test_what_passes_while_it_is_paused_does_not_fire(made: Made) -> None:
    schedule = await made.schedule()
    paused = await made.service.pause(CALLER, schedule.id)
    assert (paused.paused, paused.next_fire_time) == (True, None)
    assert fire_times(made, paused, 5) == []
    made.clock.time = NOW + timedelta(minutes=150)
    resumed = await made.service.resume(CALLER, schedule.id)
    assert (resumed.paused, resumed.revision) == (False, 1)
    assert resumed.next_fire_time == NOW + 3 * HOUR


async def test_pausing_and_resuming_twice_changes_nothing_more(made: Made) -> None:
    schedule = await made.schedule()
    assert await made.service.resume(CALLER, schedule.id) == schedule
    paused = await made.service.pause(CALLER, schedule.id)
    assert await made.service.pause(CALLER, schedule.id) == paused


async def test_a_schedule_that_is_edited_while_it_is_paused_stays_paused(made: Made) -> None:
    schedule = await made.schedule()
    await made.service.pause(CALLER, schedule.id)
    edited = await made.edit(schedule, recurrence=Every(HOUR))
    assert (edited.paused, edited.next_fire_time) == (True, None)


async def test_the_next_fire_times_end_with_the_schedule(made: Made) -> None:
    schedule = await made.schedule(ends_at=NOW + 3 * HOUR)
    assert fire_times(made, schedule, 5) == [NOW + number * HOUR for number in (1, 2, 3)]
    assert fire_times(made, schedule, 2) == [NOW + HOUR, NOW + 2 * HOUR]
    made.clock.time = NOW + 4 * HOUR
    assert fire_times(made, schedule, 5) == []


async def test_a_bound_caller_meets_their_own_schedules_alone(made: Made) -> None:
    mine = await made.schedule(ALICE)
    other = await made.schedule(task=WorkDraft(title="Go", owner="bob"))
    assert mine.owner == "alice"
    for refused in (
        made.service.update(ALICE, other.id, ScheduleEdit(name="Mine")),
        made.service.pause(ALICE, other.id),
        made.service.resume(ALICE, other.id),
        made.service.delete(ALICE, other.id),
    ):
        with pytest.raises(NotFound) as caught:
            await refused
        assert caught.value.path == ("id",)
    assert (await made.service.page(ALICE, PageRequest())).items == (mine,)
    assert (await made.service.page(ALICE, PageRequest(), owner="bob")).items == ()
    assert len((await made.service.page(CALLER, PageRequest())).items) == 2


async def test_a_bound_caller_cannot_give_a_schedule_away(made: Made) -> None:
    mine = await made.schedule(ALICE)
    edit = ScheduleEdit(task=WorkDraft(title="Go", owner="bob"))
    with pytest.raises(Refusals) as caught:
        await made.service.update(ALICE, mine.id, edit)
    assert [each.path for each in caught.value.refusals] == [("task", "owner")]
    edited = await made.service.update(ALICE, mine.id, ScheduleEdit(task=WorkDraft(title="Go")))
    assert edited.owner == "alice"


async def test_a_lost_update_is_refused(made: Made) -> None:
    schedule = await made.schedule()
    await made.edit(schedule, name="Yard")
    with pytest.raises(StaleVersion) as caught:
        await made.service.pause(CALLER, schedule.id, version=1)
    assert caught.value.path == ("version",)


def fire_times(made: Made, schedule: Schedule, most: int) -> list[datetime]:
    return list(next_fire_times(schedule, ReadRecurrences(), made.clock.now(), most))
