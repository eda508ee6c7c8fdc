"""Makes text from outside fit to be stored: bounded, and free of what PostgreSQL cannot hold."""

from __future__ import annotations


def storable(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, with NUL and lone surrogates replaced by U+FFFD."""
    cut = text[:limit].replace("\x00", "\ufffd")
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in cut)
