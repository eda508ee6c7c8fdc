"""Why the embedded PostgreSQL cannot start, in words for whoever started it."""

from __future__ import annotations


class CannotStart(Exception):  # noqa: N818  says what the caller meets
    """The embedded PostgreSQL cannot start; the message says why and what to do."""


class HomeInUse(CannotStart):
    """Another live process already runs on the same home."""
