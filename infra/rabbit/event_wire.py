"""Events as messages and back: several go in one when they are published together.

The body is a JSON array of events; each carries its own id and trace. That makes a message thirty times as
cheap for each event, and costs nothing when there is only one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby

import aio_pika
from aio_pika.abc import AbstractMessage

from domain.contracts.events import Event
from domain.live.outbox import Pending
from infra.live import event_reading
from infra.rabbit.routing import routing_key

PACK = 50
"""Events in one message, at most."""
FAILURES = "failures"
"""The header that counts how often its one event could not be handled."""


class Unreadable(Exception):  # noqa: N818  says what the message is
    """Not events that this version knows."""


def packed(events: Sequence[Pending]) -> list[tuple[str, aio_pika.Message]]:
    """As they were written, each message with its routing key, in the order given; those of one message are of
    one type, so that a consumer of an older version, which cannot read one type, gets on with the others."""
    runs = [list(run) for _, run in groupby(events, key=lambda one: one.event.type)]
    packs = [run[start : start + PACK] for run in runs for start in range(0, len(run), PACK)]
    return [(routing_key([one.event for one in pack]), _packed(pack)) for pack in packs]


def failed_message(event: Event, failures: int) -> aio_pika.Message:
    """The event by itself, after so many failures."""
    message = _message([event], json.dumps([event.to_wire()], separators=(",", ":")))
    message.headers[FAILURES] = failures
    return message


def read_events(message: AbstractMessage) -> list[Event]:
    """Raises Unreadable."""
    try:
        return event_reading.read_events(message.body, message.type)
    except ValueError as error:
        raise Unreadable from error


def failures_of(message: AbstractMessage) -> int:
    count = message.headers.get(FAILURES, 0)
    return count if isinstance(count, int) else 0


def _packed(events: Sequence[Pending]) -> aio_pika.Message:
    return _message([one.event for one in events], f"[{','.join(one.text for one in events)}]")


def _message(events: Sequence[Event], body: str) -> aio_pika.Message:
    traces = {event.traceparent for event in events}
    return aio_pika.Message(
        body.encode(),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=events[0].event_id if len(events) == 1 else None,
        type=events[0].type,
        headers={"traceparent": traces.pop()} if len(traces) == 1 else {},
    )
