"""What the audit log needs from storage."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from domain.audit.model import AuditEntry, Begun, Ended
from domain.paging import Page, PageRequest


class AuditLog(Protocol):
    async def begin(self, begun: Begun) -> None:
        """Note it, before anything of it is done: what is committed later is not there without its entry.

        Raises Unavailable.
        """
        ...

    def end(self, begun: Begun, ended: Ended) -> None:
        """Note how it ended: a moment later, together with others, and after an outage."""
        ...

    async def page(self, tenant: str, request: PageRequest[UUID]) -> Page[AuditEntry]:
        """The latest first."""
        ...
