"""A plain stand-in for what keeps dead letters of one kind."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.dead_letters.model import Chosen, DeadLetter, LetterPlace, Letters


@dataclass
class StoredDeadLetters:
    calls: list[str] = field(default_factory=list)
    rows: list[DeadLetter] = field(default_factory=list)
    replayed: list[DeadLetter] = field(default_factory=list)
    unseen: bool = False

    async def listed(self, tenant: str | None = None, after: LetterPlace | None = None) -> Letters:
        self.calls.append("listed")
        chosen = Chosen(tenant=tenant)
        return Letters.behind(after, filter(chosen.takes, self.rows), unseen=self.unseen)

    async def replay(self, chosen: Chosen) -> int:
        taken = self._taken("replay", chosen)
        self.replayed += taken
        return len(taken)

    async def purge(self, chosen: Chosen) -> int:
        return len(self._taken("purge", chosen))

    def _taken(self, call: str, chosen: Chosen) -> list[DeadLetter]:
        self.calls.append(call)
        taken = [each for each in self.rows if chosen.takes(each)]
        self.rows = [each for each in self.rows if not chosen.takes(each)]
        return taken
