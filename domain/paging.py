"""Pages of a list, forwards and backwards from a place in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
C = TypeVar("C")

DEFAULT_PAGE = 20
MAX_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest(Generic[C]):
    """`size` items after `after`, or, when `backwards`, the last `size` ones before `before`."""

    size: int = DEFAULT_PAGE
    backwards: bool = False
    after: C | None = None
    before: C | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Items in the list's order, whichever way they were read."""

    items: tuple[T, ...]
    has_next: bool
    has_previous: bool
