"""What the last claim saw, so that the next does not walk again what is known to be empty.

While some snapshot is held open, every index entry of a task that was claimed since stays, and each walk passes
all of them. So a walk begins at a floor. It is safe to begin there because whatever comes in below one says so,
in the same transaction: see `infra.postgres.lanes.reopen`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from infra.postgres.lanes import SLACK_SECONDS

Lane = tuple[str, str, int]
NEVER = datetime.min.replace(tzinfo=UTC)
"""-infinity, as asyncpg has it."""


@dataclass(frozen=True, slots=True)
class Floors:
    """The knowledge of one claim. It stays true, however old it is."""

    seen_at: datetime = NEVER
    """The claim's now. Nothing waits, and nothing is in flight, from a margin before it, but for: """
    lanes: Sequence[tuple[Lane, datetime, UUID]] = ()
    """the lanes in which something does wait since then or longer, each with its first place;"""
    long_in_flight: Sequence[UUID] = ()
    """and these tasks, QUEUED or RUNNING, that last changed before it."""
    limits: bool = True
    """Whether a queue has settings, or a task waits for its key."""
    keyed: bool = False
    """Whether the claim took a task with a key: the next will probably see some as well."""
    keys_after: tuple[str, str, str] = ("", "", "")
    """The key, as (tenant, key, queue), behind which the next walk over those with tasks set aside begins."""

    @property
    def plain(self) -> bool:
        """Whether it is worth trying a claim that minds neither limits nor keys."""
        return not self.limits and not self.keyed

    def arguments(self, margin: timedelta) -> list[Any]:
        """For the statements' $1 to $11."""
        lanes = [lane for lane, _, _ in self.lanes]
        return [
            self.seen_at,
            margin,
            list(self.long_in_flight),
            [tenant for tenant, _, _ in lanes],
            [queue for _, queue, _ in lanes],
            [priority for _, _, priority in lanes],
            [at for _, at, _ in self.lanes],
            [id for _, _, id in self.lanes],
            *self.keys_after,
        ]


def walked_keys(records: Iterable[asyncpg.Record]) -> tuple[str, str, str]:
    """How far a claim came with the keys; it was through when it says nothing, and the next begins anew."""
    return next(
        ((each["tenant"], each["key"], each["queue"]) for each in records if each["kind"] == "key"),
        ("", "", ""),
    )


def floors_from(seen_at: datetime, records: Iterable[asyncpg.Record], *, limits: bool) -> Floors:
    """From what a claim that had room tells besides the tasks it claimed."""
    lanes: list[tuple[Lane, datetime, UUID]] = []
    long_in_flight: list[UUID] = []
    keyed = False
    for record in records:
        if record["kind"] == "lane":
            lane = (record["tenant"], record["queue"], record["priority"])
            lanes.append((lane, record["at"], record["id"]))
        elif record["kind"] == "in flight":
            long_in_flight.append(record["id"])
        elif record["kind"] == "task":
            keyed |= record["key"] is not None
    return Floors(seen_at, lanes, long_in_flight, limits, keyed)


def margin_for(limit: float) -> timedelta:
    """How far below the last claim's now something may still come in unsaid: as long as a transaction may last,
    which is `limit` seconds, and the slack of `reopen`."""
    return timedelta(seconds=limit + SLACK_SECONDS)
