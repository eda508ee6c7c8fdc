"""Clients of the last release go on working: what would break them is found, what may surprise them is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from schema.changes import RELEASED, Changes, changes_between, main, told
from schema.export import sdl

ROOT = Path(__file__).parents[2]
BEFORE = """
type Query { task(id: ID, order: Order = UP): Task, old: String @deprecated(reason: "Ask for `task`.") }
type Task { title: String!, note: String, kind: Kind! }
input Direction { up: Boolean = true }
enum Kind { HTTP RUN }
enum Order { UP DOWN }
"""


def after(old: str, new: str) -> Changes:
    assert BEFORE.count(old) == 1
    return changes_between(BEFORE, BEFORE.replace(old, new))


def test_nothing_that_clients_of_the_last_release_rely_on_is_gone() -> None:
    changes = changes_between(RELEASED.read_text(encoding="utf-8"), sdl())
    assert changes.breaking == (), "see CONTRIBUTING.md, The schema"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (", note: String", "", "Task.note was removed."),
        (', old: String @deprecated(reason: "Ask for `task`.")', "", "Query.old was removed."),
        ("title: String!", "title: String", "Task.title changed type from String! to String."),
        ("note: String", "note: Int", "Task.note changed type from String to Int."),
        ("(id: ID,", "(id: ID!,", "Query.task(id:) has changed type from ID to ID!"),
        ("order: Order = UP", "", "Query.task(order:) was removed"),
        ("(id: ID,", "(id: ID, of: ID!,", "A required argument Query.task(of:) was added"),
        ("{ up:", "{ down: Boolean!, up:", "A required field Direction.down was added"),
        ("HTTP RUN", "HTTP", "Enum value Kind.RUN was removed"),
        ("enum Kind { HTTP RUN }", "scalar Kind", "Kind changed from an Enum type to a Scalar type"),
    ],
)
def test_what_would_break_them_is_found(old: str, new: str, said: str) -> None:
    (breaking,) = after(old, new).breaking
    assert said in breaking


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("HTTP RUN", "HTTP RUN NOTIFY", "Enum value Kind.NOTIFY was added"),
        ("Order = UP", "Order = DOWN", "Query.task(order:) has changed defaultValue from UP to DOWN"),
        ("(id: ID,", "(id: ID, of: ID,", "An optional argument Query.task(of:) was added"),
        ("{ up:", "{ down: Boolean, up:", "An optional field Direction.down was added"),
    ],
)
def test_what_may_surprise_them_is_told_and_breaks_nothing(old: str, new: str, said: str) -> None:
    changes = after(old, new)
    assert changes.breaking == ()
    (dangerous,) = changes.dangerous
    assert said in dangerous
    assert told(changes) == f"dangerous: {dangerous}"


def test_what_is_new_is_neither() -> None:
    assert after("note: String", "note: String, more: String") == Changes((), ())
    assert after("enum Kind", "type More { a: Int } enum Kind") == Changes((), ())


def test_the_command_tells_what_there_is() -> None:
    command = [sys.executable, "-m", "schema.changes"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(("dangerous: ", "Nothing "))


def test_the_command_fails_when_something_breaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    released = tmp_path / "released.graphql"
    released.write_text(sdl().replace("type Query {", "type Query {\n  gone: Int\n"))
    with pytest.raises(SystemExit) as ended:
        main(released)
    assert ended.value.code == 1
    assert capsys.readouterr().out == "breaking:  Field Query.gone was removed.\n"
