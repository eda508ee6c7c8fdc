"""GraphQL over server-sent events: `graphql-sse` in its distinct connections mode, one operation on each.

The protocol: https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, nullcontext

from starlette.responses import Response as HttpResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from api.auth import Session
from api.bounds.live_connections import LiveConnections
from api.bounds.shedding import Shed, Shedding
from api.draining import Draining
from api.graph import Graph
from api.responses import Response, response_of
from domain.errors import Unauthenticated
from schema.operations import Kind, OperationRequest, Result

KEEP_ALIVE = 12.0
"""Seconds between comments, which keep a silent stream from being taken for dead on its way."""
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # nginx would wait for more
}
_COMMENT = b":\n\n"
_COMPLETE = b"event: complete\ndata:\n\n"


class EventStream(HttpResponse):
    """Errors are told as results, and the last of these is followed by an end.

    A subscription that is cut off, because the server stops or its credential is good no more, has none: its
    client connects again.
    """

    def __init__(
        self,
        graph: Graph,
        operation: OperationRequest,
        *,
        kind: Kind | None,
        session: Session,
        last_event_id: str | None,
        connections: LiveConnections,
        draining: Draining,
        shedding: Shedding,
    ) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._graph = graph
        self._operation = operation
        self._kind = kind
        self._session = session
        self._tenant = session.caller().tenant
        self._last_event_id = last_event_id
        self._connections = connections
        self._draining = draining
        self._shedding = shedding

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        with self._connections.hold(self._tenant):
            async with asyncio.TaskGroup() as group:
                ends = [group.create_task(self._tell(send)), group.create_task(_gone(receive))]
                if self._kind == "subscription" and self._session.stands_for is not None:
                    ends.append(group.create_task(self._until_unauthenticated()))
                keeping_alive = group.create_task(_keep_alive(send))
                async with self._draining.cutting_off() if self._kind == "subscription" else nullcontext():
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                for task in (*ends, keeping_alive):
                    task.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _until_unauthenticated(self) -> None:
        await self._session.ended()
        self._graph.metrics.unauthenticated.labels("sse").inc()

    async def _tell(self, send: Send) -> None:
        try:
            await self._operate(send)
        except Unauthenticated:
            return  # without an end
        except Shed as shed:
            self._graph.metrics.limits.labels(shed.code.lower()).inc()
            await _send(send, _next(response_of({"errors": [shed.shown]})))
        except Exception as fault:  # noqa: BLE001  it is logged, counted, and told to the client
            await _send(send, _next(response_of({"errors": [self._graph.present(fault)]})))
        await _send(send, _COMPLETE)

    async def _operate(self, send: Send) -> None:
        if self._kind != "subscription":
            with self._shedding.admit(self._tenant):
                answer = await self._graph.execute(self._kind, self._operation, self._session.caller())
            await _send(send, _next(Response(answer.json)))
            return
        with self._shedding.admit(self._tenant):
            stream = await self._graph.subscribe(self._operation, self._session.caller, self._last_event_id)
        if isinstance(stream, Result):
            await _send(send, _next(response_of(stream.body)))
            return
        with self._graph.metrics.subscriptions.labels("sse").track_inprogress():
            async with aclosing(stream):
                async for response in stream:
                    await _send(send, _next(response))
                    self._graph.metrics.delivered.inc()


def _next(response: Response) -> bytes:
    place = b"" if response.cursor is None else f"id: {response.cursor}\n".encode()
    return b"event: next\n%bdata: %b\n\n" % (place, response.json)


async def _send(send: Send, part: bytes) -> None:
    """Waits while the client does not read."""
    await send({"type": "http.response.body", "body": part, "more_body": True})


async def _keep_alive(send: Send) -> None:
    while True:
        await asyncio.sleep(KEEP_ALIVE)
        await _send(send, _COMMENT)


async def _gone(receive: Receive) -> None:
    """Returns once the client is."""
    while (await receive())["type"] != "http.disconnect":
        pass
