"""What is said on a raw socket, message by message, and how the server closes it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.support.graphql_client import DEADLINE

INIT = {"type": "connection_init"}
ACK = {"type": "connection_ack"}
ACK_FRAME = b'"connection_ack"'
"""What stands in the frame that says so."""


async def say(client: ClientConnection, *messages: object) -> None:
    for message in messages:
        await client.send(message if isinstance(message, str | bytes) else json.dumps(message))


async def hear(client: ClientConnection) -> Any:
    async with asyncio.timeout(DEADLINE):
        return json.loads(await client.recv())


async def closing(client: ClientConnection) -> tuple[int, str]:
    """How the server closes the socket; fails if it says anything before."""
    with pytest.raises(ConnectionClosed) as closed:
        async with asyncio.timeout(DEADLINE):
            await client.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def subscribe(query: str, operation_id: str = "1", **payload: object) -> dict[str, Any]:
    return {"id": operation_id, "type": "subscribe", "payload": {"query": query, **payload}}
