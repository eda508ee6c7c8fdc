"""Time and identity as ports, so that a test can hold both still."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    def now(self) -> datetime:
        """The current instant, aware and in UTC."""
        ...


class Ids(Protocol):
    def next(self) -> UUID:
        """A new id, unique, and greater than those before it (UUID version 7, RFC 9562)."""
        ...
