"""When PostgreSQL counts as gone for those who read: by what the way to it does, not by what they ask."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from domain.errors import TenantBusy, Unavailable
from domain.resilience.breaker import Verdict
from infra.breakers import Breaker

GONE = (
    OSError,  # also what is not answered in time
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)


class Reading:
    """The breaker of what is read."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._answered = float("-inf")

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Raises Unavailable without reading while the breaker is open."""
        began = time.perf_counter()
        with self._breaker.guarding(lambda fault: self._verdict(fault, began)):
            yield

    def answered(self) -> None:
        """PostgreSQL is there."""
        self._answered = time.perf_counter()

    def answered_since(self, began: float) -> bool:
        """By `time.perf_counter`."""
        return self._answered > began

    def _verdict(self, fault: Unavailable, began: float) -> Verdict:
        cause = fault.__cause__
        if isinstance(fault, TenantBusy) or not isinstance(cause, GONE):
            if isinstance(cause, asyncpg.PostgresError):
                self.answered()  # with a refusal, or that it took too long
            return Verdict.UNKNOWN
        if isinstance(cause, TimeoutError) and self.answered_since(began):
            return Verdict.UNKNOWN  # others were answered meanwhile: this one had to wait for them
        return Verdict.FAILS
