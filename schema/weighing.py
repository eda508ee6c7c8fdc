"""How large a value of JSON is, about, without writing it down."""

from __future__ import annotations

import pickle
from typing import Protocol


class Scales(Protocol):
    def write(self, part: bytes, /) -> object:
        """Is given the value pickled, part by part; what it raises ends the weighing."""
        ...


def weigh(value: object, scales: Scales) -> None:
    """The pickler visits all of it at the speed of C. What stands in several places is told as often."""
    pickler = pickle.Pickler(scales, protocol=4)
    pickler.fast = True
    pickler.dump(value)
