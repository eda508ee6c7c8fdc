"""What stored schedules promise their callers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.actions.model import Http, Notify, Run
from domain.attempts.retry import Backoff, RetryPolicy
from domain.errors import NotFound, StaleVersion
from domain.paging import PageRequest
from domain.schedules.misfire import MisfirePolicy
from domain.schedules.model import Schedule
from domain.schedules.overlap import OverlapPolicy
from domain.schedules.recurrence import Cron, Every, RRule
from tests.support.schedules import TEMPLATE, Garden
from tests.support.storage import Storage, ids

pytestmark = pytest.mark.postgres


@pytest.fixture
def garden(storage: Storage) -> Garden:
    return Garden(storage)


def renamed(schedule: Schedule, _now: datetime) -> Schedule:
    return replace(schedule, name=f"{schedule.name}!")


async def test_a_schedule_comes_back_as_it_was_stored(garden: Garden) -> None:
    for recurrence, action in (
        (Cron("30 9 * * MON-FRI"), Notify(body="now")),
        (
            RRule("FREQ=DAILY;COUNT=3"),
            Http(url="https://example.com/", headers={"a": "b"}, body=[1, None, "ä"]),
        ),
        (Every(timedelta(minutes=90)), Run(handler="echo", payload={"value": 1.5})),
    ):
        added = await garden.add(
            recurrence=recurrence,
            zone="Europe/Berlin",
            starts_at=datetime(2030, 1, 1, tzinfo=UTC),
            ends_at=datetime(2040, 1, 1, tzinfo=UTC),
            jitter=timedelta(minutes=5),
            misfire_policy=MisfirePolicy.FIRE_ALL,
            catch_up_window=timedelta(days=3),
            overlap_policy=OverlapPolicy.CANCEL_RUNNING,
            task=replace(
                TEMPLATE,
                description="with\nlines",
                owner="ann",
                labels=(("order", "17"), ("kind", "é")),
                action=action,
                queue="mail",
                priority=1,
                concurrency_key="account-17",
                timeout=timedelta(milliseconds=1500),
                retry=RetryPolicy(max_attempts=3, backoff=Backoff.FIXED, base=timedelta(seconds=7)),
            ),
        )
        assert await garden.find(added) == added


async def test_a_schedule_begins_by_the_clock_of_the_database(garden: Garden) -> None:
    before = await garden.now()
    added = await garden.add()
    assert before <= added.settled_until == added.created_at <= await garden.now()


async def test_a_schedule_belongs_to_one_tenant(storage: Storage, garden: Garden) -> None:
    added = await garden.add()
    assert await storage.schedules.find("other", [added.id]) == [None]
    assert (await storage.schedules.page("other", PageRequest())).items == ()
    with pytest.raises(NotFound):
        await storage.schedules.change("other", added.id, renamed)
    with pytest.raises(NotFound):
        await storage.schedules.delete("other", added.id)


async def test_a_schedule_of_another_owner_is_not_found(storage: Storage, garden: Garden) -> None:
    added = await garden.add(task=replace(TEMPLATE, owner="ann"))
    with pytest.raises(NotFound):
        await storage.schedules.change("acme", added.id, renamed, owner="bob")
    with pytest.raises(NotFound):
        await storage.schedules.delete("acme", added.id, owner="bob")
    assert (await storage.schedules.change("acme", added.id, renamed, owner="ann")).name == "Garden!"


async def test_schedules_are_answered_in_the_order_asked(storage: Storage, garden: Garden) -> None:
    one, two = await garden.add(), await garden.add()
    assert await storage.schedules.find("acme", [two.id, ids.next(), one.id]) == [two, None, one]


async def test_a_change_counts_the_version_and_one_that_changes_nothing_does_not(
    storage: Storage, garden: Garden
) -> None:
    added = await garden.add()
    changed = await storage.schedules.change("acme", added.id, renamed, version=1)
    assert (changed.name, changed.version) == ("Garden!", 2)
    assert changed.updated_at > added.updated_at
    assert await garden.find(added) == changed
    assert await storage.schedules.change("acme", added.id, lambda found, _: found) == changed


async def test_a_lost_update_is_refused(storage: Storage, garden: Garden) -> None:
    added = await garden.add()
    await storage.schedules.change("acme", added.id, renamed)
    with pytest.raises(StaleVersion):
        await storage.schedules.change("acme", added.id, renamed, version=1)
    with pytest.raises(StaleVersion):
        await storage.schedules.delete("acme", added.id, version=1)
    assert (await garden.find(added)).name == "Garden!"


async def test_a_change_that_is_refused_changes_nothing(storage: Storage, garden: Garden) -> None:
    def refuse(schedule: Schedule, now: datetime) -> Schedule:
        raise NotFound("no")

    added = await garden.add()
    with pytest.raises(NotFound):
        await storage.schedules.change("acme", added.id, refuse)
    assert await garden.find(added) == added


async def test_pages_follow_the_order_of_making(storage: Storage, garden: Garden) -> None:
    added = [await garden.add(task=replace(TEMPLATE, owner="ann" if n % 2 else None)) for n in range(7)]
    first = await storage.schedules.page("acme", PageRequest(size=3))
    assert (first.items, first.has_next, first.has_previous) == (tuple(added[:3]), True, False)
    rest = await storage.schedules.page("acme", PageRequest(size=10, after=first.items[-1].id))
    assert (rest.items, rest.has_next, rest.has_previous) == (tuple(added[3:]), False, True)
    last = await storage.schedules.page("acme", PageRequest(size=2, backwards=True))
    assert (last.items, last.has_previous) == (tuple(added[5:]), True)
    anns = await storage.schedules.page("acme", PageRequest(size=2), owner="ann")
    assert (anns.items, anns.has_next) == ((added[1], added[3]), True)


async def test_a_deleted_schedule_is_gone_and_its_tasks_are_not(storage: Storage, garden: Garden) -> None:
    schedule = await garden.add_passed(1)
    await storage.firing.fire(10)
    await storage.schedules.delete("acme", schedule.id)
    assert await storage.schedules.find("acme", [schedule.id]) == [None]
    [task] = await garden.tasks(schedule)
    assert task.schedule_id == schedule.id
