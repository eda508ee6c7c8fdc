"""The published documents as a process knows them: what is asked for by a hash costs no query of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta

from domain.clock import Clock
from domain.documents.ports import Documents
from domain.errors import Unavailable

KNOWN_FOR = timedelta(seconds=1)
"""How late a process may hear of what was published or retired."""
NOTE_INTERVAL = 10.0
"""Seconds between two writes of what was used."""


class KnownDocuments:
    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock
        self._texts: dict[str, str] | None = None
        self._revision = 0
        self._stale_at: datetime | None = None
        self._asking = asyncio.Lock()
        self._uses: Counter[str] = Counter()

    async def find(self, hash: str) -> str | None:
        """Its text, which counts as a use; None when it is not published, or retired.

        While storage is away it is what was known before. Raises Unavailable when nothing was.
        """
        text = (await self._known()).get(hash)
        if text is not None:
            self._uses[hash] += 1
        return text

    async def note_once(self) -> int:
        """Writes what was used since the last time: of how many documents. Raises Unavailable, keeping it."""
        uses, self._uses = self._uses, Counter()
        if uses:
            try:
                await self._documents.note_uses(uses)
            except BaseException:
                self._uses += uses
                raise
        return len(uses)

    async def note_forever(self) -> None:
        while True:
            await asyncio.sleep(NOTE_INTERVAL)
            try:
                await self.note_once()
            except Unavailable:
                continue

    async def _known(self) -> dict[str, str]:
        if self._texts is not None and self._is_fresh():
            return self._texts
        async with self._asking:
            if self._texts is None or not self._is_fresh():
                self._texts = await self._asked()
                self._stale_at = self._clock.now() + KNOWN_FOR
        return self._texts

    def _is_fresh(self) -> bool:
        return self._stale_at is not None and self._clock.now() < self._stale_at

    async def _asked(self) -> dict[str, str]:
        try:
            revision = await self._documents.revision()
            if self._texts is not None and revision == self._revision:
                return self._texts
            texts = await self._documents.texts()
        except Unavailable:
            if self._texts is None:
                raise
            return self._texts
        self._revision = revision
        return texts
