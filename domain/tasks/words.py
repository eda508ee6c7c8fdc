"""The words of a text, as tasks are searched by."""

from __future__ import annotations

import re

LONGEST = 100
"""Characters of a word that count."""


def words(text: str) -> list[str]:
    """In the order of the text, in lower case; digits and underscores belong to words."""
    return [word[:LONGEST] for word in re.findall(r"\w+", text.lower())]
