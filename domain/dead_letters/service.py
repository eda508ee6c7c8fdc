"""Dead letters of every kind: seen, replayed and purged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from enum import StrEnum

from domain.dead_letters.model import LOOKED_AT, Chosen, DeadLetter, LetterPlace, Letters
from domain.dead_letters.ports import DeadLetters


class Settling(StrEnum):
    REPLAYED = "replayed"
    PURGED = "purged"


class DeadLetterService:
    """`kinds` by their names; `count` is told of what was settled, kind by kind."""

    def __init__(self, kinds: Mapping[str, DeadLetters], count: Callable[[Settling, str, int], None]) -> None:
        self._kinds = kinds
        self._count = count

    @property
    def kinds(self) -> Collection[str]:
        return self._kinds.keys()

    async def all(self) -> Letters:
        """Everyone's, of all kinds."""
        items: list[DeadLetter] = []
        page, unseen = Letters(items=(), more=True), False
        while page.more:
            page = await self.page(None, LOOKED_AT, items[-1].place if items else None)
            items += page.items
            unseen = unseen or page.unseen
        return Letters(items=items, unseen=unseen)

    async def page(self, tenant: str | None, size: int, after: LetterPlace | None = None) -> Letters:
        """Kind by kind, behind a place of a kind that is known; up to `size`, and that up to LOOKED_AT."""
        names = list(self._kinds)
        items: list[DeadLetter] = []
        more = unseen = False
        for name in names[names.index(after.of) if after else 0 :]:
            found = await self._kinds[name].listed(tenant, after if after and after.of == name else None)
            items += found.items
            unseen = unseen or found.unseen
            more = found.more or len(items) > size
            if more:
                break
        return Letters(items=items[:size], more=more, unseen=unseen)

    async def replay(self, chosen: Mapping[str, Chosen]) -> int:
        """By kinds; a kind there is not is passed over. How many were replayed."""
        return await self._settle(Settling.REPLAYED, chosen)

    async def purge(self, chosen: Mapping[str, Chosen]) -> int:
        """The same."""
        return await self._settle(Settling.PURGED, chosen)

    async def _settle(self, how: Settling, chosen: Mapping[str, Chosen]) -> int:
        done = 0
        for name, kind in self._kinds.items():
            if name in chosen:
                settle = kind.replay if how is Settling.REPLAYED else kind.purge
                settled = await settle(chosen[name])
                self._count(how, name, settled)
                done += settled
        return done
