"""Ids as they are written."""

from __future__ import annotations

from uuid import UUID


def read_uuid(text: str) -> UUID | None:
    """Only as `str` writes it: `UUID` itself takes braces, URNs and stray hyphens too."""
    try:
        id = UUID(text)
    except ValueError:
        return None
    return id if str(id) == text else None
