"""How often a task is tried, and how long it waits in between."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Backoff(StrEnum):
    EXPONENTIAL = "EXPONENTIAL"
    FIXED = "FIXED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    max_attempts: int = 5
    backoff: Backoff = Backoff.EXPONENTIAL
    base: timedelta = timedelta(seconds=2)
    cap: timedelta = timedelta(minutes=10)

    def delay(self, failures: int, draw: float) -> timedelta:
        """The wait after `failures` failures in a row (at least 1).

        Exponential backoff has full jitter: `draw`, from 0 to 1, picks a point up to the bound.
        """
        if self.backoff is Backoff.FIXED:
            return min(self.base, self.cap)
        doublings = min(failures - 1, 62)  # beyond, the product overflows a timedelta
        bound = min(self.base.total_seconds() * 2**doublings, self.cap.total_seconds())
        return timedelta(seconds=bound * draw)
