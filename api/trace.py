"""Puts every request into its trace, measures it, logs some, and is the last to hear of its faults."""

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
from infra.system import draw
from infra.telemetry.spans import Span, first_span, new_traceparent
from infra.telemetry.trace import parse_traceparent

log = logging.getLogger(__name__)

SLOW = 1.0
"""Seconds from which on a request is worth a line in the log."""
SERVER_ERROR = 500
NOT_NOW = 503
"""What we answer on purpose, maybe thousands of times a second, while something is gone or too much asked."""
ROUTES = frozenset({"/", "/graphql", "/health/liveness", "/health/readiness", "/metrics"})
PROBES = frozenset({"/health/readiness", "/metrics"})
"""They wait for what is gone, each time and only so long; whoever met that first has logged it."""
METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


class Traced:
    """Accepts and returns the W3C `traceparent`, on websocket handshakes too."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: ApiMetrics,
        present: Callable[[Exception], dict[str, Any]],
        *,
        log_share: float = 0,
        draw: Callable[[], float] = draw,
    ) -> None:
        """`present` logs a fault, and says what a client may know of it. `log_share` is how many requests are
        logged of those that neither failed nor were slow; `draw` gives numbers from 0 to 1."""
        self._app = app
        self._metrics = metrics
        self._present = present
        self._log_share = log_share
        self._draw = draw

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given = given_traceparent(Headers(scope=scope))
        span = _span(scope, given)
        exchange = _Exchange(send, span)
        with span:
            if scope["type"] == "http":
                await self._serve_http(scope, receive, exchange)
            else:
                await self._app(scope, receive, exchange.send)

    async def _serve_http(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        try:
            await self._app(scope, receive, exchange.send)
        except Exception as fault:
            shown = self._present(fault)
            if exchange.status is not None:  # too late for an answer: the server cuts the connection
                self._measure(scope, exchange.seconds(), SERVER_ERROR)
                raise
            await _send_fault(exchange.send, shown)
        self._measure(scope, exchange.seconds(), exchange.status or SERVER_ERROR)

    def _measure(self, scope: Scope, seconds: float, status: int) -> None:
        route, method = _route(scope["path"]), scope["method"]
        method = method if method in METHODS else "other"
        self._metrics.requests.labels(method, route, str(status)).observe(seconds)
        self._log(method, route, status, seconds)

    def _log(self, method: str, route: str, status: int, seconds: float) -> None:
        reason = self._reason_to_log(route, status, seconds)
        self._metrics.requests_logged[reason or "not"].inc()
        if reason is not None:
            about = {"method": method, "route": route, "status": status, "seconds": round(seconds, 3)}
            level = logging.INFO if reason == "drawn" else logging.WARNING
            log.log(level, "a request", extra={"reason": reason, **about})

    def _reason_to_log(self, route: str, status: int, seconds: float) -> str | None:
        if status >= SERVER_ERROR and status != NOT_NOW:
            return "failed"
        if seconds >= SLOW and route not in PROBES:
            return "slow"
        return "drawn" if self._draw() < self._log_share else None


def given_traceparent(headers: Headers) -> str | None:
    """The caller's trace; None when there is none, or none that is valid and alone."""
    given = headers.getlist("traceparent")
    return parse_traceparent(given[0]) if len(given) == 1 else None


class _Exchange:
    """The answer to one request on its way out."""

    def __init__(self, send: Send, span: Span) -> None:
        self._send = send
        self._span = span
        self._asked_at = perf_counter()
        self._lasts_since: float | None = None
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] in {"http.response.start", "websocket.accept"}:
            self.status = message.get("status")
            headers = MutableHeaders(scope=message)
            headers.append("traceparent", self._span.traceparent or "")
            self._note_status()
            if headers.get("content-type", "").startswith(EVENT_STREAM):
                self._lasts_since = perf_counter()
                self._span.end()
        await self._send(message)

    def _note_status(self) -> None:
        if self.status is not None:
            self._span.note("http.response.status_code", self.status)
            if self.status >= SERVER_ERROR:
                self._span.fail(str(self.status))

    def seconds(self) -> float:
        """Until now, or until its first byte for what has no end of its own."""
        return (self._lasts_since or perf_counter()) - self._asked_at


def _span(scope: Scope, given: str | None) -> Span:
    """Only what is asked in GraphQL is worth one: probes and scrapes come every few seconds. A websocket is
    none: its operations are."""
    if scope["type"] != "http" or scope["path"] != "/graphql":
        return Span(None, given or new_traceparent())
    method = scope["method"] if scope["method"] in METHODS else "HTTP"
    notes = {"http.request.method": method, "http.route": "/graphql"}
    return first_span(f"{method} /graphql", "server", given, notes)


def _route(path: str) -> str:
    if path.startswith("/graphql/assets/"):
        return "/graphql/assets"
    return path if path in ROUTES else "other"


async def _send_fault(send: Send, error: dict[str, Any]) -> None:
    body = write_json({"errors": [error]})
    headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
