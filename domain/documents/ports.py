"""What published and registered documents need from outside. Adapters prove themselves in tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from domain.documents.model import Publication, PublishedDocument


class Documents(Protocol):
    """Those of the installation: they belong to no tenant."""

    async def publish(self, publications: Sequence[Publication]) -> int:
        """All of them or none. How many were not published before, or were retired.

        Raises TooMany when more than MOST_PUBLISHED would be published.
        """
        ...

    async def retire(self, hash: str) -> PublishedDocument:
        """One that was retired before stays as it is. Raises NotFound."""
        ...

    async def all(self) -> list[PublishedDocument]:
        """Oldest first, the retired included."""
        ...

    async def revision(self) -> int:
        """Another number once anything was published or retired."""
        ...

    async def texts(self) -> dict[str, str]:
        """By their hashes, without the retired."""
        ...

    async def note_uses(self, uses: Mapping[str, int]) -> None:
        """So many more, for each hash, just now."""
        ...


class RegisteredDocuments(Protocol):
    """What clients registered as they went. It is forgotten after a while: they register it again."""

    async def find(self, hash: str) -> str | None: ...

    async def keep(self, hash: str, text: str) -> None: ...
