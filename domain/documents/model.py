"""Published documents and the names they go by."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

PREFIX = "sha256:"
MOST_PUBLISHED = 2_000
"""Documents that are not retired: every process that executes them has all their texts in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What is to be published; it has been checked against the schema."""

    hash: str
    text: str
    name: str | None
    """Of its operation; several are told with commas between."""
    kind: str
    """`query`, `mutation` or `subscription`; several in the same way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedDocument:
    hash: str
    name: str | None
    kind: str
    published_at: datetime
    retired_at: datetime | None
    """From then on it is executed no more; None is never."""
    uses: int
    last_used_at: datetime | None
    """To some seconds, as uses are written together."""


def hash_of(text: str) -> str:
    """SHA-256 of its UTF-8, as 64 lower-case hexadecimal digits."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def hash_in(document_id: str) -> str | None:
    """The hash that a `documentId` holds, with or without its prefix; None when it holds none."""
    hash = document_id.removeprefix(PREFIX)
    return hash if is_hash(hash) else None


def is_hash(text: str) -> bool:
    return re.fullmatch("[0-9a-f]{64}", text) is not None
