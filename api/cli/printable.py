"""What others wrote, as a terminal may have it."""

from __future__ import annotations


def printable(text: str) -> str:
    """It must not steer the terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)
