"""How many subscriptions are executed here for each tenant, so that none takes all the memory there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from api.bounds.allowance import size_of_request
from schema.operations import OperationRequest

BYTES = 256
"""Of a document that is not published, with its variables, for which a subscription counts once more: what is
made of a document takes some 100 times as much."""


class Subscribed:
    """Those who share an execution count together, as one."""

    def __init__(self, most: int) -> None:
        """`most` is for each tenant; the last to be begun may be large."""
        self.most = most
        self._executed: Counter[str] = Counter()

    def has_room(self, tenant: str) -> bool:
        return self._executed.get(tenant, 0) < self.most

    @contextmanager
    def hold(self, tenant: str, request: OperationRequest) -> Iterator[None]:
        weight = 1 + size_of_request(request) // BYTES
        self._executed[tenant] += weight
        try:
            yield
        finally:
            self._executed[tenant] -= weight
            if not self._executed[tenant]:
                del self._executed[tenant]
