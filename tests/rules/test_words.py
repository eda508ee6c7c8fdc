"""One word for one thing: names in the domain and the schema are those of the glossary."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.rules.sources import modules, parsed, shown

WORDS = {
    "alert": "notification",
    "customer": "tenant",
    "cronjob": "schedule",
    "deadline_at": "lease",
    "eta": "scheduled_at",
    "executions": "attempts",
    "job": "task",
    "jobs": "tasks",
    "organization": "tenant",
    "reaper": "rescuer",
    "run_at": "scheduled_at",
    "tag": "label",
    "tags": "labels",
    "todo": "task",
}
"""What we do not say, and the word of ours for it."""


def defined(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every name that a module gives to something, and where."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_")


def foreign(name: str) -> Iterator[str]:
    """The words in a name that are not ours: `JobList` and `next_job` both hold `job`."""
    return (word for word in WORDS if f"_{word}_" in f"_{snake(name)}_")


def test_the_domain_and_the_schema_speak_our_words() -> None:
    found = [
        f"{shown(file)}:{line} {name}: we say {WORDS[word]}, not {word}"
        for file in modules("domain", "schema")
        for line, name in defined(parsed(file))
        for word in foreign(name)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "words"), [("JobList", ["job"]), ("next_run_at", ["run_at"]), ("etags", []), ("task", [])]
)
def test_words_are_found_inside_names(name: str, words: list[str]) -> None:
    assert list(foreign(name)) == words
