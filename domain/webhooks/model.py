"""A secret that signs webhooks. The secret itself is told once, when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSecret:
    """What may be shown of one."""

    id: UUID
    tenant: str
    origin: str | None
    """`https://host[:port]` it signs for; None for every origin that has none of its own."""
    prefix: str
    """The first characters of it, to know it again by."""
    created_at: datetime
    retires_at: datetime | None = None
    """From then on it signs nothing; None while it is the active one of its origin."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new one, with the secret itself."""

    record: WebhookSecret
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """What signs, until it retires."""

    key: bytes = field(repr=False)
    retires_at: datetime | None

    def signs_at(self, now: datetime) -> bool:
        return self.retires_at is None or now < self.retires_at
