"""The messages of `graphql-transport-ws`, and what makes one of them invalid.

The protocol: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from api.payloads import Malformed, SentOperation, is_object, read_json, read_operation, write_json

PROTOCOL = "graphql-transport-ws"
MAX_ID_LENGTH = 256
"""Characters of an operation's id, which every message of the operation repeats."""

Payload = dict[str, Any] | None


class CloseCode(IntEnum):
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    """Clients connect again after it, and ask for their credential anew; after UNAUTHORIZED they give up."""
    SUBPROTOCOL_NOT_ACCEPTABLE = 4406
    INITIALISATION_TIMEOUT = 4408
    SUBSCRIBER_EXISTS = 4409
    TOO_MANY_INITIALISATIONS = 4429


@dataclass(frozen=True, slots=True)
class ConnectionInit:
    payload: Payload


@dataclass(frozen=True, slots=True)
class Ping:
    payload: Payload


@dataclass(frozen=True, slots=True)
class Pong:
    payload: Payload


@dataclass(frozen=True, slots=True)
class Subscribe:
    id: str
    sent: SentOperation
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Complete:
    id: str


ClientMessage = ConnectionInit | Ping | Pong | Subscribe | Complete


def read_message(text: str) -> ClientMessage:
    """A message of a client. Raises Malformed, whose text is fit to close the socket with."""
    value = read_json(text)
    if not is_object(value):
        raise Malformed("a message is a JSON object")
    match value.get("type"):
        case "connection_init":
            return ConnectionInit(_payload(value))
        case "ping":
            return Ping(_payload(value))
        case "pong":
            return Pong(_payload(value))
        case "subscribe":
            return Subscribe(_id(value), *read_operation(value.get("payload")))
        case "complete":
            return Complete(_id(value))
        case str():
            raise Malformed("no message of a client has this `type`")
        case _:
            raise Malformed("`type` must be a string")


def connection_ack() -> str:
    return _text({"type": "connection_ack"})


def pong(payload: Payload) -> str:
    return _text({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})


def next_beginning(operation_id: str) -> str:
    """What a `next` message begins with: the payload's JSON follows, and a closing brace."""
    return _text({"id": operation_id, "type": "next"})[:-1] + ',"payload":'


def error(operation_id: str, errors: Sequence[dict[str, Any]]) -> str:
    return _text({"id": operation_id, "type": "error", "payload": errors})


def complete(operation_id: str) -> str:
    return _text({"id": operation_id, "type": "complete"})


def _text(message: dict[str, Any]) -> str:
    return write_json(message).decode()


def _payload(value: dict[str, Any]) -> Payload:
    payload = value.get("payload")
    if payload is not None and not is_object(payload):
        raise Malformed("`payload` must be an object or null")
    return payload


def _id(value: dict[str, Any]) -> str:
    operation_id = value.get("id")
    if not isinstance(operation_id, str) or not 0 < len(operation_id) <= MAX_ID_LENGTH:
        raise Malformed(f"`id` must be a string of 1 to {MAX_ID_LENGTH} characters")
    return operation_id
