"""Waiting for a condition with a deadline, instead of sleeping for luck."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

STEP, LONG_STEP = 0.005, 0.05
"""Seconds between two looks, at first and later on: each look may cost a query, or a request."""
SOON = 0.1


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Returns once `condition` holds; raises TimeoutError when it does not in time, on a busy machine."""
    async with asyncio.timeout(seconds):
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            holds = condition()
            if inspect.isawaitable(holds):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(STEP if loop.time() < began + SOON else LONG_STEP)


async def settle_down() -> None:
    """Let everything that can go on without the passing of time do so."""
    for _ in range(50):
        await asyncio.sleep(0)
