"""The command `top`: what queues and workers do, live in a terminal."""

# As in main: every command imports what it runs when it runs it.
# ruff: noqa: PLC0415  imports inside the commands, as said above

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.running import run
from api.cli.settings import read_command_settings

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console, RenderableType

    from domain.clock import Clock
    from domain.overview.ports import Overviews
    from infra.settings import Settings

MOST_WORKERS = 200
LONGEST_INTERVAL = 3_600
READ_LATER = 120
"""Columns at least where no terminal says how many it has: the first line needs them."""

Interval = Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2, max=LONGEST_INTERVAL)]
Queues = Annotated[int, typer.Option(help="How many are shown, the fullest first.", min=1, max=1_000)]
Once = Annotated[bool, typer.Option("--once", help="Look once and end, as where there is no terminal.")]


def top(interval: Interval = 1, queues: Queues = 30, once: Once = False) -> None:
    """Shows what queues and workers do, of all tenants, until Ctrl-C; once where nothing runs."""
    settings = read_command_settings("database_url")
    with suppress(KeyboardInterrupt):
        run(settings, _show(settings, interval, queues, once=once), sys.exit)


async def _show(settings: Settings, interval: float, queues: int, *, once: bool) -> None:
    from rich.console import Console

    from infra.bootstrap import may_change, open_overviews
    from infra.system import SystemClock

    console = Console()
    if not console.is_terminal:
        once, console = True, Console(width=max(console.width, READ_LATER))
    followed = not once and await may_change(settings)
    async with open_overviews(settings) as overviews:
        if followed:
            await _follow(console, overviews, queues, interval, SystemClock())
            return
        console.print(await _frame(overviews, queues, SystemClock().now()))
    if not once:
        console.print("Nothing runs on this home, so this was one look: start bin/dev, and look again.")


async def _frame(overviews: Overviews, queues: int, now: datetime) -> RenderableType:
    """Raises Unavailable."""
    from api.cli.overview import rendered

    return rendered(await overviews.read(queues, MOST_WORKERS), now)


async def _follow(console: Console, overviews: Overviews, queues: int, interval: float, clock: Clock) -> None:
    from rich.live import Live
    from rich.text import Text

    from domain.errors import Unavailable

    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            shown: RenderableType
            try:
                shown = await _frame(overviews, queues, clock.now())
            except Unavailable as fault:
                shown = Text(f"{clock.now():%H:%M:%S} UTC  {fault}. Looking again.", style="bold red")
            live.update(shown, refresh=True)
            await asyncio.sleep(interval)
