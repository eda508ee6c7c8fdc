"""A dead letter, and which of them somebody means."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

LOOKED_AT = 1_000
"""Of one kind, so many are listed, replayed or purged at once: go on for the rest."""
_EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    of: str
    """Which kind: the consumer that could not handle an event, `outbox` for an event that could not be
    published, `task` for a failed task."""
    key: str
    """The same however often it is listed; unique within its kind."""
    tenant: str | None
    """None when it is of several, or cannot be told: then it is the installation's, and no tenant's."""
    at: datetime | None
    """When it happened; None when that cannot be read."""
    what: str
    """In a few words."""
    body: str
    """What is known of it, as JSON if it is any."""

    @property
    def id(self) -> str:
        return f"{self.of}:{self.key}"

    @property
    def place(self) -> LetterPlace:
        return LetterPlace(self.of, self.at, self.key)

    @property
    def content(self) -> object:
        """What the body says as JSON; the body itself when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body


@dataclass(frozen=True, slots=True)
class LetterPlace:
    """Where a letter lies among those of its kind, also when it is none any more."""

    of: str
    at: datetime | None
    key: str

    def follows(self, other: LetterPlace) -> bool:
        return self.order > other.order

    @property
    def order(self) -> tuple[datetime, str]:
        """Oldest first; when it cannot be told, before all others."""
        return self.at or _EARLIEST, self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    items: Sequence[DeadLetter]
    """Oldest first, each once."""
    more: bool = False
    """Whether others follow the last of them."""
    unseen: bool = False
    """Whether there may be others beyond what can be looked at, until some of these are settled."""

    @staticmethod
    def behind(place: LetterPlace | None, letters: Iterable[DeadLetter], *, unseen: bool = False) -> Letters:
        """Those of the letters, all of one kind, that follow the place; up to LOOKED_AT."""
        found = {each.key: each for each in letters if place is None or each.place.follows(place)}
        items = sorted(found.values(), key=lambda each: each.place.order)
        return Letters(items=items[:LOOKED_AT], more=len(items) > LOOKED_AT, unseen=unseen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    keys: frozenset[str] | None = None
    """None is all."""
    tenant: str | None = None
    """Those of this tenant alone; None is everyone's, and those that are no tenant's too."""

    def takes(self, letter: DeadLetter) -> bool:
        mine = self.tenant is None or self.tenant == letter.tenant
        return mine and (self.keys is None or letter.key in self.keys)


def named(ids: Iterable[str], tenant: str | None = None) -> dict[str, Chosen]:
    """Those with these ids, by their kinds."""
    keys: dict[str, set[str]] = {}
    for id in ids:
        of, _, key = id.partition(":")
        keys.setdefault(of, set()).add(key)
    return {of: Chosen(keys=frozenset(found), tenant=tenant) for of, found in keys.items()}
