"""An event that was set aside, as a dead letter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from domain.contracts.events import Event
from domain.contracts.tasks import TaskChangedV1
from domain.dead_letters.model import DeadLetter

UNREADABLE = "unreadable"


def letter_of(consumer: str, event: Event) -> DeadLetter:
    return DeadLetter(
        of=consumer,
        key=event.event_id,
        tenant=event.tenant,
        at=event.at,
        what=f"{event.type} {event.kind.value}" if isinstance(event, TaskChangedV1) else event.type,
        body=json.dumps(event.to_wire()),
    )


def letter_of_many(consumer: str, events: Sequence[Event], body: bytes) -> DeadLetter:
    """What could not be taken apart: events that travelled together, or none that this version can read."""
    tenants = {event.tenant for event in events}
    return DeadLetter(
        of=consumer,
        key=hashlib.sha256(body).hexdigest()[:32],
        tenant=tenants.pop() if len(tenants) == 1 else None,
        at=min((event.at for event in events), default=None),
        what=f"{len(events)} events" if events else UNREADABLE,
        body=body.decode(errors="replace"),
    )
