"""What the clients of the last release will notice of the schema: python -m schema.changes

Ends with 1 when something that they may rely on is gone. What may surprise them is told, and fails nothing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from graphql import build_schema
from graphql.utilities import find_breaking_changes, find_dangerous_changes

from schema.export import sdl

RELEASED = Path(__file__).with_name("released.graphql")
"""The SDL of the last release."""


@dataclass(frozen=True, slots=True)
class Changes:
    breaking: tuple[str, ...]
    """An operation that was good may be refused, or its answer read wrongly."""
    dangerous: tuple[str, ...]
    """It is still good, and may meet what it did not expect: a new enum value, another default."""


def changes_between(before: str, after: str) -> Changes:
    """Both are SDL."""
    old, new = build_schema(before), build_schema(after)
    return Changes(
        breaking=tuple(each.description for each in find_breaking_changes(old, new)),
        dangerous=tuple(each.description for each in find_dangerous_changes(old, new)),
    )


def told(changes: Changes) -> str:
    lines = [f"breaking:  {each}" for each in changes.breaking]
    lines += [f"dangerous: {each}" for each in changes.dangerous]
    return "\n".join(lines) or "Nothing of the schema breaks or surprises the clients of the last release."


def main(released: Path = RELEASED) -> None:
    changes = changes_between(released.read_text(encoding="utf-8"), sdl())
    sys.stdout.write(f"{told(changes)}\n")
    sys.exit(1 if changes.breaking else 0)


if __name__ == "__main__":
    main()
