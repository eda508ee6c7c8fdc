"""Events written with the changes they tell of, and not yet published."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from domain.contracts.events import Event


@dataclass(frozen=True, slots=True)
class Pending:
    seq: int
    event: Event
    text: str
    """The event as it was written, in JSON: passed on as it is, with what this version does not know."""


class OutboxLead(Protocol):
    """The outbox partitions that are this relay's alone. Calls raise Unavailable once the lead is lost."""

    async def acquire(self) -> int:
        """Take on partitions that nobody owns. How many are owned now."""
        ...

    async def oldest(self, limit: int, confirmed: Sequence[int] = ()) -> list[Pending]:
        """The oldest events of the owned partitions, the facts of one task in order.

        What was `confirmed` as published is removed by the same step.
        """
        ...

    async def remove(self, seqs: Sequence[int]) -> None:
        """Only what was confirmed as published."""
        ...


class Outbox(Protocol):
    def lead(self) -> AbstractAsyncContextManager[OutboxLead]:
        """Each partition has one lead at a time; it ends with the connection it was taken on."""
        ...

    async def depth(self) -> tuple[int, float]:
        """How many events wait (counted up to 100,000), and the age of the oldest in seconds."""
        ...
