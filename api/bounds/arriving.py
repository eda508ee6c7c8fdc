"""Bodies of requests on their way: those of one tenant are bounded, however many connections it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api.bounds.shedding import Shed

MOST = 32 * 1024 * 1024
"""Bytes, of a tenant."""
SMALL = 16 * 1024
"""Bytes of a body that are taken in any case: who asks for little is not kept out by others of the tenant."""


class Arriving:
    def __init__(self) -> None:
        self._bytes: Counter[str] = Counter()

    @contextmanager
    def body(self, tenant: str) -> Iterator[Callable[[int], None]]:
        """To be told how many bytes have come, each time that some have; raises Shed when they are too many."""
        size = 0

        def grow(by: int) -> None:
            nonlocal size
            size += by
            self._bytes[tenant] += by
            if size > SMALL and self._bytes[tenant] > MOST:
                raise Shed

        try:
            yield grow
        finally:
            self._bytes[tenant] -= size
            if not self._bytes[tenant]:
                del self._bytes[tenant]
