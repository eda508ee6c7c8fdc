"""The project's Python files, for the tests that hold them to the house rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("api", "carillon", "domain", "examples", "graphql_plans", "infra", "jobs", "schema")


def modules(*folders: str) -> list[Path]:
    """The files of these folders; of all folders when none is named."""
    found = [file for folder in folders or (*PRODUCT, "bin", "tests") for file in (ROOT / folder).rglob("*.py")]
    return sorted(file for file in found if "node_modules" not in file.parts)


def shown(file: Path) -> str:
    return str(file.relative_to(ROOT))


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), filename=shown(file))


def imported(tree: ast.Module) -> Iterator[str]:
    """The full names a module imports: `from a import b` is a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
