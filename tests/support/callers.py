"""Callers with access tokens, as production tells them apart, and a clock that a test moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from domain.clock import Clock
from domain.tenancy.model import Role
from domain.tenancy.service import Issued, TokenService
from infra.authentication.callers import Jwts, Known
from infra.system import SystemClock, random_bytes
from tests.support.storage import Storage, ids


@dataclass
class Tokens:
    """Makes tokens, revokes them, and knows their bearers."""

    storage: Storage
    clock: Clock = field(default_factory=SystemClock)
    remembered: timedelta = timedelta(seconds=10)
    jwts: Jwts | None = None

    def __post_init__(self) -> None:
        self.known = Known(self.storage.access_tokens, self.jwts, self.clock, self.remembered)
        self.service = TokenService(self.storage.access_tokens, self.clock, ids, random_bytes)

    async def issue(
        self,
        role: Role = Role.EDITOR,
        owner: str | None = None,
        lifetime: timedelta | None = timedelta(days=1),
        tenant: str = "acme",
    ) -> Issued:
        return await self.service.create(
            tenant=tenant, name="a test", role=role, owner=owner, lifetime=lifetime
        )

    async def revoke(self, issued: Issued) -> None:
        await self.service.revoke(issued.token.tenant, issued.token.prefix)
