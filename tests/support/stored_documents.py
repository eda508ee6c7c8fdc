"""Documents in memory: the second adapter of their port."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from domain.documents.model import MOST_PUBLISHED, Publication, PublishedDocument, hash_of
from domain.errors import NotFound, TooMany, Unavailable


class StoredDocuments:
    """Implements domain.documents.ports.Documents; `asked` is what was asked of it."""

    def __init__(self, *texts: str) -> None:
        self._rows: dict[str, tuple[str, PublishedDocument]] = {}
        self._revision = 0
        self.asked: list[str] = []
        self.away = False
        for text in texts:
            self._add(Publication(hash=hash_of(text), text=text, name=None, kind="query"))

    async def publish(self, publications: Sequence[Publication]) -> int:
        before = dict(self._rows)
        added = sum(map(self._add, {each.hash: each for each in publications}.values()))
        if sum(row.retired_at is None for _, row in self._rows.values()) > MOST_PUBLISHED:
            self._rows = before
            raise TooMany
        return added

    async def retire(self, hash: str) -> PublishedDocument:
        if hash not in self._rows:
            raise NotFound
        text, row = self._rows[hash]
        if row.retired_at is None:
            self._revision += 1
            self._rows[hash] = (text, replace(row, retired_at=datetime.now(UTC)))
        return self._rows[hash][1]

    async def all(self) -> list[PublishedDocument]:
        return [row for _, row in self._rows.values()]

    async def revision(self) -> int:
        self._ask("revision")
        return self._revision

    async def texts(self) -> dict[str, str]:
        self._ask("texts")
        return {hash: text for hash, (text, row) in self._rows.items() if row.retired_at is None}

    async def note_uses(self, uses: Mapping[str, int]) -> None:
        self._ask("note_uses")
        for hash, more in Counter(uses).items():
            text, row = self._rows[hash]
            self._rows[hash] = (text, replace(row, uses=row.uses + more, last_used_at=datetime.now(UTC)))

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.away:
            raise Unavailable("PostgreSQL")

    def _add(self, publication: Publication) -> bool:
        known = self._rows.get(publication.hash)
        if known is not None and known[1].retired_at is None:
            return False
        self._revision += 1
        row = PublishedDocument(
            hash=publication.hash,
            name=publication.name,
            kind=publication.kind,
            published_at=datetime.now(UTC),
            retired_at=None,
            uses=0 if known is None else known[1].uses,
            last_used_at=None if known is None else known[1].last_used_at,
        )
        self._rows[publication.hash] = (publication.text, row)
        return True
