"""Tells the log of what happens often: once when it begins, once when it has ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

QUIET = 10.0
"""Seconds after which it has ended: what comes and goes is told as one."""


class Spell:
    """On a running loop, whose clock it goes by."""

    def __init__(
        self,
        log: logging.Logger,
        *,
        begins: str,
        ended: str,
        counted: Callable[[], int] | None = None,
        lasts: Callable[[], bool] = lambda: False,
    ) -> None:
        """`begins` and `ended` are the lines; the second tells how often it went on, or what `counted` has
        grown by. It has not ended while `lasts` says so, for what is looked at seldom."""
        self._log = log
        self._begins = begins
        self._ended = ended
        self._times = 0
        self._counted = counted or (lambda: self._times)
        self._lasts = lasts
        self._began: float | None = None
        self._last = 0.0
        self._before = 0

    def goes_on(self, **about: object) -> None:
        """It happens now. `about` goes with the line of its beginning, if this is one."""
        self._last = _now()
        if self._began is None:
            self._began = self._last
            self._before = self._counted()
            self._log.warning(self._begins, extra=about)
            self._wait()
        self._times += 1

    def _wait(self) -> None:
        asyncio.get_running_loop().call_at(self._last + QUIET, self._look)

    def _look(self) -> None:
        assert self._began is not None, "it is looked for the end of what began"
        now = _now()
        if self._lasts():
            self._last = now
        if now < self._last + QUIET:
            self._wait()
            return
        seconds = round(self._last - self._began, 1)
        self._began = None
        about = {"count": self._counted() - self._before, "seconds": seconds}
        self._log.info(self._ended, extra=about)


def _now() -> float:
    return asyncio.get_running_loop().time()
