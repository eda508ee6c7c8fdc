"""Threads for work that blocks: so many at once, and none that holds up the end of the process."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """At most `count` at once. They are daemons, which the pool of the standard library's are not: a process
    that is told to stop must not wait for a handler that never returns, nor for a name server."""

    def __init__(self, count: int, name: str) -> None:
        self._free = asyncio.Semaphore(count)
        self._name = name

    async def start(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Wait for a free thread and start `work` in it, with the caller's context; the future is its end.

        Given up, the thread runs on, and keeps its place until it ends.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def settle(value: T | None, error: BaseException | None) -> None:
            self._free.release()
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(value)  # type: ignore[arg-type]  # a T, where there is no error

        def run() -> None:
            value, error = None, None
            try:
                value = work()
            except BaseException as raised:  # noqa: BLE001  whoever awaits the future gets it
                error = raised
            with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                loop.call_soon_threadsafe(settle, value, error)

        threading.Thread(
            target=contextvars.copy_context().run, args=(run,), name=self._name, daemon=True
        ).start()
        return done
