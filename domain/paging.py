"""Pages of a list, forwards and backwards from a place in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

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


def page_of(read: Sequence[T], request: PageRequest[Any]) -> Page[T]:
    """The page of items as they were read for it: one more than its size when more follow."""
    items, more = tuple(read[: request.size]), len(read) > request.size
    if request.backwards:
        return Page(items=items[::-1], has_next=request.before is not None, has_previous=more)
    return Page(items=items, has_next=more, has_previous=request.after is not None)
