"""What is left to a tenant, as `extensions` of responses tell it."""

from __future__ import annotations

from domain.budgets.ports import Balance


def told(balance: Balance) -> dict[str, int]:
    rates = balance.rates
    return {
        "remaining": balance.remaining,
        "limit": rates.limit,
        "refillPerSecond": rates.refill_per_second,
    }
