"""To read a request with very many values does not hold up what else the process does."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest

from api.payloads import MAX_BYTES, Malformed, read_json

MANY = f"[{'[],' * (MAX_BYTES // 3 - 1)}0]"


@pytest.fixture
def collections() -> Iterator[list[str]]:
    """What the garbage collector does."""
    seen: list[str] = []

    def note(phase: str, _: dict[str, int]) -> None:
        seen.append(phase)

    gc.callbacks.append(note)
    try:
        yield seen
    finally:
        gc.callbacks.remove(note)


def outcome(read: Callable[[], object]) -> object:
    try:
        return read()
    except Malformed as malformed:
        return malformed


@pytest.mark.parametrize("text", [MANY, MANY[:-1]], ids=["valid", "cut short"])
def test_the_collector_does_not_look_through_the_process_for_each_few_thousand(
    collections: list[str], text: str
) -> None:
    gc.collect()
    collections.clear()
    assert outcome(lambda: read_json(text)) is not None
    during = collections.copy()
    # One may be due before and one after; with it on, there would be hundreds.
    assert len(during) <= 4
    assert gc.isenabled()


def test_who_has_it_off_keeps_it_off() -> None:
    gc.disable()
    try:
        read_json(MANY)
        assert not gc.isenabled()
    finally:
        gc.enable()
