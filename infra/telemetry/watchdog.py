"""Measures how late the event loop is, notices when it is blocked, and says by what."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

log = logging.getLogger(__name__)

LIMIT = 1.0
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@contextmanager
def watched_loop(registry: CollectorRegistry, limit: float = LIMIT) -> Iterator[None]:
    """Watch the loop this is entered on, from a thread.

    Twice in `limit` seconds it is measured how long the loop takes to get to what it is given. Each time it is
    blocked for over `limit` seconds, that is counted and its stack is logged, once.
    """
    blocked = Counter("carillon_loop_blocked", "Times the event loop was blocked", registry=registry)
    lag = Histogram(
        "carillon_loop_lag_seconds",
        "How long the event loop took to get to what it was given",
        buckets=_LAG,
        registry=registry,
    )
    loop, home, left = asyncio.get_running_loop(), threading.get_ident(), threading.Event()

    def answer(asked: float, answered: threading.Event) -> None:
        lag.observe(time.monotonic() - asked)
        answered.set()

    def watch() -> None:
        while not left.wait(limit / 2):
            answered, asked = threading.Event(), time.monotonic()
            try:
                loop.call_soon_threadsafe(answer, asked, answered)
            except RuntimeError:  # the loop is closed
                return
            if answered.wait(limit) or left.is_set():
                continue
            blocked.inc()
            log.error("the event loop is blocked", extra={"blocked_by": _stack(home)})
            while not answered.wait(limit) and not left.is_set():
                pass
            seconds = round(time.monotonic() - asked, 1)
            log.warning("the event loop goes on", extra={"seconds": seconds})

    threading.Thread(target=watch, name="loop-watchdog", daemon=True).start()
    try:
        yield
    finally:
        left.set()


def _stack(thread: int) -> str:
    frame = sys._current_frames().get(thread)
    return "".join(traceback.format_stack(frame)) if frame is not None else ""
