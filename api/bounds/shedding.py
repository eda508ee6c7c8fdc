"""Sheds requests, at once, of which more come than can be answered soon: the others are as quick as ever.

Those of a tenant that has less under way than its part are not shed for those of another.
"""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Any, ClassVar, NoReturn

from prometheus_client import CollectorRegistry, Counter, Gauge

from api.payloads import error_entry
from domain.resilience.concurrency import ConcurrencyLimit, ConcurrencyPolicy
from infra.telemetry.spells import Spell

log = logging.getLogger(__name__)


class Shed(Exception):  # noqa: N818  says what the caller meets
    """More is asked at once than can be answered soon: try again shortly."""

    code: ClassVar[str] = "OVERLOADED"
    retry_after: ClassVar[float] = 1.0

    def __init__(self) -> None:
        super().__init__(self.__doc__)

    @property
    def shown(self) -> dict[str, Any]:
        """As one of the `errors` of a response."""
        return error_entry(self.code, str(self), self.retry_after)


class Shedding:
    """What is let in is entered and left by `with`, as often as it likes, one after the other or together."""

    def __init__(self, policy: ConcurrencyPolicy, registry: CollectorRegistry) -> None:
        self._limit = ConcurrencyLimit(policy)
        self._spell = Spell(
            log,
            begins="more is asked at once than can be answered soon: some is turned away",
            ended="nothing is turned away any more",
        )
        self._shed = Counter(
            "carillon_api_shed",
            "Operations answered with OVERLOADED at once, by reason",
            ["reason"],
            registry=registry,
        )
        self._shed.labels("concurrency")
        allowed = Gauge(
            "carillon_api_concurrency_limit",
            "Operations that may be executed at once, as found out; what comes in one HTTP request is one",
            registry=registry,
        )
        allowed.set_function(lambda: self._limit.limit)
        under_way = Gauge(
            "carillon_api_concurrency",
            "Operations being executed; what comes in one HTTP request is one",
            registry=registry,
        )
        under_way.set_function(lambda: self._limit.under_way)

    def check(self, tenant: str) -> None:
        """Raises Shed while nothing of the tenant would be let in."""
        if not self._limit.has_room(tenant):
            self._turn_away()

    def admit(self, tenant: str) -> _Admitted:
        """Raises Shed."""
        now = perf_counter()
        if not self._limit.admit(tenant, now):
            self._turn_away()
        return _Admitted(self._limit, tenant, now)

    def _turn_away(self) -> NoReturn:
        self._spell.goes_on(limit=self._limit.limit)
        self._shed.labels("concurrency").inc()
        raise Shed


class _Admitted:
    def __init__(self, limit: ConcurrencyLimit, tenant: str, began: float) -> None:
        self._limit = limit
        self._tenant = tenant
        self._began = began

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        now = perf_counter()
        # What its caller broke off, or was refused, says nothing of how long things take.
        self._limit.end(self._tenant, now - self._began if kind is None else None, now)
