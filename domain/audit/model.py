"""What a caller did, or was kept from doing: who, what, when and in which trace; never with what content."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.tenancy.model import Caller, Role

MOST_IDS = 100
"""Of what a mutation touched, so many are named; all are counted."""
LONGEST_ID = 200
"""Characters: an id that was asked for may be anything."""


class Outcome(StrEnum):
    DONE = "DONE"
    REFUSED = "REFUSED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a mutation ended."""

    outcome: Outcome
    code: str | None = None
    """Why it was refused, or failed."""
    ids: tuple[str, ...] = ()
    """Global ids, and names of queues, of what it touched or asked for."""
    count: int = 0
    """Of all that it touched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A mutation about to be carried out."""

    id: UUID
    """Later ones are greater."""
    caller: Caller
    operation: str
    """The field of GraphQL."""
    trace_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    id: UUID
    at: datetime
    operation: str
    credential: str | None
    role: Role
    owner: str | None
    trace_id: str
    ended: Ended | None = field(default=None)
    """None: it is under way, or its process did not come to say."""
