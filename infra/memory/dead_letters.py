"""The events that a durable consumer set aside, while this process lives."""

from __future__ import annotations

from domain.contracts.events import Event
from domain.dead_letters.events import letter_of
from domain.dead_letters.model import Chosen, LetterPlace, Letters
from infra.memory.events import MemoryEvents


class MemoryDeadLetters:
    """Implements domain.dead_letters.ports.DeadLetters."""

    def __init__(self, consumer: str, events: MemoryEvents) -> None:
        self._consumer = consumer
        self._events = events

    async def listed(self, tenant: str | None = None, after: LetterPlace | None = None) -> Letters:
        chosen = self._chosen(Chosen(tenant=tenant))
        return Letters.behind(after, (letter_of(self._consumer, event) for event in chosen))

    async def replay(self, chosen: Chosen) -> int:
        events = self._chosen(chosen)
        if events:
            self._events.give_back(self._consumer, events)
        return len(events)

    async def purge(self, chosen: Chosen) -> int:
        events = self._chosen(chosen)
        self._events.forget_dead(self._consumer, events)
        return len(events)

    def _chosen(self, chosen: Chosen) -> list[Event]:
        dead = self._events.dead_letters(self._consumer)
        return [event for event in dead if chosen.takes(letter_of(self._consumer, event))]
