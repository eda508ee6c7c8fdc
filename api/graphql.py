"""GraphQL over HTTP: POST of JSON, GET of what changes nothing, events to follow, and GraphiQL for browsers.

After the draft https://graphql.github.io/graphql-over-http/draft/, which has operations that cannot be executed
answered with 200 in plain JSON, and with 400 in its own media type.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import ceil
from typing import Any

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api import graphiql
from api.accept import EVENT_STREAM, GRAPHQL_RESPONSE, accepts_html, answer_type, wants_events
from api.auth import Session, begin_session, challenge, credential_in
from api.batches import answers_of
from api.bounds.arriving import Arriving
from api.bounds.live_connections import LiveConnections
from api.bounds.shedding import Shed, Shedding
from api.bounds.unread import note_tenant
from api.draining import draining_of
from api.event_stream import EventStream
from api.graph import Graph
from api.origins import Origins
from api.payloads import MAX_BYTES, SOON, Malformed, error_entry, read_json, read_operation, write_json
from api.query_string import PREFLIGHT_HEADERS, may_be_forged, read_query_string
from api.revalidating import revalidated
from api.websocket_messages import PROTOCOL
from domain.errors import Unauthenticated, Unavailable
from schema.operations import Kind, OperationRequest, Result

BODY_TIMEOUT = 10.0
"""Seconds a body may take to arrive."""
LARGE_ANSWER = 8 * 1024
"""Bytes from which on an answer is compressed for those who accept it."""
GZIP_LEVEL = 4
"""Within a tenth of the size that the highest gives, for about half of its work."""
HTTP_OK = 200


class GraphQLOverHttp:
    def __init__(
        self,
        graph: Graph,
        origins: Origins,
        connections: LiveConnections,
        shedding: Shedding,
        most_batched: int = 0,
    ) -> None:
        """`most_batched` operations may come as one list; with 0 lists are refused."""
        self._most_batched = most_batched
        self._graph = graph
        self._origins = origins
        self._connections = connections
        self._shedding = shedding
        self._arriving = Arriving()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        answering: ASGIApp = response
        if len(getattr(response, "body", b"")) >= LARGE_ANSWER:
            answering = GZipMiddleware(response, minimum_size=LARGE_ANSWER, compresslevel=GZIP_LEVEL)
        await answering(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            if request.method in {"GET", "HEAD"} and accepts_html(request.headers):
                return await self._graphiql(request)
            return await self._serve(request)
        except Malformed as error:
            refused = _Refused(400, "BAD_REQUEST", f"The request cannot be read: {error}.")
        except Unauthenticated as refusal:
            self._graph.metrics.unauthenticated.labels("http").inc()
            headers = {"www-authenticate": challenge(request.headers)}
            refused = _Refused(401, refusal.code, str(refusal), headers)
        except Unavailable as fault:
            self._graph.count_failed()
            refused = _Refused(503, fault.code, str(fault), retry_after=fault.retry_after)
        except Shed as shed:
            self._graph.metrics.limits.labels(shed.code.lower()).inc()
            refused = _Refused(503, shed.code, str(shed), retry_after=shed.retry_after)
        except _Refused as answer:
            refused = answer
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        return _refuse(request, refused.status, refused.body, refused.headers)

    async def _graphiql(self, request: Request) -> Response:
        """For those who may run what they type there. The others are asked for a token."""
        try:
            session = await begin_session(
                self._graph.callers, self._graph.clock, credential_in(request.headers)
            )
        except Unauthenticated:
            return graphiql.sign_in(401, {"WWW-Authenticate": challenge(request.headers)})
        if not self._graph.takes_any_document(session.caller()):
            return graphiql.sign_in(403)
        return graphiql.page()

    async def _serve(self, request: Request) -> Response:
        _check_headers(request, self._origins)
        # Before the body is read: strangers are not listened to.
        credential = credential_in(request.headers)
        session = await begin_session(self._graph.callers, self._graph.clock, credential)
        tenant = session.caller().tenant
        note_tenant(request.scope, tenant)
        self._shedding.check(tenant)  # what is turned away must cost next to nothing
        return await self._execute(request, await self._read(request, tenant), session)

    async def _execute(self, request: Request, value: object, session: Session) -> Response:
        # Not before it is read: a body that is long on its way would pass for work.
        with self._shedding.admit(session.caller().tenant):
            if isinstance(value, list):
                return await self._answer_batch(request, value, session)
            sent, _ = read_operation(value)
            del value  # it may take twenty megabytes that the operation does not declare
            by_name = sent.query is None
            operation = await self._graph.admit(sent, session.caller())
            del sent
            return await self._answer_one(request, operation, session, by_name=by_name)

    async def _answer_one(
        self, request: Request, operation: OperationRequest | Result, session: Session, *, by_name: bool
    ) -> Response:
        if isinstance(operation, Result):
            status = _status(operation, answer_type(request.headers))
            return _refuse(request, status, operation.body)
        kind = self._graph.kind(operation)
        if kind == "mutation" and request.method == "GET":
            raise _Refused(405, "METHOD_NOT_ALLOWED", "A mutation is sent as a POST.", {"allow": "POST"})
        if wants_events(request.headers, subscription=kind == "subscription"):
            return self._stream(request, operation, kind, session)
        if kind == "subscription":
            message = f"Follow a subscription as {EVENT_STREAM}, or over a websocket with {PROTOCOL}."
            raise _Refused(406, "NOT_ACCEPTABLE", message)
        answer = await self._graph.execute(kind, operation, session.caller())
        result = answer.result
        if request.method == "GET" and by_name and "errors" not in result.body:
            # What is left of the budget is another with each answer: none would ever be found unchanged.
            return revalidated(request.headers, answer.lasting, answer_type(request.headers))
        status = _status(result, answer_type(request.headers))
        # What a part of an answer lacks is told in that part alone.
        headers = {} if status == HTTP_OK else _retry_after(result.body)
        return _respond(request, status, answer.json, headers)

    def _stream(
        self, request: Request, operation: OperationRequest, kind: Kind | None, session: Session
    ) -> Response:
        if self._connections.are_full(session.caller().tenant):
            message = "The tenant has too many live connections already."
            raise self._limit_hit(429, "tenant_connections", message, retry_after=SOON)
        return EventStream(
            self._graph,
            operation,
            kind=kind,
            session=session,
            last_event_id=request.headers.get("last-event-id") or None,
            connections=self._connections,
            draining=draining_of(request),
            shedding=self._shedding,
        )

    async def _answer_batch(self, request: Request, batch: list[object], session: Session) -> Response:
        most = self._most_batched
        if most == 0:
            raise _Refused(
                400, "BATCHING_DISABLED", "Send one operation with each request: lists are not taken."
            )
        if len(batch) > most:
            message = f"The batch has more than the {most} operations allowed."
            raise self._limit_hit(400, "batch_too_large", message)
        return _respond(request, 200, await answers_of(self._graph, batch, session.caller()))

    async def _read(self, request: Request, tenant: str) -> object:
        """What is to be an operation, or several."""
        if request.method == "GET":
            return read_query_string(request.scope["query_string"])
        with self._arriving.body(tenant) as grow:
            return read_json(await self._read_body(request, grow))

    async def _read_body(self, request: Request, grow: Callable[[int], None]) -> str:
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                async for part in request.stream():
                    grow(len(part))
                    body += part
                    if len(body) > MAX_BYTES:
                        raise self._limit_hit(413, "body_too_large", f"The body is over {MAX_BYTES} bytes.")
        except TimeoutError:
            message = f"The body took over {BODY_TIMEOUT:.0f} seconds."
            closes = {"connection": "close"}
            raise self._limit_hit(408, "body_too_slow", message, closes, retry_after=SOON) from None
        try:
            return body.decode()
        except UnicodeDecodeError:
            raise Malformed("it is not UTF-8") from None

    def _limit_hit(
        self,
        status: int,
        limit: str,
        message: str,
        headers: dict[str, str] | None = None,
        *,
        retry_after: float | None = None,
    ) -> _Refused:
        self._graph.metrics.limits.labels(limit).inc()
        return _Refused(status, limit.upper(), message, headers, retry_after=retry_after)


class _Refused(Exception):  # noqa: N818  an answer, not a fault
    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: dict[str, str] | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"errors": [error_entry(code, message, retry_after)]}
        self.headers = headers or {}


def _check_headers(request: Request, origins: Origins) -> None:
    """Only what a browser asks us about before it sends it to another origin: no page can forge it."""
    match request.method:
        case "POST":
            _check_json(request)
        case "GET":
            _check_preflight(request, origins)
        case _:
            message = (
                "Send operations as POST with a JSON body, or queries as GET; a browser finds GraphiQL here."
            )
            raise _Refused(405, "METHOD_NOT_ALLOWED", message, {"allow": "GET, POST"})


def _check_json(request: Request) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    if media_type.strip() != "application/json" or charset not in {"", "charset=utf-8", "charset=utf8"}:
        raise _Refused(415, "UNSUPPORTED_MEDIA_TYPE", "Send the operation as application/json, in UTF-8.")


def _check_preflight(request: Request, origins: Origins) -> None:
    if may_be_forged(request.headers) and not origins.allow(request.headers):
        message = f"Send the header `{PREFLIGHT_HEADERS[0]}: 1` with a GET, which no page of another site can."
        raise _Refused(403, "PREFLIGHT_REQUIRED", message)


_STATUSES = {
    "UNAVAILABLE": 503,
    "TIMEOUT": 504,
    "BUDGET_EXCEEDED": 429,
    "RATE_LIMITED": 429,
    "TENANT_BUSY": 429,
    "OVERLOADED": 503,
}
"""By the code that all errors of an answer have."""


def _status(result: Result, media_type: str) -> int:
    """A fault is the status only when nothing could be answered; else what was answered counts."""
    if any(value is not None for value in (result.body.get("data") or {}).values()):
        return HTTP_OK
    codes = {error["extensions"]["code"] for error in result.body.get("errors", ())}
    if len(codes) == 1 and (status := _STATUSES.get(next(iter(codes)))) is not None:
        return status
    if result.valid:
        return HTTP_OK
    if "INTERNAL" in codes:
        return 500
    return 400 if media_type == GRAPHQL_RESPONSE else HTTP_OK


def _retry_after(body: dict[str, Any]) -> dict[str, str]:
    """The header, in whole seconds, of what says in its errors when to try again."""
    for error in body.get("errors", ()):
        if (seconds := error["extensions"].get("retryAfter")) is not None:
            return {"retry-after": str(max(ceil(seconds), 1))}
    return {}


def _refuse(
    request: Request, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
) -> Response:
    return _respond(request, status, write_json(body), _retry_after(body) | (headers or {}))


def _respond(request: Request, status: int, json: bytes, headers: dict[str, str] | None = None) -> Response:
    headers = {"content-type": f"{answer_type(request.headers)}; charset=utf-8"} | (headers or {})
    if request.method == "GET":
        headers |= {"cache-control": "no-store", "vary": "accept"}
    return Response(json, status, headers)
