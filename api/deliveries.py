"""The events of one subscription on their way, each in its own trace: looked up, encoded, and told."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing
from dataclasses import replace

from api.responses import Response
from infra.telemetry.spans import Span, span
from infra.telemetry.trace import enter_trace


class Deliveries:
    """One at a time, for all who share the subscription in this process."""

    def __init__(self) -> None:
        self._span: Span | None = None

    def begin(self, traceparent: str | None) -> None:
        """To be called before an event is looked at, in the task that iterates: what it does from now on is in
        the trace of the event, until the next."""
        self._end()
        if traceparent is not None:
            self._span = span("deliver", parent=traceparent)
            enter_trace(self._span.traceparent or traceparent)

    async def told(
        self, responses: AsyncGenerator[Response, None], held: AbstractContextManager[None]
    ) -> AsyncGenerator[Response, None]:
        """Who asks for the next response has told this one. `held` is left when there are no more."""
        try:
            with held:
                async with aclosing(responses):
                    async for response in responses:
                        yield replace(response, span=self._span)
                        self._end()
        finally:
            self._end()

    def _end(self) -> None:
        if self._span is not None:
            self._span.end()
            self._span = None
