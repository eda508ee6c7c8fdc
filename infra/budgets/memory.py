"""Buckets in this process: for when it is the only one, and for while Redis is gone."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from domain.budgets.ports import Rates, Taken

MAX_BUCKETS = 100_000
"""Beyond, the one taken from longest ago is forgotten: it is full again."""


class MemoryBuckets:
    """See `domain.budgets.ports.Buckets`."""

    def __init__(self, rates: Rates, now: Callable[[], float] = time.monotonic) -> None:
        self._rates = rates
        self._now = now
        self._points: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """And when there were as many."""

    async def take(self, tenant: str, least: int, most: int) -> Taken:
        now = self._now()
        points, at = self._points.get(tenant, (self._rates.limit, now))
        points = min(points + (now - at) * self._rates.refill_per_second, self._rates.limit)
        taken = min(int(points), most)
        if taken < least:
            taken = 0
        self._points[tenant] = (points - taken, now)
        self._points.move_to_end(tenant)
        if len(self._points) > MAX_BUCKETS:
            self._points.popitem(last=False)
        return Taken(taken, points - taken)
