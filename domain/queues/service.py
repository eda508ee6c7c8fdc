"""What callers may do with queues. Whoever is bound to an owner may not: a queue is everyone's."""

from __future__ import annotations

from domain.live.ports import Signal, Signals
from domain.queues.model import Queue, QueueEdit
from domain.queues.ports import Queues
from domain.tenancy.model import Caller
from domain.work.validation import Faults, queue_fault

MAX_QUEUES = 1_000
"""Of a tenant: that are listed, and that have settings."""
MAX_NAMES = 100
"""Of queues asked for by their names."""
MOST_AT_ONCE = 100_000
FASTEST = 100_000.0
SLOWEST = 0.00001
"""One a day, about."""


class QueueService:
    """Raises Refusals for faults of an input; paths are those of the public inputs."""

    def __init__(self, queues: Queues, signals: Signals) -> None:
        self._queues = queues
        self._signals = signals

    async def change(self, caller: Caller, name: str, edit: QueueEdit) -> Queue:
        """The queue as it is then; it need not have been there. Raises TooMany."""
        faults = Faults()
        faults.note(queue_fault(name), "name")
        given = edit.given()
        if (concurrency := given.get("concurrency")) is not None:
            faults.note(_concurrency_fault(concurrency), "concurrency")
        if (rate := given.get("rate_per_second")) is not None:
            faults.note(_rate_fault(rate), "ratePerSecond")
        faults.settle()
        await self._queues.change(caller.tenant, name, edit, MAX_QUEUES)
        self._signals.send(Signal.DUE)
        return await self._queues.find(caller.tenant, name)


def _concurrency_fault(concurrency: int) -> str | None:
    if concurrency == 0:
        return "It must be at least 1: to have nothing run, pause the queue."
    if not 1 <= concurrency <= MOST_AT_ONCE:
        return f"It must be from 1 to {MOST_AT_ONCE:,}, or null for no limit."
    return None


def _rate_fault(rate: float) -> str | None:
    if rate == 0:
        return "It must be more than zero: to have nothing run, pause the queue."
    if not SLOWEST <= rate <= FASTEST:  # also for NaN
        return f"It must be from {SLOWEST:f}, about one a day, to {FASTEST:,.0f}, or null for no limit."
    return None
