"""What a handler may return."""

from __future__ import annotations

import json
import re

from pydantic import JsonValue

LIMIT = 64 * 1024
"""Bytes of JSON."""

DEPTH = 64
"""Levels of lists and objects in one another."""

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class ResultError(ValueError):
    """The result cannot be kept."""


def _deeper_than(value: object, levels: int) -> bool:
    """Looks no further down than that."""
    layer = [value]
    for _ in range(levels + 1):
        inner: list[object] = []
        for each in layer:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list | tuple):
                inner += each
        if not inner:
            return False
        layer = inner
    return True


def kept(result: object) -> JsonValue:
    """`result` as it is kept and read again, tuples as lists.

    Raises ResultError unless it is JSON of at most 64 KiB, nested 64 deep at most,
    without NaN, infinities, NUL and lone surrogates.
    """
    if _deeper_than(result, DEPTH):
        raise ResultError(f"the result is nested deeper than {DEPTH} levels")
    try:
        text = json.dumps(result, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultError(f"the result is not JSON: {error}") from error
    if size > LIMIT:
        raise ResultError(f"the result is {size} bytes of JSON, and at most {LIMIT} are kept")
    if _NUL.search(text):
        raise ResultError("the result has a NUL character, which cannot be kept")
    value: JsonValue = json.loads(text)
    return value
