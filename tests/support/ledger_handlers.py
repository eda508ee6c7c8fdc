"""Handlers that keep a ledger, to be loaded by processes under test: two that work, three that are deaf."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time

from carillon import Context, handler
from tests.support.ledger import note


@handler("work")
async def work(seconds: float, context: Context) -> int:
    """Takes its time; answers with its attempt's number."""
    note(context, "started")
    await asyncio.sleep(seconds)
    note(context, "ended")
    return context.attempt


@handler("tell")
async def tell(lines: int, pause: float, context: Context) -> int:
    """Writes a line now and then."""
    note(context, "started")
    for number in range(1, lines + 1):
        context.log(f"{context.attempt}: {number}")
        context.progress(number / lines)
        await asyncio.sleep(pause)
    note(context, "ended")
    return context.attempt


@handler("swallow_cancellation")
async def swallow_cancellation(seconds: float, context: Context) -> None:
    """Goes on however often it is cancelled."""
    note(context, "started")
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue
    note(context, "ended")


@handler("never_look")
def never_look(seconds: float, context: Context) -> None:
    """A plain function that does not ask whether it is cancelled."""
    note(context, "started")
    time.sleep(seconds)
    note(context, "ended")


@handler("block_the_loop")
async def block_the_loop(seconds: float, context: Context) -> None:
    """Lets nothing else of its process run."""
    note(context, "started")
    time.sleep(seconds)  # noqa: ASYNC251  that is what it is for
    note(context, "ended")


@handler("spill")
async def spill(card: str, how: str, context: Context) -> str:
    """Tells what it was given, but for the log, which its author is asked to keep it out of."""
    note(context, "started")
    context.progress(0.5, card)
    if how == "raise":
        raise ValueError(f"no such card: {card}")
    return card


@handler("ruin")
def ruin(how: str, context: Context) -> str:
    """Does what no handler should."""
    note(context, "started")
    match how:
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "loop":
            while not os.environ.get("NEVER"):
                pass
    return "x" * 50_000_000
