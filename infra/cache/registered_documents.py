"""What clients registered, in this process and in the cache that processes share."""

from __future__ import annotations

from collections import OrderedDict

from domain.documents.model import hash_of
from infra.cache.ports import Cache, Entry

MOST_CHARACTERS = 4_000_000
"""Of all texts in this process."""


class CachedDocuments:
    """Implements domain.documents.ports.RegisteredDocuments.

    A text never changes under its hash, so that the process need not forget it. The shared cache does after
    its time to live: for that long a client registers once for all processes.
    """

    def __init__(self, cache: Cache, namespace: str, most: int = MOST_CHARACTERS) -> None:
        self._cache = cache
        self._namespace = namespace
        self._most = most
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._characters = 0

    async def find(self, hash: str) -> str | None:
        if hash in self._texts:
            self._texts.move_to_end(hash)
            return self._texts[hash]
        [value] = await self._cache.get([self._key(hash)])
        text = None if value is None else value.decode()
        if text is None or hash_of(text) != hash:
            return None
        self._remember(hash, text)
        return text

    async def keep(self, hash: str, text: str) -> None:
        if hash not in self._texts:
            self._remember(hash, text)
        await self._cache.put([Entry(self._key(hash), 1, text.encode())])

    def _remember(self, hash: str, text: str) -> None:
        self._texts[hash] = text
        self._characters += len(text)
        while self._characters > self._most:
            _, forgotten = self._texts.popitem(last=False)
            self._characters -= len(forgotten)

    def _key(self, hash: str) -> str:
        return f"{self._namespace}:document:{hash}"
