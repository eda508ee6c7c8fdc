"""Tells what a client left out from what it set to null."""

from __future__ import annotations

from typing import TypeVar

from strawberry import UNSET

T = TypeVar("T")


def given(value: T | None) -> T | None:
    """None for what was left out or is null."""
    return None if value is UNSET else value
