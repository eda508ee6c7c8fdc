"""Points that a tenant may spend: a bucket that refills while it is not full.

What operations cost is taken from one bucket; from another a point for each operation, which limits their rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    limit: int
    """Points of a full bucket; a tenant nothing is known of has one."""
    refill_per_second: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    rates: Rates
    remaining: int
    """What may be spent now, as far as this process knows: it hears of what others spend now and then."""


@dataclass(frozen=True, slots=True)
class Taken:
    points: int
    """None, or at least as many as were needed."""
    left: float
    """In the bucket."""


class BudgetExceeded(Exception):  # noqa: N818  says what the caller meets
    """The tenant has spent its budget: try again later."""

    code: ClassVar[str] = "BUDGET_EXCEEDED"

    def __init__(self, retry_after: float) -> None:
        super().__init__(self.__doc__)
        self.retry_after = retry_after
        """Seconds until there will be enough, if nobody else spends them."""


class RateLimited(BudgetExceeded):
    """The tenant sends operations faster than it may: try again later."""

    code: ClassVar[str] = "RATE_LIMITED"


class Buckets(Protocol):
    async def take(self, tenant: str, least: int, most: int) -> Taken:
        """As many as there are, up to `most`; nothing when there are less than `least`.

        Of those who take at the same time, none has what another was given.
        """
        ...


class Budgets(Protocol):
    async def spend(self, tenant: str, points: int) -> Balance:
        """What is left after it. Raises BudgetExceeded, and then nothing is spent."""
        ...

    async def balance(self, tenant: str) -> Balance: ...
