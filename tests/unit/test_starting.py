"""Starting attempts together: nothing waits alone, and no one's fault is another's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from typing_extensions import override

from domain.attempts.model import Started
from domain.errors import Unavailable
from infra.background import background
from jobs.starting import Starting
from tests.support.engine_fakes import FakeEngine
from tests.support.storage import ids
from tests.support.waiting import settle_down


class HeldEngine(FakeEngine):
    """Answers when it is let go, and cannot start what is poison."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[UUID]] = []
        self.go = asyncio.Event()
        self.poison: UUID | None = None
        self.away = False

    def worker(self) -> UUID:
        worker = ids.next()
        self.leases[worker] = (10, False)
        return worker

    def queued(self, count: int) -> list[UUID]:
        return [self.add(state="QUEUED") for _ in range(count)]

    @override
    async def start(self, worker: UUID, tasks: Sequence[UUID]) -> list[Started]:
        self.asked.append(list(tasks))
        await self.go.wait()
        if self.away:
            raise Unavailable("PostgreSQL")
        if self.poison in tasks:
            raise ValueError("poison")
        return await super().start(worker, tasks)


@asynccontextmanager
async def starting(engine: HeldEngine) -> AsyncIterator[Starting]:
    async with background() as tasks:
        yield Starting(engine, tasks)


def started(*answers: list[Started]) -> list[list[UUID]]:
    return [[one.task_id for one in answer] for answer in answers]


async def test_what_comes_while_a_start_is_under_way_is_started_together() -> None:
    engine = HeldEngine()
    worker, (one, two, three) = engine.worker(), engine.queued(3)
    async with starting(engine) as it, asyncio.TaskGroup() as group:
        asking = [group.create_task(it.start(worker, [one]))]
        await settle_down()
        asking += [group.create_task(it.start(worker, [task])) for task in (two, three)]
        await settle_down()
        assert engine.asked == [[one]]
        engine.go.set()
    assert engine.asked == [[one], [two, three]]
    assert started(*(task.result() for task in asking)) == [[one], [two], [three]]


async def test_what_cannot_be_started_does_not_hold_back_the_others() -> None:
    engine = HeldEngine()
    worker, (one, two) = engine.worker(), engine.queued(2)
    engine.poison = one
    engine.go.set()
    async with starting(engine) as it:
        answers = await asyncio.gather(it.start(worker, [one]), it.start(worker, [two]), return_exceptions=True)
    assert isinstance(answers[0], ValueError)
    assert not isinstance(answers[1], BaseException)
    assert started(answers[1]) == [[two]]


async def test_an_outage_is_told_to_everyone_who_asked() -> None:
    engine, worker = HeldEngine(), ids.next()
    engine.away = True
    engine.go.set()
    async with starting(engine) as it:
        asked = [it.start(worker, [ids.next()]) for _ in range(3)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert len(engine.asked) == 1


async def test_two_leases_do_not_share_a_statement() -> None:
    engine = HeldEngine()
    first, second, (one, two) = engine.worker(), engine.worker(), engine.queued(2)
    engine.go.set()
    async with starting(engine) as it:
        answers = await asyncio.gather(it.start(first, [one]), it.start(second, [two]))
    assert engine.asked == [[one], [two]]
    assert started(*answers) == [[one], [two]]


async def test_who_waits_when_it_ends_is_not_left_waiting() -> None:
    engine, worker = HeldEngine(), ids.next()
    async with asyncio.TaskGroup() as group:
        async with starting(engine) as it:
            asking = [group.create_task(it.start(worker, [ids.next()])) for _ in range(2)]
            await settle_down()
        with pytest.raises(asyncio.CancelledError):
            await asking[0]
    assert all(task.cancelled() for task in asking)
