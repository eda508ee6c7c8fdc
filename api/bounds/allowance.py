"""What one socket, or one event stream, may have kept for it: what it asked for, and what waits to be sent."""

from __future__ import annotations

import sys

from api.payloads import SentOperation
from schema.operations import OperationRequest

MOST_KEPT = 4 * 1024 * 1024
"""Bytes of texts of documents that are not published, of variables, and of responses that wait."""


class Allowance:
    """There is room until it is used up, so that the last to be kept may be large.

    One response may always wait.
    """

    def __init__(self) -> None:
        self._asked = 0
        self._waiting = 0

    def keep(self, size: int) -> Kept | None:
        """An operation, of which nothing is kept when it has ended; None when there is no room for it."""
        if not self._has_room():
            return None
        kept = Kept(self)
        kept.becomes(size)
        return kept

    def change(self, by: int) -> None:
        """What is kept of an operation."""
        self._asked += by

    def queue(self, size: int) -> bool:
        """A response, until it is taken; False when there is no room for it."""
        if self._waiting and not self._has_room():
            return False
        self._waiting += size
        return True

    def take(self, size: int) -> None:
        self._waiting -= size

    def _has_room(self) -> bool:
        return self._asked + self._waiting < MOST_KEPT


class Kept:
    """Of one operation."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._size = 0

    def becomes(self, size: int) -> None:
        self._allowance.change(size - self._size)
        self._size = size


def size_of_sent(sent: SentOperation) -> int:
    """Bytes in memory."""
    return _size([sent.query, sent.variables])


def size_of_request(request: OperationRequest) -> int:
    """The same, of what is kept of it: a published document is kept anyway."""
    return _size([None if request.published else request.query, request.variables])


def _size(value: object) -> int:
    """Bytes that a value of JSON takes, counted up to what is too much anyway.

    They may be many times what was sent: one sign can have each letter take four, and an empty list takes 56.
    """
    size, left = 0, [value]
    while left and size < MOST_KEPT:
        each = left.pop()
        size += sys.getsizeof(each)
        if isinstance(each, dict):
            left.extend(each)
            left.extend(each.values())
        elif isinstance(each, list):
            left.extend(each)
    return size
