"""Computing fire times holds up nobody: it is done in turns, once for an operation, and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter

import pytest
from typing_extensions import override

from domain.errors import Invalid
from domain.schedules.recurrence import Cron, Recurrence
from infra.recurrence.reading import ReadRecurrences
from schema.fire_times import SLICE, FireTimes, Turns
from tests.support.face import NOW, Face, StillClock
from tests.support.waiting import until

DAILY, HOURLY, NEVER = Cron("@daily"), Cron("@hourly"), Cron("0 0 */29 * 1#4")


@dataclass
class Dear(ReadRecurrences):
    """Takes a slice for each fire time, and notes in which turn of the loop it was."""

    turn: int = 0
    turns: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    @override
    def fire_times(
        self, recurrence: Recurrence, zone: str, anchor: datetime, after: datetime, most: int
    ) -> Iterator[datetime]:
        for each in super().fire_times(recurrence, zone, anchor, after, most):
            self.turns.append(self.turn)
            end = perf_counter() + SLICE
            while perf_counter() < end:
                pass
            yield each

    async def tick(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)


async def asked(fire_times: FireTimes, recurrence: Recurrence, most: int = 10) -> list[datetime]:
    return await fire_times.of_recurrence(recurrence, "UTC", NOW, NOW, most)


async def test_everyone_else_has_a_turn_between_two_dear_ones_however_many_ask() -> None:
    dear, turns = Dear(), Turns()
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(dear.tick())
        async with asyncio.TaskGroup() as asking:
            for recurrence in (DAILY, HOURLY, DAILY, HOURLY):
                asking.create_task(asked(FireTimes("acme", dear, StillClock(), turns), recurrence))
        ticking.cancel()
    assert len(dear.turns) == 4 * 10
    assert len(set(dear.turns)) == len(dear.turns)


async def test_the_same_is_computed_once_for_an_operation() -> None:
    dear = Dear()
    fire_times = FireTimes("acme", dear, StillClock(), Turns())
    first, second, other = await asyncio.gather(
        asked(fire_times, DAILY), asked(fire_times, DAILY), asked(fire_times, HOURLY)
    )
    assert first == second != other
    assert len(dear.turns) == 2 * 10


async def test_nothing_more_is_computed_for_who_is_gone() -> None:
    dear = Dear()
    fire_times = FireTimes("acme", dear, StillClock(), Turns())
    asking = asyncio.ensure_future(asked(fire_times, DAILY, 100))
    await until(lambda: bool(dear.turns))
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    computed = len(dear.turns)
    assert len(await asked(fire_times, HOURLY, 5)) == 5  # the turn is free
    assert len(dear.turns) == computed + 5 < 100


async def test_a_preview_takes_one_moment_for_all_its_parts() -> None:
    face = Face()
    preview = 'previewRecurrence(recurrence: {every: "PT1H"}, timeZone: "UTC", first: 2) { fireTimes }'
    data = await face.ask(f"{{ a: {preview} b: {preview} }}")
    assert data["a"] == data["b"]


async def test_everyone_else_has_a_turn_between_many_cheap_ones() -> None:
    dear, turns, seen = Dear(), Turns(), list[int]()

    def cheap() -> Iterator[datetime]:
        seen.append(dear.turn)
        yield NOW

    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(dear.tick())
        await asyncio.gather(*(turns.taken("acme", cheap()) for _ in range(20)))
        ticking.cancel()
    assert len(set(seen)) == 20


async def test_who_asks_for_little_does_not_wait_for_who_asks_for_much() -> None:
    dear, turns, ended = Dear(), Turns(), list[str]()

    async def ask(name: str, most: int) -> None:
        await asked(FireTimes("acme", dear, StillClock(), turns), DAILY, most)
        ended.append(name)

    await asyncio.gather(ask("much", 50), ask("little", 3))
    assert ended == ["little", "much"]


async def test_a_tenant_that_asks_for_much_many_times_has_as_many_turns_as_another() -> None:
    dear, turns, ended = Dear(), Turns(), list[str]()

    async def ask(tenant: str, most: int) -> None:
        await asked(FireTimes(tenant, dear, StillClock(), turns), DAILY, most)
        ended.append(tenant)

    await asyncio.gather(*(ask("acme", 4) for _ in range(10)), ask("zoo", 4))
    assert "zoo" in ended[:2]


async def test_what_is_refused_leaves_the_turn_to_the_next() -> None:
    fire_times = FireTimes("acme", ReadRecurrences(), StillClock(), Turns())
    with pytest.raises(Invalid, match="within eight years"):
        await asked(fire_times, NEVER)
    assert len(await asked(fire_times, DAILY)) == 10


async def test_an_operation_of_many_previews_leaves_the_loop_to_others() -> None:
    dear = Dear()
    rule = "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=366"
    aliases = " ".join(
        f'p{most}: previewRecurrence(recurrence: {{rrule: "{rule}"}}, timeZone: "UTC", first: {most}) '
        "{ fireTimes }"
        for most in range(1, 11)
    )
    ticking = asyncio.create_task(dear.tick())
    data = await Face().ask(f"{{ {aliases} }}")
    ticking.cancel()
    assert [len(each["fireTimes"]) for each in data.values()] == list(range(1, 11))
    assert dear.turn > 50
