"""No tenant has more than its share of connections; who waits for it is served in order, or leaves no trace."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from domain.errors import TenantBusy
from infra.postgres.shares import ShareMetrics, Shares
from tests.support.waiting import settle_down

LATER = 60.0


def shares(size: int) -> Shares:
    return Shares(size, ShareMetrics(CollectorRegistry()))


class Work:
    """A task that takes one, and holds it until it is told to end."""

    def __init__(self, of: Shares, tenant: str = "acme", seconds: float = LATER) -> None:
        self.began = False
        self._end = asyncio.Event()
        self.task = asyncio.create_task(self._run(of, tenant, seconds))

    async def _run(self, of: Shares, tenant: str, seconds: float) -> None:
        async with of.one(tenant, asyncio.get_running_loop().time() + seconds):
            self.began = True
            await self._end.wait()

    async def end(self) -> None:
        self._end.set()
        await self.task

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.mark.parametrize(("size", "most"), [(1, 1), (2, 1), (3, 1), (4, 2), (10, 5)])
async def test_a_tenant_has_half_of_the_connections_and_one_in_any_case(size: int, most: int) -> None:
    of = shares(size)
    works = [Work(of) for _ in range(most + 2)]
    other = Work(of, "other")
    await settle_down()
    assert [work.began for work in works] == [True] * most + [False] * 2
    assert other.began
    for work in (*works, other):
        await work.end()
    assert len(of) == 0


async def test_who_waits_is_served_in_order_of_coming() -> None:
    of = shares(1)
    works = [Work(of) for _ in range(4)]
    for served in range(4):
        await settle_down()
        works.append(Work(of))  # nobody who comes later is before them
        assert [work.began for work in works[:4]] == [True] * (served + 1) + [False] * (3 - served)
        await works[served].end()
    for work in works[4:]:
        await work.end()
    assert len(of) == 0


async def test_who_is_cancelled_while_waiting_leaves_nothing_behind() -> None:
    of = shares(1)
    first, second, third = Work(of), Work(of), Work(of)
    await settle_down()
    await second.cancel()
    await first.end()
    await settle_down()
    assert third.began
    await third.cancel()
    assert len(of) == 0


async def test_who_is_cancelled_when_just_served_passes_it_on() -> None:
    of = shares(1)
    waiting: list[Work] = []
    end = asyncio.Event()

    async def hold() -> None:
        async with of.one("acme", asyncio.get_running_loop().time() + LATER):
            await end.wait()
        waiting[0].task.cancel()  # it has been served, and does not know yet

    first = asyncio.create_task(hold())
    await settle_down()
    waiting += [Work(of), Work(of)]
    await settle_down()
    end.set()
    await first
    await settle_down()
    assert [work.began for work in waiting] == [False, True]
    await waiting[1].end()
    assert len(of) == 0


async def test_who_waited_too_long_is_refused_and_leaves_nothing_behind() -> None:
    of = shares(1)
    first, second = Work(of), Work(of, seconds=0.01)
    with pytest.raises(TenantBusy):
        await second.task
    await first.end()
    assert len(of) == 0


async def test_work_for_a_tenant_within_work_for_a_tenant_is_a_fault_at_once() -> None:
    of = shares(10)
    async with of.one("acme", LATER):
        for tenant in ("acme", "other"):
            with pytest.raises(RuntimeError, match="within"):
                async with of.one(tenant, LATER):
                    pass
    async with of.one("acme", LATER):
        pass
    assert len(of) == 0
