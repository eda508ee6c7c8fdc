"""Dead letters of every kind: seen, replayed and purged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from domain.dead_letters.model import Chosen, DeadLetter
from domain.dead_letters.ports import DeadLetters


class Settling(StrEnum):
    REPLAYED = "replayed"
    PURGED = "purged"


class DeadLetterService:
    """`kinds` by their names; `count` is told of what was settled, kind by kind."""

    def __init__(self, kinds: Mapping[str, DeadLetters], count: Callable[[Settling, str, int], None]) -> None:
        self._kinds = kinds
        self._count = count

    async def listed(self, tenant: str | None = None) -> list[DeadLetter]:
        return [letter for kind in self._kinds.values() for letter in await kind.listed(tenant)]

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
