"""Single tasks added together, in PostgreSQL: each of its own tenant, with its one event; a key names one."""

from __future__ import annotations

import asyncio

from domain.errors import Conflict
from infra.postgres.adding import open_adding
from tests.support.storage import Storage, a_task, open_storage


async def test_each_is_there_once_with_its_event_and_only_for_its_tenant(database_url: str) -> None:
    tasks = [a_task(title=str(number), tenant=("acme", "other")[number % 2]) for number in range(60)]
    async with open_storage(database_url) as storage, open_adding(storage.tasks) as adding:
        answers = await asyncio.gather(*(adding.add([task]) for task in tasks))
        for task, [added] in zip(tasks, answers, strict=True):
            assert added.created
            assert added.task.title == task.title
            elsewhere = "other" if task.tenant == "acme" else "acme"
            assert await storage.tasks.find(elsewhere, [task.id]) == [None]
        await _told_once(storage, len(tasks))


async def test_a_key_names_one_task_whatever_comes_with_it(database_url: str) -> None:
    async with open_storage(database_url) as storage, open_adding(storage.tasks) as adding:
        keyed = [a_task(key="k") for _ in range(8)]
        answers = await asyncio.gather(
            *(adding.add([task]) for task in keyed),
            *(adding.add([a_task()]) for _ in range(20)),
            adding.add([a_task(key="k", fingerprint=b"other")]),
            return_exceptions=True,
        )
        *others, last = answers
        if isinstance(last, Conflict):
            added = [answer[0] for answer in others if isinstance(answer, list)]
            assert len({each.task.id for each in added[:8]}) == 1
            assert sum(each.created for each in added) == 21
        else:  # it was the first
            assert all(isinstance(answer, Conflict) for answer in others[:8])
        await _told_once(storage, 21)


async def test_what_cannot_be_stored_is_no_fault_of_the_others(database_url: str) -> None:
    tasks = [a_task(title=title) for title in ("one", "with \x00 within", "two")]
    async with open_storage(database_url) as storage, open_adding(storage.tasks) as adding:
        one, fault, two = await asyncio.gather(*(adding.add([task]) for task in tasks), return_exceptions=True)
        assert isinstance(fault, Exception)
        assert await storage.tasks.find("acme", [tasks[1].id]) == [None]
        assert isinstance(one, list)
        assert isinstance(two, list)
        await _told_once(storage, 2)


async def _told_once(storage: Storage, count: int) -> None:
    async with storage.database.work("test") as connection:
        tasks = await connection.fetchval("select count(*) from tasks")
        events = await connection.fetchval("select count(*) from outbox where event->>'kind' = 'CREATED'")
        told = await connection.fetchval("select count(distinct event->>'task_id') from outbox")
    assert (tasks, events, told) == (count, count, count)
