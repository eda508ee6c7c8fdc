"""A stop ends waiting at once, and never what is being done."""

from __future__ import annotations

import asyncio

import pytest

from jobs.stop import Stop
from tests.support.waiting import settle_down

HOUR = 3600


async def test_it_ends_a_wait_under_way() -> None:
    stop, ended = Stop(), False

    async def wait() -> None:
        nonlocal ended
        async with stop.interrupts():
            await asyncio.sleep(HOUR)
        ended = True

    async with asyncio.TaskGroup() as group:
        group.create_task(wait())
        await settle_down()
        assert not ended
        stop.ask()
    assert ended


async def test_once_asked_for_nothing_is_waited_for() -> None:
    stop = Stop()
    stop.ask()
    async with stop.interrupts():
        await asyncio.sleep(HOUR)
    assert stop.asked
    await stop.wait()


async def test_it_lets_pass_what_is_raised_inside_also_a_timeout() -> None:
    stop = Stop()
    for fault in (TimeoutError, ValueError):
        with pytest.raises(fault):
            async with stop.interrupts():
                raise fault


async def test_work_outside_of_a_wait_goes_on() -> None:
    stop, gate, done = Stop(), asyncio.Event(), False

    async def work() -> None:
        nonlocal done
        async with stop.interrupts():
            pass
        await gate.wait()
        done = True

    async with asyncio.TaskGroup() as group:
        group.create_task(work())
        await settle_down()
        stop.ask()
        await settle_down()
        assert not done
        gate.set()
    assert done
