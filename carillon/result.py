"""What a handler may return."""

from __future__ import annotations

import json
import re

from pydantic import JsonValue

LIMIT = 64 * 1024
"""Bytes of JSON."""

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class ResultError(ValueError):
    """The result cannot be kept."""


def kept(result: object) -> JsonValue:
    """`result` as it is kept and read again, tuples as lists.

    Raises ResultError unless it is JSON of at most 64 KiB, without NaN, infinities, NUL and lone surrogates.
    """
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
