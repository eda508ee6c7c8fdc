"""What a client may send as an operation, the same over HTTP and over a socket."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn, TypeGuard

from infra.telemetry.trace import parse_traceparent
from schema.operations import OperationRequest

MAX_BYTES = 1024 * 1024
"""Of one request's body, or one message of a socket."""


class Malformed(Exception):  # noqa: N818  an answer, not a fault
    """The message is not one that GraphQL clients send; the text says why, and quotes nothing of it."""


def read_json(text: str) -> object:
    """Strict JSON: no NaN, nothing that cannot be written again as JSON in UTF-8. Raises Malformed."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_read_float)
        if "\\u" in text:
            # Half of a surrogate pair is legal in JSON, and in no database.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Malformed("it is not valid JSON") from error
    return value


def read_operation(value: object) -> tuple[OperationRequest, str | None]:
    """`{query, variables, operationName, extensions}`, and the trace it says it belongs to."""
    if isinstance(value, list):
        raise Malformed("several operations in one request are not supported")
    if not is_object(value):
        raise Malformed("an operation is a JSON object")
    query = value.get("query")
    if not isinstance(query, str):
        raise Malformed("`query` must be a string")
    name = value.get("operationName")
    if name is not None and not isinstance(name, str):
        raise Malformed("`operationName` must be a string or null")
    request = OperationRequest(query, _object_or_none(value, "variables"), name)
    traceparent = (_object_or_none(value, "extensions") or {}).get("traceparent")
    return request, parse_traceparent(traceparent) if isinstance(traceparent, str) else None


def write_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


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
