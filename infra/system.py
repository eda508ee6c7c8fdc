"""The wall clock and randomness: the one place that reads them."""

from __future__ import annotations

import os
import random
import time
from datetime import UTC, datetime
from uuid import UUID

_random = random.SystemRandom()


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class TimeOrderedIds:
    """UUID version 7 (RFC 9562, method 3), strictly growing within a process."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> UUID:
        # 48 bits of milliseconds, then 12 bits that count fractions of one.
        nanoseconds = time.time_ns()
        milliseconds, rest = divmod(nanoseconds, 1_000_000)
        stamp = max((milliseconds << 12) | (rest * 4096 // 1_000_000), self._last + 1)
        self._last = stamp
        tail = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
        return UUID(int=(stamp >> 12 << 80) | (7 << 76) | ((stamp & 0xFFF) << 64) | (2 << 62) | tail)


def random_bytes(count: int) -> bytes:
    """Nobody can guess them: for keys, nonces and secrets."""
    return os.urandom(count)


def draw() -> float:
    """A number from 0 to 1, for jitter."""
    return _random.random()
