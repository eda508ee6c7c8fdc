"""The events that a durable consumer set aside, in its queue of dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage, AbstractQueue

from domain.dead_letters.events import letter_of, letter_of_many
from domain.dead_letters.model import LOOKED_AT, Chosen, DeadLetter, LetterPlace, Letters
from domain.errors import Unavailable
from infra.background import Background
from infra.rabbit.consumer import Publish
from infra.rabbit.event_wire import Unreadable, read_events
from infra.rabbit.faults import DEPENDENCY, told_as_unavailable
from infra.rabbit.link import Link
from infra.rabbit.looking import looking
from infra.rabbit.names import Names
from infra.rabbit.publisher import Outgoing
from infra.rabbit.uninterrupted import a_channel

TURN = 8.0
"""Seconds to wait while others look."""
LIMIT = 8.0
"""Seconds that looking at a queue, and settling what is found there, may take."""
READING = 5.0
"""Seconds of them after which no more messages are taken from the queue."""
MOST_HELD = 5_000
"""Messages taken at most: whose letters lie beyond them finds them when some of these are settled."""
MOST_RETURNS = 10
"""How often a message is returned to its queue before it is put there anew. RabbitMQ counts the returns, and
from version 4 on removes a message after 20: so LOOKED_AT at once are put there anew, those returned most
often first, and all that are held have their turn before."""

AT_ONCE = 16
"""Acknowledgements under way. RabbitMQ keeps back those of a channel with many (32, unless configured), and
forgets them when the channel is closed."""


@dataclass(frozen=True, slots=True)
class _Held:
    message: AbstractIncomingMessage
    letter: DeadLetter

    @property
    def returns(self) -> int:
        count = self.message.headers.get("x-delivery-count", 0)
        return count if isinstance(count, int) else 0


@dataclass(frozen=True, slots=True)
class _Look:
    queue: AbstractQueue
    held: list[_Held]
    unseen: bool
    """Whether the queue has more than is held."""


class RabbitDeadLetters:
    """Implements domain.dead_letters.ports.DeadLetters.

    Messages are taken from the queue without being acknowledged; those that are not settled return to their
    places when the channel is closed, also when the process dies. Meanwhile nobody else sees them, so there is
    one look at a time; `cut_off` is told of one that could not take all of them.
    """

    def __init__(
        self,
        consumer: str,
        tasks: Background,
        consuming: Link[AbstractConnection],
        names: Names,
        publish: Publish,
        *,
        cut_off: Callable[[], None],
    ) -> None:
        self._consumer = consumer
        self._tasks = tasks
        self._consuming = consuming
        self._names = names
        self._publish = publish
        self._cut_off = cut_off
        self._turn = asyncio.Lock()

    async def listed(self, tenant: str | None = None, after: LetterPlace | None = None) -> Letters:
        wanted = Chosen(tenant=tenant)
        async with self._look() as look:
            letters = [one.letter for one in look.held if wanted.takes(one.letter)]
        return Letters.behind(after, letters, unseen=look.unseen)

    async def replay(self, chosen: Chosen) -> int:
        return await self._settle(chosen, self._to_the_consumer)

    async def purge(self, chosen: Chosen) -> int:
        return await self._settle(chosen, lambda _: None)

    async def _settle(self, chosen: Chosen, destination: Callable[[_Held], Outgoing | None]) -> int:
        async with self._look() as look:
            taken = [one for one in look.held if chosen.takes(one.letter)][:LOOKED_AT]
            # A replay that was broken off may have left some of them twice.
            once = {one.letter.key: one for one in taken}
            outgoing = [message for one in once.values() if (message := destination(one)) is not None]
            await self._moved(look.queue, taken, outgoing)
        return len(once)

    async def _moved(self, queue: AbstractQueue, taken: Sequence[_Held], outgoing: Sequence[Outgoing]) -> None:
        """Gone from the queue only when they are safe where they go."""
        if outgoing:
            await self._publish(outgoing)
        for start in range(0, len(taken), AT_ONCE):
            for one in taken[start : start + AT_ONCE]:
                await one.message.ack()
            await queue.get(fail=False)  # answered by the queue itself, after what was said before

    def _to_the_consumer(self, one: _Held) -> Outgoing:
        return Outgoing("", self._names.consumer(self._consumer), _afresh(one.message), mandatory=True)

    @asynccontextmanager
    async def _look(self) -> AsyncIterator[_Look]:
        connection = self._consuming.session
        if connection is None:
            raise Unavailable(DEPENDENCY)
        with told_as_unavailable():
            async with AsyncExitStack() as turn:
                await self._take_turn(turn, connection)
                async with (
                    asyncio.timeout(LIMIT),
                    a_channel(self._tasks, connection) as channel,
                ):
                    queue = await channel.get_queue(self._names.dead_letters(self._consumer), ensure=False)
                    look = await self._taken(queue)
                    yield look
                    worn = [one for one in look.held if _is_worn(one)]
                    worn = sorted(worn, key=lambda one: one.returns, reverse=True)[:LOOKED_AT]
                    await self._moved(queue, worn, [self._to_the_end(one) for one in worn])

    async def _take_turn(self, turn: AsyncExitStack, connection: AbstractConnection) -> None:
        until = asyncio.get_running_loop().time() + TURN
        try:
            async with asyncio.timeout_at(until):
                await turn.enter_async_context(self._turn)
            sign = self._names.looking(self._consumer)
            await turn.enter_async_context(looking(self._tasks, connection, sign, until))
        except TimeoutError as fault:
            raise Unavailable(f"The dead letters of {self._consumer}, at which others look,") from fault

    async def _taken(self, queue: AbstractQueue) -> _Look:
        held: list[_Held] = []
        loop = asyncio.get_running_loop()
        until = loop.time() + READING
        while (message := await queue.get(fail=False)) is not None:
            if len(held) >= MOST_HELD or loop.time() > until:
                self._cut_off()
                return _Look(queue, held, unseen=True)
            held.append(_Held(message, _letter(self._consumer, message)))
        return _Look(queue, held, unseen=False)

    def _to_the_end(self, one: _Held) -> Outgoing:
        return Outgoing(self._names.dead, self._consumer, _afresh(one.message), mandatory=True)


def _letter(consumer: str, message: AbstractIncomingMessage) -> DeadLetter:
    try:
        events = read_events(message)
    except Unreadable:
        events = []
    return (
        letter_of(consumer, events[0]) if len(events) == 1 else letter_of_many(consumer, events, message.body)
    )


def _is_worn(one: _Held) -> bool:
    return not one.message.processed and one.returns >= MOST_RETURNS


def _afresh(message: AbstractIncomingMessage) -> aio_pika.Message:
    """Without its failures, and what RabbitMQ wrote on it."""
    trace = message.headers.get("traceparent")
    return aio_pika.Message(
        message.body,
        content_type=message.content_type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=message.message_id,
        type=message.type,
        headers={} if trace is None else {"traceparent": trace},
    )
