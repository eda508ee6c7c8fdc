"""What errors of GraphQL repeat of a request: little, and nothing of what may hold secrets."""

from __future__ import annotations

import re

MOST = 100
"""Characters of one value or name; beyond, it is cut."""

_ECHO = re.compile(r"(?:[,;] found|[.?] Found|cannot represent [\w\- ]*?value): ")
"""The words before a value, which goes on to the end of the message."""
_NAME = re.compile(rf"'([^']{{{MOST}}})[^']+'")


def shortened(message: str) -> str:
    """The message without what is long or hidden in it; the path, the types and the suggestions stay."""
    found = _ECHO.search(message)
    if found is None:
        return _NAME.sub(r"'\1…'", message)
    return _NAME.sub(r"'\1…'", message[: found.end()]) + _echo(message[found.end() :])


def _echo(value: str) -> str:
    if value.startswith(("{", "[")):
        cut = "{…}" if value.startswith("{") else "[…]"
        return f"{cut}." if value.endswith(".") else cut
    return value if len(value) <= MOST else f"{value[:MOST]}…"
