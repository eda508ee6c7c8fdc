"""However many fire times are asked for, the process goes on with what else it has to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import perf_counter

import pytest
from typing_extensions import override

from domain.errors import Invalid
from domain.schedules.recurrence import Cron, Every, Recurrence
from infra.recurrence.reading import ReadRecurrences
from schema.fire_times import SLICE, FireTimes, Turns
from tests.support.face import NOW, Face, StillClock

HOUR = timedelta(hours=1)
DEAR = "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=366"


@dataclass
class Loop:
    turns: int = 0

    async def turn(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)


@asynccontextmanager
async def turning() -> AsyncIterator[Loop]:
    """Counts how often the others on the loop have their turn."""
    loop = Loop()
    others = asyncio.create_task(loop.turn())
    yield loop
    others.cancel()


def dear(number: int, asked: list[object], told: object = "") -> Iterator[datetime]:
    """Each takes as long as a slice."""
    for _ in range(number):
        asked.append(told)
        end = perf_counter() + SLICE
        while perf_counter() < end:
            pass
        yield NOW


def cheap(loop: Loop, asked: list[object]) -> Iterator[datetime]:
    asked.append(loop.turns)
    yield NOW


class Counted(ReadRecurrences):
    def __init__(self) -> None:
        super().__init__()
        self.computed = 0

    @override
    def fire_times(
        self, recurrence: Recurrence, zone: str, anchor: datetime, after: datetime, most: int
    ) -> Iterator[datetime]:
        self.computed += 1
        return super().fire_times(recurrence, zone, anchor, after, most)


class Growing(StillClock):
    @override
    def now(self) -> datetime:
        self.time += HOUR
        return self.time


async def test_others_have_their_turn_between_the_fire_times_of_a_dear_one() -> None:
    async with turning() as loop:
        seen: list[int] = []

        def noting() -> Iterator[datetime]:
            for each in dear(5, []):
                seen.append(loop.turns)
                yield each

        assert await Turns().taken(noting()) == [NOW] * 5
    assert len(set(seen)) == 5


async def test_others_have_their_turn_between_many_cheap_ones() -> None:
    turns, asked = Turns(), list[object]()
    async with turning() as loop:
        await asyncio.gather(*(turns.taken(cheap(loop, asked)) for _ in range(20)))
    assert len(set(asked)) == 20


async def test_one_slice_is_computed_after_the_other_by_turns() -> None:
    turns, asked = Turns(), list[object]()
    await asyncio.gather(*(turns.taken(dear(3, asked, name)) for name in "ab"))
    assert asked == ["a", "b"] * 3


async def test_what_nobody_waits_for_any_more_is_not_computed_on() -> None:
    turns, asked = Turns(), list[object]()
    task = asyncio.create_task(turns.taken(dear(1_000, asked)))
    while not asked:
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    computed = len(asked)
    assert await turns.taken(dear(2, [])) == [NOW] * 2
    assert len(asked) == computed < 1_000


async def test_the_same_is_computed_once_for_an_operation_and_at_one_moment() -> None:
    recurrences = Counted()
    times = FireTimes(recurrences, Growing(), Turns())
    moments = {times.now for _ in range(3)}
    asked = (times.of_recurrence(Every(HOUR), "UTC", NOW, times.now, 2) for _ in range(5))
    found = await asyncio.gather(*asked)
    assert (recurrences.computed, len(moments)) == (1, 1)
    assert found == [[NOW + 2 * HOUR, NOW + 3 * HOUR]] * 5
    await times.of_recurrence(Every(HOUR), "UTC", NOW, times.now, 3)
    await times.of_recurrence(Cron("@daily"), "UTC", NOW, times.now, 2)
    assert recurrences.computed == 3


async def test_what_is_refused_does_not_hold_up_the_next() -> None:
    times = FireTimes(ReadRecurrences(), StillClock(), Turns())
    with pytest.raises(Invalid):
        await times.of_recurrence(Cron("0 0 30 2 *"), "UTC", NOW, NOW, 2)
    assert len(await times.of_recurrence(Cron("@daily"), "UTC", NOW, NOW, 2)) == 2


async def test_a_request_of_many_previews_leaves_the_loop_to_others() -> None:
    aliases = (
        f'p{each}: previewRecurrence(recurrence: {{ rrule: "{DEAR}" }}, timeZone: "UTC", first: {each}) '
        "{ fireTimes }"
        for each in range(1, 21)
    )
    async with turning() as loop:
        before = loop.turns
        data = await Face().ask(f"{{ {' '.join(aliases)} }}")
    assert [len(each["fireTimes"]) for each in data.values()] == list(range(1, 21))
    assert loop.turns - before > 100
