"""What dead letters need of whatever keeps them."""

from __future__ import annotations

from typing import Protocol

from domain.dead_letters.model import Chosen, LetterPlace, Letters


class DeadLetters(Protocol):
    """Dead letters of one kind. Each call lists or settles up to LOOKED_AT, and raises Unavailable.

    What is replayed is never lost, but may be handled twice when a call is broken off: no more than events
    promise at any time, and consumers drop what they have applied. What is no dead letter (any more) is passed
    over, so that repeating a call does nothing.
    """

    async def listed(self, tenant: str | None = None, after: LetterPlace | None = None) -> Letters:
        """Those behind the place, which need not be one's any more; they stay. Without a tenant, everyone's."""
        ...

    async def replay(self, chosen: Chosen) -> int:
        """Give them another chance, as if for the first time; how many."""
        ...

    async def purge(self, chosen: Chosen) -> int:
        """Delete them for good; how many."""
        ...
