"""Four handlers to try Carillon with; loaded by default outside production."""

from __future__ import annotations

import asyncio
from typing import Annotated

from pydantic import Field, JsonValue

from carillon import Context, handler

Seconds = Annotated[float, Field(ge=0, le=86_400)]


@handler("echo")
async def echo(value: JsonValue) -> JsonValue:
    """Returns its value."""
    return value


@handler("sleep")
async def sleep(seconds: Seconds) -> None:
    """Takes its time."""
    await asyncio.sleep(seconds)


@handler("fail")
def fail(message: str, times: Annotated[int, Field(ge=0)], context: Context) -> dict[str, int]:
    """Fails that many times, then succeeds."""
    if context.attempt <= times:
        raise RuntimeError(message)
    return {"attempts": context.attempt}


@handler("count_to")
async def count_to(n: Annotated[int, Field(ge=0, le=1_000_000)], delay: Seconds, context: Context) -> int:
    """Counts to n, saying how far it is; cancelled, it stops between two numbers."""
    context.log(f"counting to {n}")
    for number in range(1, n + 1):
        await asyncio.sleep(delay)
        context.progress(number / n, f"{number} of {n}")
    context.log("done")
    return n
