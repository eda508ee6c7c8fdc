"""What a process is set up with is spared by the garbage collector; what is made later is not."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from infra.garbage import YOUNG, spare_what_stands


class Node:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_stands_is_not_looked_at_again() -> None:
    standing = [Node() for _ in range(1_000)]
    spare_what_stands()
    looked_at = {id(each) for each in gc.get_objects()}
    assert gc.get_freeze_count() >= len(standing)
    assert not looked_at.intersection(map(id, standing))


def test_garbage_of_before_is_not_kept_for_ever() -> None:
    gone = weakref.ref(Node())
    spare_what_stands()
    assert gone() is None


def test_circles_made_later_go() -> None:
    spare_what_stands()
    gone = weakref.ref(Node())
    kept = [[0] for _ in range(2 * YOUNG)]
    assert kept
    assert gone() is None
