"""Which field of an input a refusal of storage is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from domain.errors import IllegalState, Invalid, NotFound, StaleVersion


@contextmanager
def fields_named() -> Iterator[None]:
    """What is refused inside is about the `version` of an input, or about what its `id` names."""
    try:
        yield
    except StaleVersion as refusal:
        refusal.path = ("version",)
        raise
    except (NotFound, IllegalState, Invalid) as refusal:
        refusal.path = ("id",)
        raise
