"""Circuit breakers by key: what failed many times in a row is left alone for a while, then tried."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum

MOST = 2_000
"""Keys that failed last and are remembered; one that is forgotten begins anew, closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """Times are in seconds."""

    failures: int = 5
    """In a row, to open."""
    first_pause: float = 30.0
    longest_pause: float = 300.0
    """Each trial that fails doubles the pause, up to this."""
    successes: int = 2
    """Trials in a row, to close."""
    trial: float = 120.0
    """A trial that says nothing for so long is given up, and another one may be made."""


class Verdict(Enum):
    """What a call said of what it called."""

    WORKS = "works"
    FAILS = "fails"
    UNKNOWN = "unknown"


class State(Enum):
    CLOSED = "closed"
    """It is called."""
    OPEN = "open"
    """It is left alone."""
    HALF_OPEN = "half_open"
    """It is tried, by one call at a time."""


Changed = Callable[[Hashable, State], None]
"""Told of each change of state, and whose it is."""


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    successes: int = 0
    """Of trials, since the last one that failed."""
    pause: float = 0.0
    shut_until: float = 0.0
    """When it is not closed: the instant from which a trial may be made."""
    trial_until: float | None = None
    """When a trial is under way: the instant at which it is given up."""
    state: State = State.CLOSED


class Breakers:
    """Only keys that fail are held, `most` of them. `now` is the seconds of any clock that never goes back."""

    def __init__(
        self, policy: BreakerPolicy, most: int = MOST, changed: Changed = lambda _key, _state: None
    ) -> None:
        self._policy = policy
        self._most = most
        self._changed = changed
        self._held: OrderedDict[Hashable, _Breaker] = OrderedDict()

    def state(self, key: Hashable) -> State:
        breaker = self._held.get(key)
        return State.CLOSED if breaker is None else breaker.state

    def left_alone(self, now: float) -> int:
        """How many somebody waits for: not those that nobody has tried for as long as
        they were left alone, since they might have been. May be asked from any thread.
        """
        return sum(
            breaker.state is not State.CLOSED
            and now < max(breaker.trial_until or 0, breaker.shut_until + breaker.pause)
            for breaker in list(self._held.values())
        )

    def admit(self, key: Hashable, now: float, draw: float) -> float | None:
        """None: go ahead, and tell what came of it. Else the seconds to stay away for.

        `draw`, from 0 to 1, spreads those who wait over the pause that follows.
        """
        breaker = self._held.get(key)
        if breaker is None or breaker.state is State.CLOSED:
            return None
        busy = breaker.trial_until is not None and now < breaker.trial_until
        if now >= breaker.shut_until and not busy:
            breaker.trial_until = now + self._policy.trial
            self._become(key, breaker, State.HALF_OPEN)
            return None
        return max(breaker.shut_until - now, 1.0) + draw * breaker.pause

    def tell(self, key: Hashable, verdict: Verdict, now: float) -> None:
        """What came of a call that was admitted, or was heard otherwise."""
        breaker = self._held.get(key)
        if verdict is Verdict.FAILS:
            self._fail(key, now)
        elif breaker is not None:
            breaker.trial_until = None
            if verdict is Verdict.WORKS:
                self._succeed(key, breaker, now)

    def _succeed(self, key: Hashable, breaker: _Breaker, now: float) -> None:
        breaker.successes += 1
        if breaker.state is State.CLOSED or breaker.successes >= self._policy.successes:
            self._drop(key)
        else:
            breaker.shut_until = now
            self._become(key, breaker, State.HALF_OPEN)

    def _fail(self, key: Hashable, now: float) -> None:
        breaker = self._held.setdefault(key, _Breaker())
        self._held.move_to_end(key)
        breaker.failures += 1
        if breaker.state is not State.CLOSED:
            if breaker.state is State.HALF_OPEN:  # else it began before the breaker opened
                self._pause(key, breaker, min(breaker.pause * 2, self._policy.longest_pause), now)
        elif breaker.failures >= self._policy.failures:
            self._pause(key, breaker, self._policy.first_pause, now)
        if len(self._held) > self._most:
            self._drop(next(iter(self._held)))

    def _pause(self, key: Hashable, breaker: _Breaker, seconds: float, now: float) -> None:
        breaker.pause = seconds
        breaker.shut_until = now + seconds
        breaker.trial_until = None
        breaker.successes = 0
        self._become(key, breaker, State.OPEN)

    def _drop(self, key: Hashable) -> None:
        breaker = self._held.pop(key)
        if breaker.state is not State.CLOSED:
            self._become(key, breaker, State.CLOSED)

    def _become(self, key: Hashable, breaker: _Breaker, state: State) -> None:
        if breaker.state is not state:
            breaker.state = state
            self._changed(key, state)
