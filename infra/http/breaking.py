"""Leaves a host alone that keeps failing: a breaker for each tenant and origin, in each worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from datetime import timedelta

from prometheus_client import CollectorRegistry, Gauge

from domain.actions.model import Call, Failed, Outcome, Snoozed
from domain.clock import Clock
from domain.resilience.breaker import BreakerPolicy, Breakers, State, Verdict
from infra.breakers import BreakerBoard
from infra.http.destination import Destination

NAME = "webhooks"
MOST_PUT_OFF = 20
"""Attempts of one task that are put off without counting. From then on they count: it must end some day."""


class HostBreakers:
    """One tenant's failures do not keep another's webhooks from the same host."""

    def __init__(
        self,
        clock: Clock,
        draw: Callable[[], float],
        registry: CollectorRegistry,
        policy: BreakerPolicy,
        board: BreakerBoard,
    ) -> None:
        self._clock = clock
        self._draw = draw
        self._board = board
        self._breakers = Breakers(policy, changed=self._change)
        board.add(NAME, lambda: State.OPEN if self._left_alone() else State.CLOSED)
        open_now = Gauge(
            "carillon_webhook_breakers_open",
            "Origins that are left alone just now and waited for, each tenant's apart",
            registry=registry,
        )
        open_now.set_function(self._left_alone)

    def put_off(self, destination: Destination, call: Call) -> Outcome | None:
        """What becomes of an attempt that is not to be made; None when it is, and `tell` is to be called."""
        key = call.tenant, destination.origin
        wait = self._breakers.admit(key, time.monotonic(), self._draw())
        if wait is None:
            return None
        message = f"{destination.host} failed many times in a row: it was not called"
        failed = Failed(type="HostDown", message=message, after=wait)
        if call.put_off >= MOST_PUT_OFF:
            return failed
        return Snoozed(self._clock.now() + timedelta(seconds=wait), failed)

    def tell(self, destination: Destination, call: Call, verdict: Verdict) -> None:
        self._breakers.tell((call.tenant, destination.origin), verdict, time.monotonic())

    def _left_alone(self) -> int:
        return self._breakers.left_alone(time.monotonic())

    def _change(self, key: Hashable, state: State) -> None:
        match key:
            case (str(tenant), str(origin)):
                self._board.note(NAME, state, tenant=tenant, origin=origin)
