"""Modules are short, say what they are for, and are named for what they hold."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

from tests.rules.sources import PRODUCT, ROOT, modules, parsed, shown

LONGEST = 500
MEDIAN = 90
SAY_NOTHING = {"base", "common", "core", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}


def lines(file: Path) -> int:
    return len(file.read_text().splitlines())


def test_no_module_is_long() -> None:
    long = [f"{shown(file)}: {lines(file)} lines" for file in modules() if lines(file) > LONGEST]
    assert not long, "\n".join(long)


def test_most_modules_are_short() -> None:
    assert median(lines(file) for file in modules(*PRODUCT) if file.name != "__init__.py") < MEDIAN


def test_no_name_of_a_module_says_nothing() -> None:
    named = [
        shown(file) for file in modules() if {file.stem, *file.relative_to(ROOT).parent.parts} & SAY_NOTHING
    ]
    assert not named, "\n".join(named)


def test_every_module_says_what_it_is_for() -> None:
    silent = [shown(file) for file in modules() if lines(file) and not ast.get_docstring(parsed(file))]
    assert not silent, "\n".join(silent)
