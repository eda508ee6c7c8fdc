"""Whoever silences a checker says which check, and why, on the same line."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.rules.sources import modules, shown

SILENCES = re.compile(r"#\s*(?:(?:ruff:\s*|flake8:\s*)?noqa|type:\s*ignore|mypy:|pragma:)", re.IGNORECASE)
CHECK = r"noqa: [A-Z]+[0-9]+(?:, [A-Z]+[0-9]+)*|type: ignore\[[a-z-]+(?:, [a-z-]+)*\]"
EXPLAINED = re.compile(rf"# (?:ruff: )?(?:{CHECK})  (?:# )?\w.{{4,}}")


def unexplained(text: str) -> Iterator[tuple[int, str]]:
    """The silencing comments of a source text without a check's name or a reason, and their lines."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and SILENCES.match(token.string):
            explained = EXPLAINED.search(token.string)
            if explained is None:
                yield token.start[0], token.string


def test_every_suppression_has_its_reason() -> None:
    found = [
        f"{shown(file)}:{line} {comment}"
        for file in modules()
        for line, comment in unexplained(file.read_text())
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("comment", "accepted"),
    [
        ("# noqa: S104  compared, not bound", True),
        ("# type: ignore[name-defined]  # noqa: F821  which is the point", True),
        ("# type: ignore[index]  # what cannot be indexed ends the path", True),
        ("# noqa", False),
        ("# noqa: S104", False),
        ("# type: ignore", False),
        ("# type: ignore[index]", False),
        ("# an ordinary comment", True),
    ],
)
def test_a_check_and_a_reason_are_needed(comment: str, *, accepted: bool) -> None:
    assert (list(unexplained(f"x = 1  {comment}\n")) == []) is accepted
