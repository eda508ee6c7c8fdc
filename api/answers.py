"""Answers within a size: of what would be larger, no more is written than shows that it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from api.payloads import error_entry, write_json
from schema.operations import Kind, Result
from schema.weighing import weigh

LONGER = 6
"""Times that a value takes in JSON what it takes pickled, at most: a control character does, and `false`."""
PIECE = 1024 * 1024
"""Bytes that are written in one go. No stored JSON value has more."""


class AnswerTooLarge(Exception):  # noqa: N818  an outcome, not a fault
    """There is no room for it."""


class Room:
    """What the answers to one request may take together, in bytes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.left = most

    def take(self, size: int) -> None:
        """Raises AnswerTooLarge."""
        if size > self.left:
            raise AnswerTooLarge
        self.left -= size


@dataclass(frozen=True, slots=True)
class Answer:
    result: Result
    json: bytes
    """On one line."""

    @property
    def lasting(self) -> bytes:
        """Its JSON without the extensions, which stand last and are others each time."""
        told = self.result.body.get("extensions")
        return self.json if told is None else self.json[: -len(write_json({"extensions": told}))] + b"}"


async def answer_within(room: Room, kind: Kind | None, result: Result) -> Answer:
    """The answer, or one that says that it is left out.

    What was not executed is told why in any case: its errors are no larger than its request makes them.
    """
    if not result.valid:
        return Answer(result, write_json(result.body))
    try:
        return Answer(result, await write_within(room, result.body))
    except AnswerTooLarge:
        told = {name: value for name, value in result.body.items() if name == "extensions"}
        body = {"data": None, "errors": [_left_out(room.most, kind)]} | told
        return Answer(Result(body, valid=True), write_json(body))


def _left_out(most: int, kind: Kind | None) -> dict[str, Any]:
    message = (
        f"The answer is left out, which is over the {most} bytes allowed."
        " Ask for smaller pages, for fewer fields, or under fewer aliases."
    )
    if kind == "mutation":
        message = (
            "The mutation was executed, and what it did stands: only its answer is left out, which is over the"
            f" {most} bytes allowed. Read what you need of it with queries; do not send it again."
        )
    return error_entry("ANSWER_TOO_LARGE", message)


async def write_within(room: Room, value: object) -> bytes:
    """The JSON of `value`. Raises AnswerTooLarge, having written no more than there is room for.

    A text that stands in a hundred places is there once, and a hundred times only when it is written.
    """
    if not _may_exceed(value, room.left):
        json = write_json(value)
        room.take(len(json))
        return json
    pieces: list[bytes] = []
    for piece in _pieces(value):
        try:
            room.take(len(piece))
        except AnswerTooLarge:
            room.left += sum(map(len, pieces))
            raise
        pieces.append(piece)
        await asyncio.sleep(0)
    return b"".join(pieces)


def _may_exceed(value: object, most: int) -> bool:
    """Whether its JSON may have more than `most` bytes: quick, and without writing any."""
    try:
        weigh(value, _Bounded(most // LONGER))
    except AnswerTooLarge:
        return True
    return False


class _Bounded(Room):
    def write(self, part: bytes) -> None:
        self.take(len(part))


def _pieces(value: object) -> Iterator[bytes]:
    if isinstance(value, dict) and _may_exceed(value, PIECE):
        before = b"{"
        for name, each in value.items():
            yield b"%b%b:" % (before, write_json(name))
            yield from _pieces(each)
            before = b","
        yield b"}"
    elif isinstance(value, list) and _may_exceed(value, PIECE):
        yield b"["
        yield from _items(value)
        yield b"]"
    else:
        yield write_json(value)


def _items(items: Sequence[object]) -> Iterator[bytes]:
    """Without what is around them; some."""
    if not _may_exceed(items, PIECE):
        yield write_json(items)[1:-1]
    elif len(items) == 1:
        yield from _pieces(items[0])
    else:
        middle = len(items) // 2
        yield from _items(items[:middle])
        yield b","
        yield from _items(items[middle:])
