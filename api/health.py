"""Whether the process lives, and whether it can serve: for load balancers and supervisors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from domain.errors import Unavailable

log = logging.getLogger(__name__)

Check = Callable[[], Awaitable[None]]
CHECK_TIMEOUT = 1.0
"""Seconds each dependency has to answer."""
ESSENTIAL = frozenset({"postgres"})
"""Without these nothing can be served; without any other, requests are served all the same."""


async def liveness(_: Request) -> Response:
    return JSONResponse({"status": "alive"})


class Readiness:
    def __init__(self, checks: Mapping[str, Check], breakers: Callable[[], Mapping[str, str]] = dict) -> None:
        """`breakers` tells their states by name."""
        self._checks = checks
        self._breakers = breakers
        self._down: set[str] = set()

    async def answer(self, _: Request) -> Response:
        async with asyncio.TaskGroup() as group:
            running = {name: group.create_task(self._report(name)) for name in self._checks}
        reports = {name: task.result() for name, task in running.items()}
        down = {name for name, report in reports.items() if report["status"] == "down"}
        status = "unready" if down & ESSENTIAL else "degraded" if down else "ready"
        return JSONResponse(
            {"status": status, "checks": reports, "breakers": self._breakers()},
            status_code=503 if status == "unready" else 200,
            headers={"cache-control": "no-store"},
        )

    async def _report(self, name: str) -> dict[str, Any]:
        started = perf_counter()
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                await self._checks[name]()
        except Exception as error:  # noqa: BLE001  whatever it is, the dependency cannot be used
            self._note_down(name, error)
            told = {"status": "down", "reason": _reason(error)}
        else:
            self._note_up(name)
            told = {"status": "up"}
        return {**told, "milliseconds": round((perf_counter() - started) * 1000, 1)}

    def _note_down(self, name: str, error: Exception) -> None:
        """Once for each time it goes: probes come every few seconds."""
        if name not in self._down:
            self._down.add(name)
            known = isinstance(error, Unavailable | TimeoutError)  # else we want to see where it went wrong
            cause = error.__cause__ if isinstance(error, Unavailable) else None
            about = {"fault": type(cause or error).__name__}
            text = "%s does not answer its health check"
            log.warning(text, name, extra=about, exc_info=None if known else error)

    def _note_up(self, name: str) -> None:
        if name in self._down:
            self._down.discard(name)
            log.info("%s answers its health check again", name)


def _reason(error: Exception) -> str:
    """In words of ours alone: probes need no token."""
    if isinstance(error, Unavailable):
        return error.reason
    return Unavailable.reason if isinstance(error, TimeoutError) else "a fault of ours, which is logged"
