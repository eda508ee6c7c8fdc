"""Dead letters in RabbitMQ: a replay broken off, what cannot be read, and queues looked at often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import aio_pika
import pytest
from prometheus_client import CollectorRegistry

from domain.contracts.events import Event
from domain.dead_letters import model
from domain.dead_letters.model import Chosen
from domain.errors import Unavailable
from infra.rabbit import dead_letters as adapter
from infra.rabbit.bus import RabbitBus
from infra.rabbit.dead_letters import MOST_RETURNS, RabbitDeadLetters
from infra.rabbit.event_wire import failed_message, packed
from infra.rabbit.looking import looking
from infra.rabbit.publisher import Outgoing
from tests.support.buses import an_event, open_rabbit, pending
from tests.support.consumer_queues import dead_messages
from tests.support.processes import free_port
from tests.support.services import RABBIT
from tests.support.waiting import until

pytestmark = pytest.mark.rabbit
NAME = "notifier"
ALL = Chosen()


@pytest.fixture
async def bus(namespace: str) -> AsyncIterator[RabbitBus]:
    async with open_rabbit(namespace) as opened:
        yield opened


async def set_aside(bus: RabbitBus, *messages: aio_pika.Message) -> None:
    await bus.events.send([Outgoing(bus.names.dead, NAME, each, mandatory=True) for each in messages])


def forever() -> float:
    return asyncio.get_running_loop().time() + 60


def cut(bus: RabbitBus, *, sent: bool) -> RabbitDeadLetters:
    """Its replays are broken off: before anything is sent, or after, when nobody knows that it was."""

    async def publish(batch: Sequence[Outgoing]) -> None:
        if sent:
            await bus.events.send(batch)
        raise Unavailable("RabbitMQ")

    return RabbitDeadLetters(NAME, bus.tasks, bus.consuming, bus.names, publish, cut_off=lambda: None)


@pytest.mark.parametrize("sent", [False, True])
async def test_a_replay_broken_off_loses_nothing_and_what_is_handled_twice_has_one_id(
    bus: RabbitBus, sent: bool
) -> None:
    event, handled = an_event(), list[str]()

    async def handle(events: Sequence[Event]) -> None:
        handled.extend(each.event_id for each in events)

    await set_aside(bus, failed_message(event, 5))
    with pytest.raises(Unavailable):
        await cut(bus, sent=sent).replay(ALL)
    dead = bus.set_aside()[NAME]
    assert [letter.key for letter in (await dead.listed()).items] == [event.event_id]
    assert await dead.replay(ALL) == 1
    async with bus.events.consume(NAME, handle, 10):
        await until(lambda: len(handled) == (2 if sent else 1))
    assert set(handled) == {event.event_id}, "its consumer drops the id it has applied"
    assert await dead.replay(ALL) == 0


async def test_one_that_lies_there_twice_is_listed_and_replayed_once(bus: RabbitBus) -> None:
    await set_aside(bus, *[failed_message(an_event(title="one"), 5)] * 2)
    dead = bus.set_aside()[NAME]
    assert len((await dead.listed()).items) == 1
    assert await dead.replay(ALL) == 1
    assert await bus.dead_letters() == {NAME: 0, "tasks": 0}


async def test_looking_often_does_not_wear_a_message_out(
    bus: RabbitBus, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "MOST_RETURNS", 3)
    event, dead = an_event(), bus.set_aside()[NAME]
    await set_aside(bus, failed_message(event, 5))
    for _ in range(12):
        assert [letter.key for letter in (await dead.listed()).items] == [event.event_id]
    [message] = await dead_messages(namespace, NAME)
    assert message.headers.get("x-delivery-count", 0) <= 3
    assert MOST_RETURNS < 20, "RabbitMQ 4 removes a message after so many"


async def test_what_cannot_be_read_is_no_tenants_and_is_replayed_as_it_was(
    bus: RabbitBus, namespace: str
) -> None:
    await set_aside(bus, aio_pika.Message(b'[{"tenant":"acme","new":1}]', type="task.changed.v9"))
    dead = bus.set_aside()[NAME]
    [letter] = (await dead.listed()).items
    assert (letter.tenant, letter.at, letter.what) == (None, None, "unreadable")
    assert (await dead.listed("acme")).items == []
    assert await dead.purge(Chosen(tenant="acme")) == 0
    assert await dead.replay(Chosen(keys=frozenset([letter.key]))) == 1
    async with bus.events.consume(NAME, _never, 10):

        async def came_back() -> bool:
            return (await bus.dead_letters())[NAME] == 1

        await until(came_back)
    [message] = await dead_messages(namespace, NAME)
    assert (message.body, message.type) == (b'[{"tenant":"acme","new":1}]', "task.changed.v9")


async def test_events_that_travel_together_are_shown_to_a_tenant_only_when_all_are_theirs(
    bus: RabbitBus,
) -> None:
    together = [an_event(), an_event(tenant="other")]
    [(_, mixed)], [(_, own)] = packed(pending(*together)), packed(pending(an_event(), an_event()))
    await set_aside(bus, mixed, own)
    dead = bus.set_aside()[NAME]
    assert [letter.tenant for letter in (await dead.listed()).items] == [None, "acme"]
    assert [letter.what for letter in (await dead.listed("acme")).items] == ["2 events"]
    assert (await dead.listed("other")).items == []


async def test_beyond_what_is_listed_at_once_a_tenant_finds_the_rest(
    bus: RabbitBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "LOOKED_AT", 2)
    others = [an_event(tenant="other") for _ in range(4)]
    mine = [an_event() for _ in range(3)]
    await set_aside(bus, *[failed_message(event, 5) for event in (*others, *mine)])
    dead = bus.set_aside()[NAME]
    found = await dead.listed("acme")
    rest = await dead.listed("acme", found.items[-1].place)
    assert [each.key for each in (*found.items, *rest.items)] == [event.event_id for event in mine]
    assert [(each.more, each.unseen) for each in (found, rest)] == [(True, False), (False, False)]


async def test_when_not_all_can_be_looked_at_it_is_told_and_counted(
    namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "MOST_HELD", 2)
    registry = CollectorRegistry()
    async with open_rabbit(namespace, registry=registry) as bus:
        events = [an_event() for _ in range(3)]
        await set_aside(bus, *[failed_message(event, 5) for event in events])
        dead = bus.set_aside()[NAME]
        found = await dead.listed()
        assert [letter.key for letter in found.items] == [event.event_id for event in events[:2]]
        assert found.unseen
        cut_off = "carillon_dead_letter_looks_cut_off_total"
        assert registry.get_sample_value(cut_off, {"consumer": NAME}) == 1
        assert await dead.purge(ALL) == 2
        last = await dead.listed()
        assert ([letter.key for letter in last.items], last.unseen) == ([events[2].event_id], False)


async def test_while_others_look_without_end_it_is_said_so(
    bus: RabbitBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "TURN", 0.2)
    async with await aio_pika.connect(RABBIT.url) as connection:
        async with looking(bus.tasks, connection, bus.names.looking(NAME), forever()):
            with pytest.raises(Unavailable, match="at which others look"):
                await bus.set_aside()[NAME].listed()
        assert (await bus.set_aside()[NAME].listed()).items == []


async def test_whoever_gives_up_waiting_for_a_turn_leaves_the_connection_as_it_was(
    bus: RabbitBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await bus.consuming.ready()
    channels = connection.transport.connection.channels  # type: ignore[union-attr]  # it is connected
    before = len(channels)
    async with (
        await aio_pika.connect(RABBIT.url) as other,
        looking(bus.tasks, other, bus.names.looking(NAME), forever()),
    ):
        for tenths in range(60):
            monkeypatch.setattr(adapter, "TURN", tenths / 10_000)
            with pytest.raises(Unavailable, match="at which others look"):
                await bus.set_aside()[NAME].listed()
    assert await bus.consuming.ready() is connection
    assert len(channels) == before


async def test_whoever_is_cancelled_at_any_point_leaves_the_connection_and_the_turn_to_others(
    bus: RabbitBus,
) -> None:
    connection, publishing = await bus.consuming.ready(), await bus.publishing.ready()
    channels = connection.transport.connection.channels  # type: ignore[union-attr]  # it is connected
    before = len(channels)
    dead = bus.set_aside()[NAME]
    async with await aio_pika.connect(RABBIT.url) as other:
        for tenths in range(100):
            asking = [asyncio.create_task(each()) for each in (dead.listed, bus.check, bus.dead_letters)]
            await asyncio.sleep(tenths / 10_000)
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)
            if tenths % 10 == 0:
                async with asyncio.timeout(3), looking(bus.tasks, other, bus.names.looking(NAME), forever()):
                    """It is the other's turn, long before the sign would be forgotten."""
    assert await bus.consuming.ready() is connection
    assert await bus.publishing.ready() is publishing
    await until(lambda: len(channels) == before)


async def test_those_returned_most_often_are_put_there_anew_first(
    bus: RabbitBus, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "MOST_RETURNS", 3)
    monkeypatch.setattr(adapter, "LOOKED_AT", 1)
    events = [an_event() for _ in range(4)]
    await set_aside(bus, *[failed_message(event, 5) for event in events])
    for _ in range(20):
        assert len((await bus.set_aside()[NAME].listed()).items) == 4
    returns = [message.headers.get("x-delivery-count", 0) for message in await dead_messages(namespace, NAME)]
    assert len(returns) == 4
    assert all(isinstance(count, int) and count <= 3 + 4 for count in returns), returns


async def test_many_at_once_are_gone_when_the_replay_has_answered(
    bus: RabbitBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ forgets acknowledgements that it has not passed on to the queue when their channel is closed."""
    for limit in ("READING", "LIMIT", "TURN"):  # 800 may take longer on a busy machine
        monkeypatch.setattr(adapter, limit, 60.0)
    events = [an_event(tenant="acme" if number % 4 else "other") for number in range(800)]
    await set_aside(bus, *[failed_message(event, 5) for event in events])
    dead = bus.set_aside()[NAME]
    assert await dead.replay(Chosen(tenant="acme")) == 600

    async def all_returned() -> bool:
        return (await bus.dead_letters())[NAME] >= 200

    await until(all_returned)
    assert len((await dead.listed()).items) == 200


async def test_without_rabbitmq_it_is_told_at_once(namespace: str) -> None:
    async with open_rabbit(namespace, f"amqp://guest:guest@127.0.0.1:{free_port()}/") as gone:
        async with asyncio.timeout(1):
            with pytest.raises(Unavailable):
                await gone.set_aside()[NAME].listed()


async def _never(_: Sequence[Event]) -> None:
    raise AssertionError("it cannot be read")
