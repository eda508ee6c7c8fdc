"""What telling callers apart needs from outside. Adapters prove themselves in tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domain.tenancy.model import Caller
from domain.tenancy.tokens import AccessToken, Kept


class AccessTokens(Protocol):
    async def add(self, kept: Kept) -> None: ...

    async def find(self, prefix: str) -> Kept | None:
        """Of any tenant: the token itself says of which. Also one that has expired or was revoked."""
        ...

    async def all(self, tenant: str) -> list[AccessToken]:
        """Oldest first, those that are not valid any more included."""
        ...

    async def revoke(self, tenant: str, prefix: str) -> AccessToken:
        """One that was revoked before stays as it is. Raises NotFound."""
        ...

    async def note_use(self, tenant: str, id: UUID) -> None:
        """Writes at most once an hour."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    caller: Caller
    expires_at: datetime | None = None
    """From then on the credential is good for nothing; None is never."""
    ask_again_at: datetime | None = None
    """Until then the answer stands, whatever is revoked meanwhile; None is for good."""


class Callers(Protocol):
    async def identify(self, credential: str | None) -> Identified:
        """Who has this credential.

        Raises Unauthenticated, and Unavailable when it cannot be told just now.
        """
        ...
