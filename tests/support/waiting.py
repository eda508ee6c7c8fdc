"""Waiting for a condition with a deadline, instead of sleeping for luck."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

STEP = 0.005


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Returns once `condition` holds; raises TimeoutError when it does not in time, on a busy machine."""
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if inspect.isawaitable(holds):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(STEP)


async def settle_down() -> None:
    """Let everything that can go on without the passing of time do so."""
    for _ in range(50):
        await asyncio.sleep(0)
