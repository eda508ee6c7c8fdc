"""Budgets that take points from a bucket in batches, so that few operations have to ask for theirs.

A process holds at most one batch of a tenant, and what is taken and needed at once. So a tenant never spends
more than its bucket gave; what a process holds may be spent later than its bucket would have refilled, and is
lost when the process ends: for each process one batch is how far the budget is from exact.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from domain.budgets.ports import Balance, Buckets, BudgetExceeded, Rates

PARTS = 100
"""Of a full bucket: one is a batch."""
MAX_TENANTS = 10_000
"""Whose points are held; of the one that spent longest ago they are given up."""


@dataclass(slots=True)
class _Held:
    left: float
    """In the bucket, when points were last taken from it."""
    at: float
    points: int = 0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class LeasedBudgets:
    """See `domain.budgets.ports.Budgets`."""

    def __init__(
        self,
        buckets: Buckets,
        rates: Rates,
        now: Callable[[], float] = time.monotonic,
        exceeded: type[BudgetExceeded] = BudgetExceeded,
    ) -> None:
        """`exceeded` is what is raised when there is too little."""
        self._exceeded = exceeded
        self._buckets = buckets
        self._rates = rates
        self._now = now
        self._batch = max(rates.limit // PARTS, 1)
        self._held: OrderedDict[str, _Held] = OrderedDict()

    async def spend(self, tenant: str, points: int) -> Balance:
        held = self._of(tenant)
        if held.points < points:
            async with held.asking:
                await self._take(tenant, held, points)
        held.points -= points
        return self._balance(held)

    async def balance(self, tenant: str) -> Balance:
        return self._balance(self._of(tenant))

    async def _take(self, tenant: str, held: _Held, points: int) -> None:
        # Whoever asked before may have taken enough; and what was there may be spent while this one asks.
        while (missing := points - held.points) > 0:
            # Others only take: what cannot be there need not be asked for, however many are refused.
            if (lacking := missing - self._in_bucket(held)) > 0:
                raise self._exceeded(lacking / self._rates.refill_per_second)
            taken = await self._buckets.take(tenant, missing, max(missing, self._batch))
            held.points += taken.points
            held.left, held.at = taken.left, self._now()
            if not taken.points:
                raise self._exceeded(max(missing - taken.left, 0) / self._rates.refill_per_second)

    def _of(self, tenant: str) -> _Held:
        held = self._held.get(tenant)
        if held is None:
            held = self._held[tenant] = _Held(self._rates.limit, self._now())
            if len(self._held) > MAX_TENANTS:
                self._held.popitem(last=False)
        self._held.move_to_end(tenant)
        return held

    def _in_bucket(self, held: _Held) -> float:
        """At most, as others may have taken from it."""
        refilled = held.left + (self._now() - held.at) * self._rates.refill_per_second
        return min(refilled, self._rates.limit)

    def _balance(self, held: _Held) -> Balance:
        remaining = held.points + self._in_bucket(held)
        return Balance(rates=self._rates, remaining=min(int(remaining), self._rates.limit))
