"""Notices when the event loop is blocked, and says by what."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter

log = logging.getLogger(__name__)

LIMIT = 1.0


@contextmanager
def watched_loop(registry: CollectorRegistry, limit: float = LIMIT) -> Iterator[None]:
    """Watch the loop this is entered on, from a thread.

    Each time it is blocked for over `limit` seconds, that is counted and its stack is logged, once.
    """
    blocked = Counter("carillon_loop_blocked", "Times the event loop was blocked", registry=registry)
    loop, home, left = asyncio.get_running_loop(), threading.get_ident(), threading.Event()

    def watch() -> None:
        while not left.wait(limit / 2):
            answered, asked = threading.Event(), time.monotonic()
            try:
                loop.call_soon_threadsafe(answered.set)
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
