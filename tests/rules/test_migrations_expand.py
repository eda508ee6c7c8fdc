"""Migrations since the version before only add: that version goes on beside this one, on the new layout."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSIONS = ROOT / "infra" / "postgres" / "migrations" / "versions"
RELEASED = "0011"
"""The newest migration of the version before: see tests.support.previous."""
TAKES_AWAY = re.compile(
    r"\b(drop\s+(table|column|function|type|view|schema)|rename|set\s+not\s+null|(alter|set\s+data)\s+type"
    r"|drop_(table|column)|alter_column|rename_table|revoke)\b",
    re.IGNORECASE,
)
CONTRACTS = "CONTRACTS"
"""A migration that takes away what no version in use reads any more says why under this name."""


def faults(source: str) -> list[str]:
    """What the upgrade of a migration takes away, unless it says why it may."""
    module = ast.parse(source)
    names = {
        target.id
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    if CONTRACTS in names:
        return []
    upward = [
        node for node in module.body if not (isinstance(node, ast.FunctionDef) and node.name == "downgrade")
    ]
    return [found.group() for node in upward for found in TAKES_AWAY.finditer(ast.unparse(node))]


def test_no_migration_since_the_version_before_takes_anything_away() -> None:
    newer = [each for each in VERSIONS.glob("[0-9]*.py") if each.name[:4] > RELEASED]
    assert {each.name: found for each in newer if (found := faults(each.read_text()))} == {}


@pytest.mark.parametrize(
    "statement",
    [
        "alter table tasks drop column title",
        "alter table t rename to u",
        "alter table t alter a set not null",
        "drop table t",
    ],
)
def test_what_the_version_before_would_miss_is_found(statement: str) -> None:
    assert faults(f'SQL = "{statement}"\ndef upgrade():\n    op.execute(SQL)')
    assert not faults(f'def downgrade():\n    op.execute("{statement}")')
    assert not faults(f'CONTRACTS = "nobody reads it since 0.2"\nSQL = "{statement}"')


def test_what_only_adds_is_none() -> None:
    assert not faults('SQL = "alter table tasks add column note text; create index i on tasks (note)"')
