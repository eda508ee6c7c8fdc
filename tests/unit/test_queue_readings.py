"""Who follow the queues of one tenant share readings, which are as rare as they are dear."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from typing_extensions import override

from domain.errors import Unavailable
from domain.queues.model import Queue
from schema.queue_readings import QueueReadings
from tests.support.stores import StoredQueues
from tests.support.waiting import settle_down


class SlowQueues(StoredQueues):
    """Reading takes some time, which can be stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 100.0
        self.takes = 0.0
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.fault: Exception | None = None

    def now(self) -> float:
        return self.time

    @override
    async def all(
        self, tenant: str, limit: int, names: Sequence[str] | None = None, *, figures: bool = True
    ) -> list[Queue]:
        found = await super().all(tenant, limit, names, figures=figures)
        await self.goes_on.wait()
        self.time += self.takes
        if self.fault is not None:
            raise self.fault
        return found


class Following:
    def __init__(self) -> None:
        self.queues = SlowQueues()
        self.queues.rows["acme", "mail"] = Queue(name="mail")
        self.readings = QueueReadings(self.queues, self.queues.now)

    @property
    def read(self) -> int:
        return len(self.queues.calls)


async def test_a_reading_is_shared_while_it_is_no_older_than_the_interval_of_who_asks() -> None:
    it = Following()
    async with it.readings.followed("acme") as often, it.readings.followed("acme") as seldom:
        assert [each.name for each in await often.recent(1)] == ["mail"]
        assert await seldom.recent(60) == await often.recent(1)
        assert it.read == 1
        it.queues.time += 1
        await often.recent(1)
        assert it.read == 2
        it.queues.time += 59
        await seldom.recent(60)
        assert it.read == 2
        it.queues.time += 1
        await seldom.recent(60)
        assert it.read == 3


async def test_who_asks_while_it_is_read_waits_for_that_reading() -> None:
    it = Following()
    it.queues.goes_on.clear()
    async with it.readings.followed("acme") as followed:
        asking = [asyncio.create_task(followed.recent(1)) for _ in range(5)]
        await settle_down()
        asking[0].cancel()  # who began it is gone: another one does it
        await settle_down()
        it.queues.goes_on.set()
        answers = await asyncio.gather(*asking[1:])
        assert [len(each) for each in answers] == [1] * 4
        assert it.read == 2


async def test_a_dear_reading_serves_for_nine_times_as_long_as_it_took() -> None:
    it = Following()
    it.queues.takes = 1.5
    async with it.readings.followed("acme") as followed:
        await followed.recent(1)
        it.queues.time += 9 * 1.5 - 0.1
        await followed.recent(1)
        assert it.read == 1
        it.queues.time += 0.2
        await followed.recent(1)
        assert it.read == 2


async def test_a_reading_that_fails_fails_for_those_who_wait_for_it_and_is_tried_again_later() -> None:
    it = Following()
    it.queues.fault = Unavailable("PostgreSQL")
    async with it.readings.followed("acme") as followed:
        answers = await asyncio.gather(*(followed.recent(1) for _ in range(5)), return_exceptions=True)
        assert [type(each) for each in answers] == [Unavailable] * 5
        assert it.read == 1
        it.queues.fault = None
        with pytest.raises(Unavailable):
            await followed.recent(1)
        it.queues.time += 1
        assert len(await followed.recent(60)) == 1


async def test_tenants_are_apart_and_nothing_is_kept_of_one_that_nobody_follows() -> None:
    it = Following()
    follow = it.readings.followed
    async with follow("acme") as mine, follow("acme"), follow("other") as theirs:
        assert len(await mine.recent(1)) == 1
        assert await theirs.recent(1) == []
        assert len(it.readings) == 2
    assert len(it.readings) == 0
    async with it.readings.followed("acme") as followed:
        assert len(await followed.recent(60)) == 1
