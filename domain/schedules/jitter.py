"""Spreads fire times that fall together, so that every scheduler agrees where each goes."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID


def jittered(
    schedule: UUID, fire_time: datetime, jitter: timedelta, next_fire_time: datetime | None
) -> datetime:
    """When the task of `fire_time` is due: up to `jitter` later, and before the next fire time.

    The same for the same arguments in every process; the fire time itself stays what it is.
    """
    room = jitter if next_fire_time is None else min(jitter, next_fire_time - fire_time)
    seed = f"{schedule} {int(fire_time.timestamp())}".encode()
    share = int.from_bytes(blake2b(seed, digest_size=8).digest())
    return fire_time + timedelta(microseconds=(room // timedelta(microseconds=1)) * share >> 64)
