"""Adding tasks together: nothing waits alone, and no one's fault is another's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from typing_extensions import override

from domain.errors import Unavailable
from domain.tasks.model import Task
from domain.tasks.ports import Added
from infra.postgres.adding import MOST, open_adding
from tests.support.storage import a_task, clock
from tests.support.stores import StoredTasks
from tests.support.waiting import settle_down


class HeldTasks(StoredTasks):
    """Stores when it is let go, and cannot store what is poison."""

    def __init__(self) -> None:
        super().__init__(clock)
        self.asked: list[list[str]] = []
        self.go = asyncio.Event()
        self.away = False

    @override
    async def add(self, tasks: Sequence[Task]) -> list[Added]:
        self.asked.append([task.title for task in tasks])
        await self.go.wait()
        if self.away:
            raise Unavailable("PostgreSQL")
        if any(task.title == "poison" for task in tasks):
            raise ValueError("poison")
        return await super().add(tasks)


async def test_what_comes_while_a_statement_is_under_way_goes_into_the_next() -> None:
    stored = HeldTasks()
    async with open_adding(stored) as adding, asyncio.TaskGroup() as group:
        asking = []
        for title in ("one", "two", "three"):
            asking.append(group.create_task(adding.add([a_task(title=title)])))
            await settle_down()
        assert stored.asked == [["one"]]
        stored.go.set()
    assert stored.asked == [["one"], ["two", "three"]]
    assert [task.result()[0].task.title for task in asking] == ["one", "two", "three"]


async def test_a_task_with_a_key_and_a_batch_wait_for_nobody() -> None:
    stored = HeldTasks()
    async with open_adding(stored) as adding, asyncio.TaskGroup() as group:
        group.create_task(adding.add([a_task(title="one")]))
        await settle_down()
        group.create_task(adding.add([a_task(title="keyed", key="k")]))
        group.create_task(adding.add([a_task(title="first"), a_task(title="second")]))
        await settle_down()
        assert stored.asked == [["one"], ["keyed"], ["first", "second"]]
        stored.go.set()


async def test_no_statement_is_of_two_tenants() -> None:
    stored = HeldTasks()
    async with open_adding(stored) as adding, asyncio.TaskGroup() as group:
        for title, tenant in (("one", "acme"), ("two", "other"), ("three", "acme"), ("four", "other")):
            group.create_task(adding.add([a_task(title=title, tenant=tenant)]))
        await settle_down()
        stored.go.set()
    assert sorted(stored.asked) == [["one", "three"], ["two", "four"]]


async def test_a_statement_is_of_so_many_and_no_more() -> None:
    stored = HeldTasks()
    async with open_adding(stored) as adding, asyncio.TaskGroup() as group:
        for number in range(MOST + 1):
            group.create_task(adding.add([a_task(title=str(number))]))
        await settle_down()
        stored.go.set()
    assert [len(asked) for asked in stored.asked] == [MOST, 1]


async def test_what_cannot_be_stored_does_not_hold_back_the_others() -> None:
    stored = HeldTasks()
    stored.go.set()
    async with open_adding(stored) as adding:
        answers = await asyncio.gather(
            *(adding.add([a_task(title=title)]) for title in ("one", "poison", "two")), return_exceptions=True
        )
    assert [isinstance(answer, ValueError) for answer in answers] == [False, True, False]


async def test_an_outage_is_told_to_everyone_and_the_next_is_tried() -> None:
    stored = HeldTasks()
    stored.go.set()
    stored.away = True
    async with open_adding(stored) as adding:
        answers = await asyncio.gather(*(adding.add([a_task()]) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(answer, Unavailable) for answer in answers)
        stored.away = False
        [added] = await adding.add([a_task(title="later")])
    assert added.task.title == "later"


async def test_one_who_goes_takes_nobody_along() -> None:
    stored = HeldTasks()
    async with open_adding(stored) as adding, asyncio.TaskGroup() as group:
        gone = group.create_task(adding.add([a_task(title="gone")]))
        stays = group.create_task(adding.add([a_task(title="stays")]))
        await settle_down()
        gone.cancel()
        await settle_down()
        stored.go.set()
    assert gone.cancelled()
    assert stays.result()[0].task.title == "stays"


async def test_who_waits_at_the_end_is_not_left_waiting() -> None:
    stored = HeldTasks()
    async with open_adding(stored) as adding:
        waiting = [asyncio.ensure_future(adding.add([a_task()])) for _ in range(2)]
        await settle_down()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    with pytest.raises(asyncio.CancelledError):
        await waiting[1]
