"""The breakers of a process: logged and counted as they change, and shown to who asks for its health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from prometheus_client import CollectorRegistry, Counter, Gauge

from domain.errors import Unavailable
from domain.resilience.breaker import BreakerPolicy, Breakers, State, Verdict
from infra.background import background
from infra.settings import Settings

log = logging.getLogger(__name__)

LOOK_AGAIN = 1.0
"""Seconds between two looks for a dependency whose breaker is open."""


class BreakerBoard:
    """One for each process. `name` is of few: each has figures of its own."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._breakers: dict[str, Breaker] = {}
        self._states: dict[str, Callable[[], State]] = {}
        self._changes = Counter(
            "carillon_breaker_changes",
            "Breakers that came to a state (closed, open, half_open), by what they are for",
            ["name", "to"],
            registry=registry,
        )
        self._open = Gauge(
            "carillon_breaker_open",
            "1 while what it is for is left alone, or tried by one call at a time; for webhooks, to any origin",
            ["name"],
            registry=registry,
        )

    def of(self, name: str, dependency: str) -> Breaker:
        """The one breaker of a dependency, which is how people call it."""
        if name not in self._breakers:
            self._breakers[name] = breaker = Breaker(name, dependency, self._settings, self)
            self.add(name, lambda: breaker.state)
        return self._breakers[name]

    def add(self, name: str, state: Callable[[], State]) -> None:
        """Breakers that are kept elsewhere."""
        self._states[name] = state
        self._open.labels(name).set_function(lambda: state() is not State.CLOSED)
        for each in State:
            self._changes.labels(name, each.value)

    def note(self, name: str, state: State, **of: str) -> None:
        self._changes.labels(name, state.value).inc()
        level = logging.WARNING if state is State.OPEN else logging.INFO
        log.log(level, "the breaker of %s is %s", name, state.value, extra=of)

    def states(self) -> dict[str, str]:
        """By name."""
        return {name: state().value for name, state in self._states.items()}


def policy_of(settings: Settings, most_pauses: int = 1) -> BreakerPolicy:
    """`most_pauses`: how many times as long a pause may get while trials fail."""
    return BreakerPolicy(
        failures=settings.breaker_failures,
        first_pause=settings.breaker_reset,
        longest_pause=settings.breaker_reset * most_pauses,
        successes=settings.breaker_successes,
    )


class Breaker:
    """Of one dependency of this process, which is tried again after the same pause each time."""

    def __init__(self, name: str, dependency: str, settings: Settings, board: BreakerBoard) -> None:
        self._name = name
        self._dependency = dependency
        self._board = board
        self._breakers = Breakers(policy_of(settings), changed=lambda _, state: self._change(state))
        self._pause = settings.breaker_reset
        self._opened = asyncio.Event()
        self._opened_at = float("-inf")
        self._asked_at = float("-inf")
        self._heard = False
        self._deaf = 0.0
        """Seconds after it opened for which no sign of life is heard."""

    @property
    def state(self) -> State:
        return self._breakers.state(self._name)

    def admits(self) -> bool:
        """Whether a call may be made, of which is then told what came of it."""
        self._asked_at = _now()
        return self._breakers.admit(self._name, _now(), 0) is None

    def tell(self, verdict: Verdict) -> None:
        self._breakers.tell(self._name, verdict, _now())

    def hear(self) -> None:
        """It gave a sign of life, without having been called: it may be tried at once.

        After one that misled, later each time, but no later than the pause is over: what takes connections may
        do nothing more, and what comes back may go once more.
        """
        if self.state is not State.CLOSED and _now() >= self._opened_at + self._deaf:
            self._heard = True
            self.tell(Verdict.WORKS)

    @contextmanager
    def guarding(self, verdict_of: Callable[[Unavailable], Verdict]) -> Iterator[None]:
        """A call: raises Unavailable without making it while the breaker is open."""
        if not self.admits():
            raise Unavailable(self._dependency)
        verdict = Verdict.UNKNOWN
        try:
            yield
            verdict = Verdict.WORKS
        except Unavailable as fault:
            verdict = verdict_of(fault)
            raise
        finally:
            self.tell(verdict)

    @asynccontextmanager
    async def looked_for(self, check: Callable[[], Awaitable[None]], unasked: float = 0) -> AsyncIterator[None]:
        """By what raises Unavailable, for as long as this lasts.

        `unasked` is for how many seconds nobody may have wanted to make a call: where a look says less than
        a call does, it is for those whom nobody calls, as who asks for their health would find them broken.
        """
        async with background() as tasks:
            tasks.start(self._look_forever(check, unasked), f"look-for-{self._name}")
            yield

    async def _look_forever(self, check: Callable[[], Awaitable[None]], unasked: float) -> None:
        """While it is open, see whether the dependency is back: its callers need not wait for the pause."""
        while True:
            await self._opened.wait()
            await asyncio.sleep(max(LOOK_AGAIN, self._asked_at + unasked - _now()))
            if _now() < self._asked_at + unasked:
                continue
            with suppress(Unavailable):
                await check()
                self.hear()

    def _change(self, state: State) -> None:
        self._board.note(self._name, state)
        if state is State.OPEN:
            self._opened_at = _now()
            if self._heard:
                self._deaf = min(2 * max(self._deaf, LOOK_AGAIN), self._pause)
        if state is State.CLOSED:
            self._deaf = 0
            self._opened.clear()
        else:
            self._opened.set()
        if state is not State.HALF_OPEN:
            self._heard = False


def _now() -> float:
    return asyncio.get_running_loop().time()
