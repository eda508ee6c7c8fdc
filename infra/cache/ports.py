"""What a cache of versioned rows promises; kept in Redis, or in this process when it is the only one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Entry:
    """A row's bytes at a version. Without bytes it only says that older ones are out of date."""

    key: str
    version: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class TaskVersion:
    """A task came to this version by a write that is committed."""

    tenant: str
    id: UUID
    version: int


class Cache(Protocol):
    """Never answers with a version older than one it was told of, while it remembers that version.

    Fails open: with the store gone, `get` answers as if nothing were kept and the others do nothing;
    each such bypass is counted. No call takes longer than the cache's time limit.
    """

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """One answer for each key, in the order asked."""
        ...

    async def put(self, entries: Sequence[Entry]) -> None:
        """Keep each entry that is newer than what is known for its key.

        An entry with bytes also replaces one of the same version.
        """
        ...

    async def lead(self, keys: Sequence[str]) -> list[bool]:
        """For each missing key, whether the caller is the one that should fetch and `put` it.

        At most one caller leads a key at a time, for up to a second or until it is put. With the
        store gone everyone leads.
        """
        ...
