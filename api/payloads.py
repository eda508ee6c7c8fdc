"""What a client may send as an operation, the same over HTTP and over a socket."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

import orjson

from domain.documents.model import is_hash
from infra.telemetry.trace import parse_traceparent
from schema.operations import OperationRequest

MAX_BYTES = 1024 * 1024
"""Of one request's body, or one message of a socket."""

SOON = 1.0
"""Seconds until what was refused for what goes on just now may be tried again."""

LARGE = 32 * 1024
"""Characters from which on a text may hold many values."""

_AS_THE_STANDARD = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
"""What is no JSON is not written as though it were."""


class Malformed(Exception):  # noqa: N818  an answer, not a fault
    """The message is not one that GraphQL clients send; the text says why, and quotes nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentOperation:
    """Its document is in `query`, or named by one of the others."""

    query: str | None
    document_id: str | None
    persisted_query: str | None
    """The hash that Apollo's clients give, also beside the text."""
    variables: dict[str, Any] | None
    operation_name: str | None

    def of(self, text: str, *, published: bool = False) -> OperationRequest:
        return OperationRequest(text, self.variables, self.operation_name, published)


def read_json(text: str) -> object:
    """Strict JSON: no NaN, nothing that cannot be written again as JSON in UTF-8. Raises Malformed."""
    try:
        with _uncollected() if len(text) >= LARGE else nullcontext():
            value = json.loads(text, parse_constant=_refuse_constant, parse_float=_read_float)
        if "\\u" in text:
            # Half of a surrogate pair is legal in JSON, and in no database.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Malformed("it is not valid JSON") from error
    return value


@contextmanager
def _uncollected() -> Iterator[None]:
    """What is read holds no circles. But each few thousand new lists have the collector look for some in all
    that the process has: a megabyte of them held it up for a second."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def read_operation(value: object) -> tuple[SentOperation, str | None]:
    """`{query or documentId, variables, operationName, extensions}`, and the trace it says it belongs to.

    The client of `graphql-ws` sends no message without a text: beside a name, an empty one is none.
    """
    if isinstance(value, list):
        raise Malformed("several operations in one request are not supported")
    if not is_object(value):
        raise Malformed("an operation is a JSON object")
    extensions = _object_or_none(value, "extensions") or {}
    query = _string_or_none(value, "query")
    document_id = _string_or_none(value, "documentId")
    persisted_query = _persisted_query(extensions)
    named = document_id is not None or persisted_query is not None
    sent = SentOperation(
        query=None if named and query == "" else query,
        document_id=document_id,
        persisted_query=persisted_query,
        variables=_object_or_none(value, "variables"),
        operation_name=_string_or_none(value, "operationName"),
    )
    if sent.document_id is None and sent.persisted_query is None and sent.query is None:
        raise Malformed("`query` must be a string")
    if sent.document_id is not None and sent.query is not None:
        raise Malformed("it has both `query` and `documentId`")
    traceparent = extensions.get("traceparent")
    return sent, parse_traceparent(traceparent) if isinstance(traceparent, str) else None


def error_entry(code: str, message: str, retry_after: float | None = None) -> dict[str, Any]:
    """An error of a response, in GraphQL's form; with seconds after which the same may succeed, it says so."""
    retry = {} if retry_after is None else {"retryable": True, "retryAfter": retry_after}
    return {"message": message, "extensions": {"code": code, **retry}}


def write_json(value: object) -> bytes:
    """On one line, in UTF-8."""
    try:
        return orjson.dumps(value, option=_AS_THE_STANDARD)
    except orjson.JSONEncodeError:
        # It writes no whole numbers beyond 64 bits, which a stored value may hold, nor what is nested far.
        return json.dumps(value, separators=(",", ":")).encode()


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _persisted_query(extensions: dict[str, Any]) -> str | None:
    given = extensions.get("persistedQuery")
    if given is None:
        return None
    hash = given.get("sha256Hash") if is_object(given) and given.get("version") == 1 else None
    if not isinstance(hash, str) or not is_hash(hash):
        raise Malformed("`persistedQuery` must be `{version: 1, sha256Hash}`")
    return hash


def _string_or_none(value: dict[str, Any], name: str) -> str | None:
    part = value.get(name)
    if part is not None and not isinstance(part, str):
        raise Malformed(f"`{name}` must be a string or null" if name != "query" else "`query` must be a string")
    return part


def _object_or_none(value: dict[str, Any], name: str) -> dict[str, Any] | None:
    part = value.get(name)
    if part is not None and not is_object(part):
        raise Malformed(f"`{name}` must be an object or null")
    return part


def _read_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise Malformed("a number in it is too large")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
