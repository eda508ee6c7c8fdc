"""Messages that are done are acknowledged soon, together, and none that is not."""

from __future__ import annotations

import asyncio
from typing import cast

from aio_pika.abc import AbstractIncomingMessage

from infra.rabbit.acknowledging import Acknowledging
from tests.support.waiting import until


class Delivery:
    """Of a channel: writes down what it is answered there."""

    def __init__(self, name: str, answers: list[str]) -> None:
        self._name = name
        self._answers = answers

    async def ack(self, *, multiple: bool) -> None:
        assert multiple
        self._answers.append(f"done up to {self._name}")

    async def nack(self, *, multiple: bool, requeue: bool) -> None:
        assert multiple
        assert requeue
        self._answers.append(f"again up to {self._name}")


class Channel:
    def __init__(self) -> None:
        self.answers: list[str] = []

    def deliver(self, *names: str) -> list[AbstractIncomingMessage]:
        return [cast("AbstractIncomingMessage", Delivery(name, self.answers)) for name in names]


async def test_what_is_done_in_a_moment_is_acknowledged_together() -> None:
    channel, acknowledging = Channel(), Acknowledging(10)
    telling = asyncio.create_task(acknowledging.tell_forever())
    await acknowledging.done(channel.deliver("one"))
    await acknowledging.done(channel.deliver("two", "three"))
    assert channel.answers == []
    await until(lambda: channel.answers)
    assert channel.answers == ["done up to three"]
    await acknowledging.done(channel.deliver("four"))
    await until(lambda: len(channel.answers) == 2)
    telling.cancel()
    assert channel.answers[1] == "done up to four"


async def test_no_more_is_owed_than_the_bound() -> None:
    channel, acknowledging = Channel(), Acknowledging(3)
    await acknowledging.done(channel.deliver("one", "two"))
    assert channel.answers == []
    await acknowledging.done(channel.deliver("three"))
    assert channel.answers == ["done up to three"]
    await acknowledging.tell()
    assert channel.answers == ["done up to three"], "nothing is owed any more"


async def test_what_is_refused_takes_nothing_with_it_that_was_done() -> None:
    channel, acknowledging = Channel(), Acknowledging(10)
    await acknowledging.done(channel.deliver("one"))
    await acknowledging.refuse(channel.deliver("two", "three"))
    assert channel.answers == ["done up to one", "again up to three"]
