"""The trace a piece of work belongs to (W3C Trace Context, level 1), carried from part to part."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def drawn_traceparent(*, sampled: bool) -> str:
    """Of a trace that begins here."""
    drawn = secrets.token_hex(24)
    return f"00-{drawn[:32]}-{drawn[32:]}-{sampled:02x}"


def parse_traceparent(header: str) -> str | None:
    """The header when it is valid, cut to the fields of version 00; else None: start a new trace."""
    header = header.strip()
    match = _TRACEPARENT.fullmatch(header)
    if match is None or (header.startswith("00") and match[1]):
        return None
    return f"00{header[2:55]}"


def is_sampled(traceparent: str) -> bool:
    """Whether its caller has it recorded: the lowest bit of the flags says so."""
    return int(traceparent[54], 16) & 1 == 1


def current_traceparent() -> str | None:
    return _current.get()


def current_ids() -> tuple[str, str] | None:
    """Of the trace, and of the span that what happens now is in: the caller's, while there is none of ours."""
    traceparent = _current.get()
    return (traceparent[3:35], traceparent[36:52]) if traceparent else None


def enter_trace(traceparent: str | None) -> Token[str | None]:
    return _current.set(traceparent)


def leave_trace(token: Token[str | None]) -> None:
    _current.reset(token)


@contextmanager
def in_trace(traceparent: str) -> Iterator[None]:
    """What runs inside, and the tasks started there, belongs to this trace."""
    token = _current.set(traceparent)
    try:
        yield
    finally:
        _current.reset(token)
