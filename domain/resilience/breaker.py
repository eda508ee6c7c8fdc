"""Circuit breakers by key: what failed many times in a row is left alone for a while, then tried once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum

MOST = 2_000
"""Keys that failed last and are remembered; one that is forgotten begins anew, closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """Times are in seconds."""

    failures: int = 10
    """In a row, to open."""
    first_pause: float = 15.0
    longest_pause: float = 300.0
    """Each trial that fails doubles the pause, up to this."""
    trial: float = 120.0
    """A trial that says nothing for so long is given up, and another one may be made."""


class Verdict(Enum):
    """What a call said of what it called."""

    WORKS = "works"
    FAILS = "fails"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    pause: float = 0.0
    shut_until: float = 0.0
    """When it is open: the instant from which a trial may be made."""
    trial_until: float | None = None
    """When a trial is under way: the instant at which it is given up."""

    @property
    def open(self) -> bool:
        return self.pause > 0


class Breakers:
    """Only keys that fail are held, `most` of them. `now` is the seconds of any clock that never goes back."""

    def __init__(self, policy: BreakerPolicy, most: int = MOST) -> None:
        self._policy = policy
        self._most = most
        self._held: OrderedDict[Hashable, _Breaker] = OrderedDict()
        self.opened = 0
        """How many are open."""

    def admit(self, key: Hashable, now: float, draw: float) -> float | None:
        """None: go ahead, and tell what came of it. Else the seconds to stay away for.

        `draw`, from 0 to 1, spreads those who wait over the pause that follows.
        """
        breaker = self._held.get(key)
        if breaker is None or not breaker.open:
            return None
        busy = breaker.trial_until is not None and now < breaker.trial_until
        if now >= breaker.shut_until and not busy:
            breaker.trial_until = now + self._policy.trial
            return None
        return max(breaker.shut_until - now, 1.0) + draw * breaker.pause

    def tell(self, key: Hashable, verdict: Verdict, now: float) -> None:
        """What came of a call that was admitted."""
        if verdict is Verdict.WORKS:
            self._drop(key)
        elif verdict is Verdict.FAILS:
            self._fail(key, now)
        elif (breaker := self._held.get(key)) is not None:
            breaker.trial_until = None

    def _fail(self, key: Hashable, now: float) -> None:
        breaker = self._held.setdefault(key, _Breaker())
        self._held.move_to_end(key)
        breaker.failures += 1
        if breaker.open:
            if breaker.trial_until is not None:  # else it began before the breaker opened
                self._pause(breaker, min(breaker.pause * 2, self._policy.longest_pause), now)
        elif breaker.failures >= self._policy.failures:
            self.opened += 1
            self._pause(breaker, self._policy.first_pause, now)
        if len(self._held) > self._most:
            self._drop(next(iter(self._held)))

    @staticmethod
    def _pause(breaker: _Breaker, seconds: float, now: float) -> None:
        breaker.pause = seconds
        breaker.shut_until = now + seconds
        breaker.trial_until = None

    def _drop(self, key: Hashable) -> None:
        breaker = self._held.pop(key, None)
        if breaker is not None and breaker.open:
            self.opened -= 1
