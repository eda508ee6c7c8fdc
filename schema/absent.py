"""Tells what a client left out from what it set to null."""

from __future__ import annotations

from typing import TypeVar

from strawberry import UNSET

from domain.work.drafts import KEEP, Keep

T = TypeVar("T")


def given(value: T | None) -> T | None:
    """None for what was left out or is null."""
    return None if value is UNSET else value


def kept(value: T | None) -> T | Keep | None:
    """What an edit leaves as it is, when it was left out; None for what is null."""
    return KEEP if value is UNSET else value
