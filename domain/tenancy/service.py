"""What an operator may do with access tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from domain.clock import Clock, Ids
from domain.tenancy.model import MAX_TENANT, Role
from domain.tenancy.ports import AccessTokens
from domain.tenancy.tokens import AccessToken, Kept, digest, new_text, prefix_of
from domain.work.validation import MAX_NAME, Faults, line_fault

LONGEST = timedelta(days=3_660)


@dataclass(frozen=True, slots=True)
class Issued:
    token: AccessToken
    text: str = field(repr=False)
    """To be shown once: it is kept nowhere."""


class TokenService:
    """Raises Refusals for faults of what is asked, each with the name of its field as its path."""

    def __init__(
        self, tokens: AccessTokens, clock: Clock, ids: Ids, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        self._ids = ids
        self._random_bytes = random_bytes

    async def create(
        self, *, tenant: str, name: str, role: Role, owner: str | None, lifetime: timedelta | None
    ) -> Issued:
        """`lifetime` None is without end."""
        faults = Faults()
        faults.note(line_fault(tenant, MAX_TENANT), "tenant")
        faults.note(line_fault(name, MAX_NAME), "name")
        if owner is not None:
            faults.note(line_fault(owner, MAX_NAME), "owner")
        if lifetime is not None and not timedelta(0) < lifetime <= LONGEST:
            faults.note(f"It must be more than zero, and at most {LONGEST.days:,} days.", "expires")
        faults.settle()
        text, now = new_text(self._random_bytes), self._clock.now()
        prefix = prefix_of(text)
        assert prefix is not None, "it was just made"
        token = AccessToken(
            id=self._ids.next(),
            tenant=tenant,
            name=name,
            prefix=prefix,
            role=role,
            owner=owner,
            created_at=now,
            expires_at=None if lifetime is None else now + lifetime,
        )
        await self._tokens.add(Kept(token, digest(text)))
        return Issued(token, text)

    async def all(self, tenant: str) -> list[AccessToken]:
        """Oldest first, those that are not valid any more included."""
        return await self._tokens.all(tenant)

    async def revoke(self, tenant: str, prefix: str) -> AccessToken:
        """Raises NotFound."""
        return await self._tokens.revoke(tenant, prefix)
