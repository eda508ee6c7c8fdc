"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from domain.tasks.states import MOVES
from domain.tenancy.model import Caller, Role
from domain.tenancy.permissions import Permission, may
from infra.settings import Settings

ROOT = Path(__file__).parents[2]


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    rows = dict(re.findall(r"^\| `CARILLON_(\w+)` \| (.*?) \|", text, re.MULTILINE))
    assert set(rows) == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, tuple) and field.default:
            assert rows[name.upper()].strip("`") == ",".join(field.default)
        elif field.default not in (None, ()):
            shown = rows[name.upper()].strip("`")
            assert shown == str(field.default).lower() or shown == str(field.default), name


def test_the_diagram_of_states_shows_exactly_the_legal_moves() -> None:
    text = (ROOT / "docs/states.md").read_text()
    shown = set(re.findall(r"^    (\w+) --> (\w+)", text, re.MULTILINE))
    assert shown == {(state.value, to.value) for state, moves in MOVES.items() for to in moves}


def test_every_promise_names_tests_and_they_exist() -> None:
    text = (ROOT / "docs/guarantees.md").read_text()
    for promise in text.partition("## Lateness")[0].split("\n### ")[1:]:
        named = re.findall(r"^- `(tests/[\w/]+\.py)::(\w+)`$", promise, re.MULTILINE)
        assert named, f"nothing shows: {promise.splitlines()[0]}"
        for file, test in named:
            found = re.search(rf"^(?:async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE)
            assert found, f"there is no {test} in {file}"


def test_links_between_documents_lead_somewhere() -> None:
    folders = (ROOT, ROOT / "examples/browser", ROOT / "deploy/kubernetes")
    pages = [page for folder in folders for page in folder.glob("*.md")]
    for page in (*pages, *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_table_of_roles_says_what_is_required() -> None:
    text = (ROOT / "docs/authentication.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)`(?:: .*)? \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|$", text, re.MULTILINE)
    said = {name: [word == "yes" for word in words] for name, *words in rows}
    everyone = [Caller(tenant="acme", role=role) for role in (Role.VIEWER, Role.EDITOR, Role.ADMIN)]
    everyone.append(Caller(tenant="acme", role=Role.ADMIN, owner="alice"))
    assert said == {each.value: [may(caller, each) for caller in everyone] for each in Permission}
