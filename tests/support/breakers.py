"""Breakers as a process has them, for what is opened without a whole process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from infra.breakers import Breaker, BreakerBoard
from infra.settings import Settings


def a_breaker(
    settings: Settings | None = None, registry: CollectorRegistry | None = None, name: str = "Something"
) -> Breaker:
    return a_board(settings, registry).of(name.lower(), name)


def a_board(settings: Settings | None = None, registry: CollectorRegistry | None = None) -> BreakerBoard:
    return BreakerBoard(settings or Settings(), registry or CollectorRegistry())
