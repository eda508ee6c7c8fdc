"""The message that hands tasks to the workers: which queue, which actor, which arguments."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from dramatiq import Message

ACTOR = "run_tasks"
"""Takes one argument: the ids of queued tasks, as strings."""


def queue_name(namespace: str) -> str:
    return f"{namespace}.tasks"


def message_for(queue: str, ids: Sequence[UUID]) -> Message[None]:
    return Message(
        queue_name=queue,
        actor_name=ACTOR,
        args=([str(id) for id in ids],),
        kwargs={},
        options={},
    )
