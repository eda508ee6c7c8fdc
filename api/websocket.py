"""GraphQL over websockets: `graphql-transport-ws` to the letter, many operations on one socket."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from api.answers import Answer
from api.auth import Session, begin_session, credential_in, credential_of
from api.bounds.allowance import MOST_KEPT, Allowance, Kept, size_of_request, size_of_sent
from api.bounds.live_connections import LiveConnections
from api.bounds.shedding import Shed, Shedding
from api.bounds.unread import note_tenant
from api.connections import taken_write_now
from api.draining import draining_of
from api.graph import Graph
from api.origins import Origins
from api.payloads import Malformed, error_entry
from api.shared_streams import Member, Write
from api.trace import given_traceparent
from api.websocket_messages import (
    PROTOCOL,
    ClientMessage,
    CloseCode,
    Complete,
    ConnectionInit,
    Ping,
    Pong,
    Subscribe,
    complete,
    connection_ack,
    error,
    next_beginning,
    pong,
    read_message,
)
from domain.errors import Unauthenticated, Unavailable
from infra.telemetry.spans import begin_trace
from infra.telemetry.trace import in_trace
from schema.operations import OperationRequest, Result

log = logging.getLogger(__name__)

INITIALISATION_TIMEOUT = 5.0
"""Seconds a client has to send `connection_init`."""
CLOSE_TIMEOUT = 1.0
"""Seconds to get rid of a close message when the peer does not read."""
MAX_OPERATIONS = 100
"""Per socket, those still being ended included."""
MAX_REASON = 123
"""Bytes of a close frame's reason (RFC 6455, 5.5)."""
_GONE = (WebSocketDisconnect, WebSocketDisconnected)


class GraphQLOverWebsocket:
    def __init__(
        self, graph: Graph, origins: Origins, connections: LiveConnections, shedding: Shedding
    ) -> None:
        self._graph = graph
        self._origins = origins
        self._connections = connections
        self._shedding = shedding

    async def serve(self, websocket: WebSocket) -> None:
        if self._origins.refuse(websocket.headers):
            await websocket.close()  # not accepted yet: the handshake is answered with 403
        elif PROTOCOL not in websocket.scope["subprotocols"]:
            await websocket.accept()
            await websocket.close(CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE, "Subprotocol not acceptable")
        else:
            await websocket.accept(PROTOCOL)
            with self._graph.metrics.sockets.track_inprogress():
                await _Socket(websocket, self._graph, self._connections, self._shedding).serve()


class _Close(Exception):  # noqa: N818  the protocol's own answer, not a fault
    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Socket:
    """One client. Its task group owns every operation; when the conversation ends, they end.

    Messages go straight to the transport (those of shared executions are written by these, while the transport
    takes them), which makes whoever sends wait while the peer does not read. So
    nothing is queued here: a subscription that waits falls behind its feed, or those it is shared with, and is
    ended with RESYNC.
    """

    def __init__(
        self, websocket: WebSocket, graph: Graph, connections: LiveConnections, shedding: Shedding
    ) -> None:
        self._websocket = websocket
        self._graph = graph
        self._connections = connections
        self._shedding = shedding
        self._write_now = taken_write_now(websocket.scope)
        self._traceparent = given_traceparent(websocket.headers)
        self._allowance = Allowance()
        self._active: dict[str, asyncio.Task[None]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._subscribed: set[asyncio.Task[None]] = set()
        self._is_drained = False

    async def serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            closing = await self._converse_until_drained(group)
            for task in self._running:
                task.cancel()
            if closing is not None:
                await self._close(closing)

    async def _converse_until_drained(self, group: asyncio.TaskGroup) -> _Close | None:
        draining = draining_of(self._websocket)
        async with draining.cutting_off():
            return await self._converse(group)
        self._is_drained = True
        for task in self._subscribed:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=draining.patience)
        return _Close(CloseCode.SERVICE_RESTART, "Connect again")

    async def _converse(self, group: asyncio.TaskGroup) -> _Close | None:
        """Until the peer is gone, or has to go."""
        try:
            session = await self._initialise()
            tenant = session.caller().tenant
            note_tenant(self._websocket.scope, tenant)
            self._check_room(tenant)
            with self._connections.hold(tenant):
                await self._websocket.send_text(connection_ack())
                while True:
                    await self._handle(await self._next(session), session, group)
        except Malformed as malformed:
            return _Close(CloseCode.BAD_REQUEST, f"Invalid message received: {malformed}")
        except Unauthenticated:
            self._graph.metrics.unauthenticated.labels("websocket").inc()
            return _Close(CloseCode.FORBIDDEN, "Forbidden: authenticate, and connect again")
        except Unavailable as fault:
            self._graph.count_failed()
            return _Close(CloseCode.TRY_AGAIN_LATER, str(fault))
        except _Close as closing:
            return closing
        except _GONE:
            return None

    async def _initialise(self) -> Session:
        """Raises Unauthenticated and Unavailable."""
        try:
            async with asyncio.timeout(INITIALISATION_TIMEOUT):
                while not isinstance(message := await self._receive(), ConnectionInit):
                    await self._handle_early(message)
                credential = credential_of(message.payload) or credential_in(self._websocket.headers)
                session = await begin_session(self._graph.callers, self._graph.clock, credential)
        except TimeoutError:
            self._graph.metrics.limits.labels("initialisation_time").inc()
            raise _Close(CloseCode.INITIALISATION_TIMEOUT, "Connection initialisation timeout") from None
        return session

    def _check_room(self, tenant: str) -> None:
        if self._connections.are_full(tenant):
            self._graph.metrics.limits.labels("tenant_connections").inc()
            raise _Close(CloseCode.TRY_AGAIN_LATER, "The tenant has too many live connections already")

    async def _next(self, session: Session) -> ClientMessage:
        """The next message. Raises Unauthenticated as soon as the session's credential is good no more."""
        while True:
            stands_for = session.stands_for
            if stands_for is not None and stands_for <= 0:
                await session.renew()
            try:
                async with asyncio.timeout(stands_for):
                    return await self._receive()
            except TimeoutError:
                await session.renew()

    async def _handle_early(self, message: ClientMessage) -> None:
        match message:
            case Subscribe():
                raise _Close(CloseCode.UNAUTHORIZED, "Unauthorized")
            case Ping(payload):
                await self._websocket.send_text(pong(payload))

    async def _handle(self, message: ClientMessage, session: Session, group: asyncio.TaskGroup) -> None:
        match message:
            case ConnectionInit():
                raise _Close(CloseCode.TOO_MANY_INITIALISATIONS, "Too many initialisation requests")
            case Ping(payload):
                await self._websocket.send_text(pong(payload))
            case Pong():
                pass
            case Complete(operation_id):
                if (task := self._active.pop(operation_id, None)) is not None:
                    task.cancel()
            case Subscribe():
                await self._begin(message, session, group)

    async def _begin(self, message: Subscribe, session: Session, group: asyncio.TaskGroup) -> None:
        if message.id in self._active:
            raise _Close(CloseCode.SUBSCRIBER_EXISTS, f"Subscriber for {message.id} already exists")
        if len(self._running) >= MAX_OPERATIONS:
            text = f"A socket carries up to {MAX_OPERATIONS} operations at once"
            await self._refuse_more(message.id, "socket_operations", text)
            return
        if (kept := self._allowance.keep(size_of_sent(message.sent))) is None:
            text = f"A socket keeps up to {MOST_KEPT} bytes for its operations: let some end, or use another"
            await self._refuse_more(message.id, "socket_bytes", text)
            return
        task = group.create_task(self._operate(message, session, kept))
        task.add_done_callback(lambda _: kept.becomes(0))
        self._active[message.id] = task
        for tasks in (self._running, self._subscribed):
            task.add_done_callback(tasks.discard)
        self._running.add(task)

    async def _refuse_more(self, operation_id: str, limit: str, text: str) -> None:
        self._graph.metrics.limits.labels(limit).inc()
        await self._websocket.send_text(error(operation_id, [error_entry("TOO_MANY", text)]))

    async def _operate(self, message: Subscribe, session: Session, kept: Kept) -> None:
        """One operation to its end. Nothing that goes wrong in it is the end of the socket."""
        operation_id = message.id
        with in_trace(message.traceparent or self._traceparent or begin_trace("websocket")):
            try:
                self._shedding.check(session.caller().tenant)
                operation = await self._graph.admit(message.sent, session.caller())
                del message  # it may hold a megabyte that the operation does not declare
                if isinstance(operation, OperationRequest):
                    kept.becomes(size_of_request(operation))
                await self._run(operation_id, operation, session)
            except _GONE:
                pass  # whoever reads from it hears the same
            except Unauthenticated:
                pass  # the socket is closed for it; what was completed, clients would not take up again
            except Shed as shed:
                self._graph.metrics.limits.labels(shed.code.lower()).inc()
                if self._is_active(operation_id):
                    with suppress(*_GONE):
                        await self._websocket.send_text(error(operation_id, [shed.shown]))
            except Exception as fault:  # noqa: BLE001  it is logged, counted, and told to the client
                await self._tell(operation_id, fault)
            finally:
                if self._is_active(operation_id):
                    del self._active[operation_id]

    async def _tell(self, operation_id: str, fault: Exception) -> None:
        shown = self._graph.present(fault)
        if self._is_active(operation_id):
            with suppress(*_GONE):
                await self._websocket.send_text(error(operation_id, [shown]))

    def _is_active(self, operation_id: str) -> bool:
        """Whether the client still waits for this operation: it may have completed it, and begun another."""
        return self._active.get(operation_id) is asyncio.current_task()

    async def _run(self, operation_id: str, operation: OperationRequest | Result, session: Session) -> None:
        if isinstance(operation, Result):
            await self._refuse(operation_id, operation)
            return
        kind = self._graph.kind(operation)
        if kind != "subscription":
            with self._shedding.admit(session.caller().tenant):
                answer = await self._graph.execute(kind, operation, session.caller())
            await self._send_answer(operation_id, answer)
            return
        if self._is_drained:
            return
        if (task := asyncio.current_task()) is not None:
            self._subscribed.add(task)
        with self._shedding.admit(session.caller().tenant):
            stream = await self._graph.subscribe(operation, session.caller, allowance=self._allowance)
        if isinstance(stream, Result):
            await self._refuse(operation_id, stream)
            return
        beginning = next_beginning(operation_id)
        if isinstance(stream, Member):
            stream.write_by(self._writing(operation_id, beginning.encode()))
        with self._graph.metrics.subscriptions.labels("websocket").track_inprogress():
            async with aclosing(stream):
                async for response in stream:
                    await self._websocket.send_text(f"{beginning}{response.json.decode()}}}")
                    self._graph.metrics.delivered.inc()
        await self._websocket.send_text(complete(operation_id))

    def _writing(self, operation_id: str, beginning: bytes) -> Write:
        task, active, write_now = asyncio.current_task(), self._active, self._write_now

        def write(json: bytes) -> bool:
            # Once the client completed it, another operation may have its id before this one has ended.
            return active.get(operation_id) is task and write_now(b"%b%b}" % (beginning, json))

        return write

    async def _send_answer(self, operation_id: str, answer: Answer) -> None:
        if not answer.result.valid:
            await self._refuse(operation_id, answer.result)
            return
        await self._websocket.send_text(f"{next_beginning(operation_id)}{answer.json.decode()}}}")
        await self._websocket.send_text(complete(operation_id))

    async def _refuse(self, operation_id: str, result: Result) -> None:
        await self._websocket.send_text(error(operation_id, result.body["errors"]))

    async def _receive(self) -> ClientMessage:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        text = message.get("text")
        if text is None:
            raise Malformed("messages are text")
        return read_message(text)

    async def _close(self, closing: _Close) -> None:
        reason = closing.reason.encode()[:MAX_REASON].decode(errors="ignore")
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._websocket.close(closing.code, reason)
        except (*_GONE, TimeoutError):
            log.debug("a peer did not hear why its socket was closed")
