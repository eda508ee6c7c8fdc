"""Who asks Redis at the same moment is answered together, and each with what is theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from infra.redis.gathering import MOST, Gathered, Values
from tests.support.waiting import until


class Store:
    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def was_asked(self, times: int) -> None:
        await until(lambda: len(self.asked) == times)

    async def ask(self, keys: Sequence[str]) -> Values:
        self.asked.append(list(keys))
        await self.gate.wait()
        return [None if key == "none" else key.encode() for key in keys]


@pytest.fixture
def store() -> Store:
    return Store()


async def test_those_who_ask_at_once_are_answered_by_one_question(store: Store) -> None:
    gathered = Gathered(store.ask)
    answers = await asyncio.gather(gathered.get(["a", "b"]), gathered.get(["none"]), gathered.get(["b"]))
    assert list(answers) == [[b"a", b"b"], [None], [b"b"]]
    assert store.asked == [["a", "b", "none", "b"]]


async def test_who_asks_later_is_not_answered_from_before(store: Store) -> None:
    gathered = Gathered(store.ask)
    store.gate.clear()
    early = asyncio.create_task(gathered.get(["a"]))
    await store.was_asked(1)
    late = asyncio.create_task(gathered.get(["a"]))
    await store.was_asked(2)
    store.gate.set()
    assert await early == await late == [b"a"]


async def test_one_who_goes_takes_nothing_from_the_others(store: Store) -> None:
    gathered = Gathered(store.ask)
    store.gate.clear()
    going, staying = (asyncio.create_task(gathered.get([key])) for key in ("a", "b"))
    await store.was_asked(1)
    going.cancel()
    store.gate.set()
    assert await staying == [b"b"]
    with pytest.raises(asyncio.CancelledError):
        await going


async def test_a_failure_is_told_to_all_who_asked() -> None:
    async def fail(_: Sequence[str]) -> Values:
        raise ValueError("broken")

    gathered = Gathered(fail)
    outcomes = await asyncio.gather(gathered.get(["a"]), gathered.get(["b"]), return_exceptions=True)
    assert [str(each) for each in outcomes] == ["broken", "broken"]


async def test_more_than_one_question_holds_are_asked_in_several(store: Store) -> None:
    gathered = Gathered(store.ask)
    keys = [str(number) for number in range(MOST)]
    first, second = await asyncio.gather(gathered.get(keys), gathered.get(["one more"]))
    assert (len(first), second) == (MOST, [b"one more"])
    assert [len(each) for each in store.asked] == [MOST, 1]
