"""What callers may do with notifications: read them, follow them, mark them read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

from domain.errors import NotFound, TooMany
from domain.notifications.model import Notification
from domain.notifications.ports import NotificationFeed, Notifications
from domain.paging import Page, PageRequest
from domain.tenancy.model import Caller

MAX_TOGETHER = 1_000
"""Notifications marked by their ids at once."""


class NotificationService:
    """A caller bound to an owner meets that owner's alone, whichever owner is asked for."""

    def __init__(self, notifications: Notifications, feed: NotificationFeed) -> None:
        self._notifications = notifications
        self._feed = feed

    async def page(
        self, caller: Caller, request: PageRequest[int], *, owner: str | None, unread_only: bool
    ) -> Page[Notification]:
        if not _may_ask(caller, owner):
            return Page(items=(), has_next=False, has_previous=False)
        return await self._notifications.page(
            caller.tenant, request, owner=_asked(caller, owner), unread_only=unread_only
        )

    async def unread_count(self, caller: Caller, owner: str | None = None) -> int:
        if not _may_ask(caller, owner):
            return 0
        return await self._notifications.unread_count(caller.tenant, _asked(caller, owner))

    async def mark_read(self, caller: Caller, ids: Sequence[UUID | None]) -> int:
        """How many were unread. None stands for an id that names no notification.

        Raises TooMany, and NotFound for the first id that is none of the caller's; then nothing is marked.
        """
        if len(ids) > MAX_TOGETHER:
            raise TooMany(f"At most {MAX_TOGETHER} are marked at once; these are {len(ids)}.", ("ids",))
        known = [id for id in ids if id is not None]
        found = await self._notifications.find(caller.tenant, known) if known else []
        visible = {each.id for each in found if each is not None and caller.may_see(each.owner)}
        for index, id in enumerate(ids):
            if id not in visible:
                raise NotFound("There is no such notification.", ("ids", str(index)))
        if not known:
            return 0
        return await self._notifications.mark_read(caller.tenant, ids=known, owner=caller.owner)

    async def mark_read_up_to(self, caller: Caller, seq: int) -> int:
        """How many were unread, that place included."""
        return await self._notifications.mark_read(caller.tenant, up_to=seq, owner=caller.owner)

    async def follow(
        self, caller: Caller, *, after: int | None, owner: str | None
    ) -> AsyncGenerator[Notification, None]:
        """Every notification after a place, or from now on; Resync ends it when the caller falls behind.

        Asking for another's owner is not refused: nothing comes. Close it in the task that reads it.
        """
        async with self._feed.follow(caller.tenant, after=after, owner=_asked(caller, owner)) as coming:
            async for notification in coming:
                if caller.may_see(notification.owner):
                    yield notification


def _asked(caller: Caller, owner: str | None) -> str | None:
    return caller.owner if owner is None else owner


def _may_ask(caller: Caller, owner: str | None) -> bool:
    return owner is None or caller.may_see(owner)
