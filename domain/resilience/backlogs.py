"""When so much is due that was not started that making more would only add to how late it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

SHORTEST_WAIT, LONGEST_WAIT = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Backlog:
    tasks: int
    """Due and not handed over to a worker."""
    oldest_seconds: float
    """How long the oldest of them has been due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogLimits:
    """There is too much while there is more of both: many that are done in a moment do no harm."""

    tenant_tasks: int
    tasks: int
    """Of all tenants, where none counts for more than is too much of it alone: that is refused to it alone."""
    seconds: float


class Overloaded(Exception):  # noqa: N818  says what the caller meets
    """Too much is due and not started yet: try again later. Reading goes on."""

    code: ClassVar[str] = "OVERLOADED"

    def __init__(self, retry_after: float) -> None:
        super().__init__(self.__doc__)
        self.retry_after = retry_after
        """Seconds: about what the oldest has waited is what it takes to do what is due."""


class Backpressure(Protocol):
    def check(self, tenant: str) -> None:
        """Raises Overloaded while no tasks are to be made for the tenant. Asks nobody."""
        ...

    def count_refused(self) -> None:
        """A change came to nothing for it."""
        ...


class Backlogs:
    """Implements Backpressure, by what was told last."""

    def __init__(self, limits: BacklogLimits) -> None:
        self._limits = limits
        self._in_all: float | None = None
        self._of_tenants: dict[str, float] = {}
        self.refused = 0
        """How many changes."""

    @property
    def overloaded(self) -> bool:
        """Of all tenants together."""
        return self._in_all is not None

    @property
    def overloaded_tenants(self) -> int:
        return len(self._of_tenants)

    @property
    def refuses(self) -> bool:
        """Anybody."""
        return self.overloaded or self.overloaded_tenants > 0

    def tell(self, tenants: Mapping[str, Backlog]) -> None:
        """Of each tenant of which something is due; none that is not named has anything due."""
        limits = self._limits
        self._of_tenants = {
            tenant: _wait(each)
            for tenant, each in tenants.items()
            if each.tasks > limits.tenant_tasks and each.oldest_seconds > limits.seconds
        }
        most = limits.tenant_tasks + 1
        in_all = Backlog(
            sum(min(each.tasks, most) for each in tenants.values()),
            max((each.oldest_seconds for each in tenants.values()), default=0),
        )
        much = in_all.tasks > limits.tasks and in_all.oldest_seconds > limits.seconds
        self._in_all = _wait(in_all) if much else None

    def check(self, tenant: str) -> None:
        wait = self._of_tenants.get(tenant, self._in_all)
        if wait is not None:
            raise Overloaded(wait)

    def count_refused(self) -> None:
        self.refused += 1


def _wait(backlog: Backlog) -> float:
    return min(max(backlog.oldest_seconds, SHORTEST_WAIT), LONGEST_WAIT)
