"""How many websockets and event streams each tenant has open here, so that none takes all there can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from api.metrics import ApiMetrics


class LiveConnections:
    def __init__(self, most: int, metrics: ApiMetrics) -> None:
        """`most` is for each tenant."""
        self._most = most
        self._metrics = metrics
        self._open: Counter[str] = Counter()

    def are_full(self, tenant: str) -> bool:
        return self._open[tenant] >= self._most

    @contextmanager
    def hold(self, tenant: str) -> Iterator[None]:
        """One of the tenant's, which must not have them all."""
        self._open[tenant] += 1
        try:
            with self._metrics.connections(tenant).track_inprogress():
                yield
        finally:
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]
