"""The caller of a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

MAX_TENANT = 64
"""Characters of a tenant's name."""


class Role(StrEnum):
    VIEWER = "VIEWER"
    EDITOR = "EDITOR"
    ADMIN = "ADMIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A caller bound to an owner sees and changes what is that owner's alone."""

    tenant: str
    role: Role = Role.ADMIN
    owner: str | None = None
    credential: str | None = field(default=None, compare=False)
    """What the audit log calls them: the prefix of a token, the subject of a JWT; never a secret."""

    def may_see(self, owner: str | None) -> bool:
        return self.owner is None or self.owner == owner
