"""Runs what a command does on a loop, and ends the process with what came of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from infra.settings import Settings


def run(settings: Settings, work: Coroutine[Any, Any, None], leave: Callable[[int], NoReturn]) -> NoReturn:
    """`leave` ends the process, before the loop is closed: what it closes is waited for."""
    import uvloop  # noqa: PLC0415  the help should not load it

    from infra.bootstrap import CannotStart  # noqa: PLC0415  the same
    from infra.telemetry.logs import configure_logs  # noqa: PLC0415  the same
    from infra.unknown_settings import warn_of_unknown_settings  # noqa: PLC0415  the same

    configure_logs(settings)
    warn_of_unknown_settings()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(work)
        except CannotStart as error:
            typer.echo(str(error), err=True)
            leave(1)
        except Exception:
            logging.getLogger(__name__).exception("cannot go on")
            leave(1)
        leave(0)
