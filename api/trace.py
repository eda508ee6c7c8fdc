"""Puts every request into its trace, measures it, and is the last to hear of its faults."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.accept import EVENT_STREAM
from api.metrics import ApiMetrics
from api.payloads import write_json
from infra.telemetry.trace import in_trace, new_traceparent, parse_traceparent

log = logging.getLogger(__name__)

SLOW = 1.0
"""Seconds from which on a request is worth a line in the log."""
ROUTES = frozenset({"/", "/graphql", "/health/liveness", "/health/readiness", "/metrics"})
METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


class Traced:
    """Accepts and returns the W3C `traceparent`, on websocket handshakes too."""

    def __init__(
        self, app: ASGIApp, metrics: ApiMetrics, present: Callable[[Exception], dict[str, Any]]
    ) -> None:
        """`present` logs a fault, and says what a client may know of it."""
        self._app = app
        self._metrics = metrics
        self._present = present

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        traceparent = given_traceparent(Headers(scope=scope)) or new_traceparent()
        exchange = _Exchange(send, traceparent)
        with in_trace(traceparent):
            if scope["type"] == "http":
                await self._serve_http(scope, receive, exchange)
            else:
                await self._app(scope, receive, exchange.send)

    async def _serve_http(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        try:
            await self._app(scope, receive, exchange.send)
        except Exception as fault:
            shown = self._present(fault)
            if exchange.status is not None:
                raise  # too late for an answer: the server cuts the connection
            await _send_fault(exchange.send, shown)
        seconds = exchange.seconds()
        route, method = _route(scope["path"]), scope["method"]
        method = method if method in METHODS else "other"
        self._metrics.requests.labels(method, route, str(exchange.status)).observe(seconds)
        if seconds >= SLOW or (exchange.status or 500) >= 500:  # noqa: PLR2004  what HTTP calls a server's error
            about = {"method": method, "route": route, "status": exchange.status, "seconds": round(seconds, 3)}
            log.warning("a request was slow or failed", extra=about)


def given_traceparent(headers: Headers) -> str | None:
    """The caller's trace; None when there is none, or none that is valid and alone."""
    given = headers.getlist("traceparent")
    return parse_traceparent(given[0]) if len(given) == 1 else None


class _Exchange:
    """The answer to one request on its way out."""

    def __init__(self, send: Send, traceparent: str) -> None:
        self._send = send
        self._traceparent = traceparent
        self._asked_at = perf_counter()
        self._lasts_since: float | None = None
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] in {"http.response.start", "websocket.accept"}:
            self.status = message.get("status")
            headers = MutableHeaders(scope=message)
            headers.append("traceparent", self._traceparent)
            if headers.get("content-type", "").startswith(EVENT_STREAM):
                self._lasts_since = perf_counter()
        await self._send(message)

    def seconds(self) -> float:
        """Until now, or until its first byte for what has no end of its own."""
        return (self._lasts_since or perf_counter()) - self._asked_at


def _route(path: str) -> str:
    if path.startswith("/graphql/assets/"):
        return "/graphql/assets"
    return path if path in ROUTES else "other"


async def _send_fault(send: Send, error: dict[str, Any]) -> None:
    body = write_json({"errors": [error]}).encode()
    headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
