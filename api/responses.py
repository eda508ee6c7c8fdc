"""The responses of a subscription, encoded once for whichever transport and however many subscribers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from api.payloads import write_json
from domain.clock import Ids
from domain.live.ports import Resync
from schema.errors import present


@dataclass(frozen=True, slots=True)
class Response:
    text: str
    """JSON, on one line."""
    cursor: str | None = None
    """The place in its stream, for one that can be resumed."""


class Responses(Protocol):
    """To be iterated and closed by the task that asked for them."""

    def __aiter__(self) -> AsyncIterator[Response]: ...

    def __anext__(self) -> Awaitable[Response]: ...

    def aclose(self) -> Awaitable[None]: ...


async def encoded(stream: AsyncGenerator[dict[str, Any], None]) -> AsyncGenerator[Response, None]:
    async with aclosing(stream):
        async for body in stream:
            yield response_of(body)


def response_of(body: dict[str, Any]) -> Response:
    return Response(write_json(body), body.get("extensions", {}).get("cursor"))


def resync(ids: Ids) -> Response:
    """The last one of whoever fell behind."""
    return response_of({"errors": present([Resync()], ids)})
