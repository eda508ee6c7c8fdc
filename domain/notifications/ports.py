"""What notifications need from storage, and how they are followed live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from domain.notifications.model import Draft, Notification
from domain.paging import Page, PageRequest


class Notifications(Protocol):
    """Each tenant's stream. A place in it is a `seq`; with `owner`, only that owner's are seen."""

    async def add(self, drafts: Sequence[Draft]) -> frozenset[str]:
        """Append those whose event was not seen before; the tenants that got any."""
        ...

    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Notification | None]: ...

    async def page(
        self,
        tenant: str,
        request: PageRequest[int],
        *,
        owner: str | None = None,
        unread_only: bool = False,
    ) -> Page[Notification]:
        """In the order of the stream."""
        ...

    async def of_tasks(
        self, tenant: str, task_ids: Sequence[UUID], first: int, after: int = 0
    ) -> list[list[Notification]]:
        """For each task, up to `first` of its notifications after that place."""
        ...

    async def after(self, tenant: str, seq: int, limit: int) -> list[Notification]:
        """What follows a place in the stream, every owner's, in order and without gaps.

        Raises CursorExpired when some of that was removed for its age.
        """
        ...

    async def last_seq(self, tenant: str) -> int:
        """The last place taken; 0 for an empty stream."""
        ...

    async def unread_count(self, tenant: str, owner: str | None = None) -> int:
        """Counted up to 10,000."""
        ...

    async def mark_read(
        self,
        tenant: str,
        *,
        ids: Sequence[UUID] | None = None,
        up_to: int | None = None,
        owner: str | None = None,
    ) -> int:
        """How many were unread before."""
        ...


class NotificationFeed(Protocol):
    def follow(
        self, tenant: str, *, after: int | None, owner: str | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Notification]]:
        """Every notification after a place (None: from now on), without gap or repeat, as they come.

        Raises CursorExpired for a place the stream has not reached, and the iterator for one after which
        some were removed for their age; it raises Resync when the reader falls too far behind.
        """
        ...
