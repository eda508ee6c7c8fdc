"""Loaders read what is asked for at one moment together, and keep their askers apart."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from uuid import UUID

import pytest
from typing_extensions import override

from domain.errors import Unavailable
from domain.tasks.model import Task
from schema.loaders import Loaders
from tests.support.face import Face
from tests.support.stores import StoredTasks
from tests.support.waiting import settle_down


class SlowTasks(StoredTasks):
    """Answers when it is told to."""

    @override
    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Task | None]:
        found = await super().find(tenant, ids)
        self.asked.set()
        await self.answer.wait()
        return found

    def hold(self) -> None:
        self.asked, self.answer = asyncio.Event(), asyncio.Event()


class GoneTasks(StoredTasks):
    @override
    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Task | None]:
        self.calls.append("find")
        raise Unavailable("PostgreSQL")


def loaders(face: Face) -> Loaders:
    return face.context().loaders


async def test_what_is_asked_for_at_one_moment_is_read_once() -> None:
    face = Face()
    tasks = [face.keep() for _ in range(3)]
    own = loaders(face)
    found = await asyncio.gather(*(own.task(task.id) for task in [*tasks, *tasks]))
    assert found == tasks * 2
    assert await own.task(tasks[0].id) == tasks[0]
    assert face.calls == ["find"]


async def test_what_was_forgotten_is_read_again() -> None:
    face = Face()
    task = face.keep()
    own = loaders(face)
    await own.task(task.id)
    face.tasks.rows.clear()
    own.forget()
    assert await own.task(task.id) is None


async def test_an_asker_that_is_cancelled_does_not_take_the_others_along() -> None:
    face = Face()
    face.tasks = slow = SlowTasks(face.clock)
    slow.hold()
    task = face.keep()
    own = loaders(face)
    async with asyncio.TaskGroup() as askers:
        hasty = askers.create_task(own.task(task.id))
        patient = askers.create_task(own.task(task.id))
        await slow.asked.wait()
        hasty.cancel()
        await asyncio.wait([hasty])
        slow.answer.set()
    assert hasty.cancelled()
    assert patient.result() == task


class LateTasks(SlowTasks):
    @override
    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Task | None]:
        await super().find(tenant, ids)
        raise Unavailable("PostgreSQL")


async def test_a_fault_that_comes_when_all_who_asked_are_gone_is_heard_by_nobody() -> None:
    face, unheard = Face(), list[str]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context["message"]))
    face.tasks = late = LateTasks(face.clock)
    late.hold()
    asker = asyncio.create_task(loaders(face).task(UUID(int=1)))
    await late.asked.wait()
    asker.cancel()
    await asyncio.wait([asker])
    late.answer.set()
    await settle_down()
    gc.collect()
    assert unheard == []


async def test_a_store_that_is_gone_is_told_to_all_and_asked_again() -> None:
    face = Face()
    face.tasks = GoneTasks(face.clock, face.calls)
    own = loaders(face)
    answers = await asyncio.gather(*(own.task(UUID(int=n)) for n in range(3)), return_exceptions=True)
    assert [type(each) for each in answers] == [Unavailable] * 3
    with pytest.raises(Unavailable):
        await own.task(UUID(int=1))
    assert face.calls == ["find"] * 2
