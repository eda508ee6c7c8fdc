"""The responses of a subscription, encoded once for whichever transport and however many subscribers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from api.answers import Answer
from api.payloads import write_json
from domain.clock import Ids
from domain.live.ports import Resync
from infra.telemetry.spans import Span
from schema.errors import present


@dataclass(frozen=True, slots=True)
class Response:
    json: bytes
    """On one line."""
    cursor: str | None = None
    """The place in its stream, for one that can be resumed."""
    span: Span | None = None
    """Of its way to those who follow, for what is told of it."""


class Responses(Protocol):
    """To be iterated and closed by the task that asked for them."""

    def __aiter__(self) -> AsyncIterator[Response]: ...

    def __anext__(self) -> Awaitable[Response]: ...

    def aclose(self) -> Awaitable[None]: ...


async def encoded(
    stream: AsyncGenerator[dict[str, Any], None], answer: Callable[[dict[str, Any]], Awaitable[Answer]]
) -> AsyncGenerator[Response, None]:
    async with aclosing(stream):
        async for body in stream:
            yield Response((await answer(body)).json, body.get("extensions", {}).get("cursor"))


def response_of(body: dict[str, Any]) -> Response:
    """Of a body that is small, and no event of a stream."""
    return Response(write_json(body))


def resync(ids: Ids) -> Response:
    """The last one of whoever fell behind."""
    return response_of({"errors": present([Resync()], ids)})
