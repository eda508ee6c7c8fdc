"""What signals promise, over RabbitMQ and inside one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from domain.live.ports import Signal, SignalWatch
from tests.support.buses import KINDS, Bus, open_rabbit, open_two
from tests.support.tcp_proxy import open_proxy
from tests.support.waiting import until

SOON = 5.0


@pytest.fixture(params=KINDS)
async def two(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[tuple[Bus, Bus]]:
    async with open_two(request.param, namespace) as opened:
        yield opened


async def heard(watch: SignalWatch, count: int) -> set[str]:
    """Keys as they come, until there are so many."""
    keys: set[str] = set()
    async with asyncio.timeout(SOON):
        while len(keys) < count:
            keys |= await watch.wait(SOON)
    return keys


async def test_a_watcher_hears_the_key_of_a_signal_from_another_process(two: tuple[Bus, Bus]) -> None:
    here, there = two
    async with there.signals.watch(Signal.NOTIFICATIONS) as watch:
        here.signals.send(Signal.NOTIFICATIONS, "acme")
        assert await watch.wait(SOON) == {"acme"}


async def test_a_signal_without_key_has_an_empty_one(two: tuple[Bus, Bus]) -> None:
    here, there = two
    async with there.signals.watch(Signal.DUE) as watch:
        here.signals.send(Signal.DUE)
        assert await watch.wait(SOON) == {""}


async def test_a_watcher_hears_all_its_signals_and_no_others(two: tuple[Bus, Bus]) -> None:
    here, there = two
    async with there.signals.watch(Signal.DUE, Signal.ROOM) as watch:
        here.signals.send(Signal.CANCEL, "cancel")
        here.signals.send(Signal.DUE, "due")
        here.signals.send(Signal.ROOM, "room")
        assert await heard(watch, 2) == {"due", "room"}


async def test_every_watcher_hears(two: tuple[Bus, Bus]) -> None:
    here, there = two
    async with here.signals.watch(Signal.DUE) as one, there.signals.watch(Signal.DUE) as other:
        here.signals.send(Signal.DUE, "a")
        assert await one.wait(SOON) == {"a"}
        assert await other.wait(SOON) == {"a"}


async def test_nothing_sent_is_a_lapse(two: tuple[Bus, Bus]) -> None:
    here, _ = two
    async with here.signals.watch(Signal.DUE) as watch:
        assert await watch.wait(0.01) == frozenset()
        assert await watch.wait(0) == frozenset()


async def test_what_was_sent_between_two_waits_is_heard_at_once(two: tuple[Bus, Bus]) -> None:
    here, there = two
    async with there.signals.watch(Signal.CANCEL) as watch, here.signals.watch(Signal.CANCEL) as mark:
        here.signals.send(Signal.CANCEL, "a")
        assert await mark.wait(SOON) == {"a"}
        assert await watch.wait(SOON) == {"a"}
        assert await watch.wait(0.01) == frozenset()


async def test_many_sends_in_a_moment_arrive_as_few(two: tuple[Bus, Bus]) -> None:
    here, there = two
    async with there.signals.watch(Signal.ROOM) as watch:
        for number in range(5_000):
            here.signals.send(Signal.ROOM, str(number % 700))
        assert await heard(watch, 700) == {str(number) for number in range(700)}


async def test_a_watch_that_is_left_hears_no_more_and_others_go_on(two: tuple[Bus, Bus]) -> None:
    here, _ = two
    async with here.signals.watch(Signal.DUE) as staying:
        async with here.signals.watch(Signal.DUE):
            pass
        here.signals.send(Signal.DUE, "a")
        assert await staying.wait(SOON) == {"a"}


async def test_an_error_of_the_watcher_is_raised_as_it_is(two: tuple[Bus, Bus]) -> None:
    here, _ = two
    with pytest.raises(ZeroDivisionError):
        async with here.signals.watch(Signal.DUE):
            raise ZeroDivisionError


@pytest.mark.rabbit
async def test_of_signals_that_are_alike_no_more_come_than_are_taken(namespace: str) -> None:
    async with (
        open_rabbit(namespace) as bus,
        bus.signals.watch(Signal.OUTBOX) as watch,
        bus.signals.watch(Signal.OUTBOX, Signal.DUE) as everything,
    ):
        for number in range(20):
            bus.signals.send(Signal.OUTBOX, str(number))
            await bus.signals.send_once()
        assert len(await heard(everything, 20)) == 20
        first = await watch.wait(SOON)
        last = await watch.wait(SOON)
        assert "0" in first
        assert "19" in last
        assert len(first | last) < 20
        bus.signals.send(Signal.OUTBOX, "later")
        assert await watch.wait(SOON) == {"later"}


# RabbitMQ may be gone


@pytest.mark.rabbit
@pytest.mark.parametrize("signal", [Signal.DUE, Signal.OUTBOX])
@pytest.mark.parametrize("loss", ["refuse", "cut", "hang"])
async def test_signals_are_heard_again_after_rabbitmq_was_lost(
    amqp_url: str, namespace: str, loss: str, signal: Signal
) -> None:
    async with (
        open_proxy(amqp_url) as proxy,
        open_rabbit(namespace, proxy.url) as bus,
        bus.signals.watch(signal) as watch,
    ):
        bus.signals.send(signal, "before")
        assert await watch.wait(SOON) == {"before"}
        match loss:
            case "refuse":
                await proxy.refuse()
            case "cut":
                proxy.cut()
            case _:
                proxy.hang()

        began = time.monotonic()
        for number in range(100):
            bus.signals.send(signal, f"meanwhile {number}")
        assert time.monotonic() - began < 2, "not one of them waits for a time limit"
        await proxy.accept()

        async def heard_again() -> bool:
            bus.signals.send(signal, "after")
            return "after" in await watch.wait(0.05)

        await until(heard_again, 20)


@pytest.mark.rabbit
async def test_signals_that_nobody_can_carry_are_dropped_and_counted(amqp_url: str, namespace: str) -> None:
    registry = CollectorRegistry()
    async with open_proxy(amqp_url) as proxy:
        await proxy.refuse()
        async with open_rabbit(namespace, proxy.url, registry) as bus:
            bus.signals.send(Signal.DUE)
            bus.signals.send(Signal.NOTIFICATIONS, "acme")
            await until(lambda: registry.get_sample_value("carillon_signals_dropped_total") == 2)
            async with bus.signals.watch(Signal.DUE) as watch:
                assert await watch.wait(0.01) == frozenset()
