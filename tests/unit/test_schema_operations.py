"""An operation is checked before it is executed, bounded, and fails without showing our inside."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from time import perf_counter
from types import FrameType
from typing import Any
from uuid import UUID

import pytest
from graphql import OperationType, get_introspection_query
from typing_extensions import override

from domain.errors import TenantBusy, Unavailable
from domain.tasks.model import Task
from schema.build import build_schema
from schema.documents import LONGEST_REMEMBERED, MAX_ERRORS, REFUSALS, REMEMBERED, Documents
from schema.limits import (
    MAX_ALIASES,
    MAX_DEPTH,
    MAX_FRAGMENTS,
    MAX_NESTING,
    MAX_OPERATIONS,
    MAX_SAME,
    MAX_TOKENS,
)
from schema.operations import OperationRequest, Result
from tests.support.face import Face, operations
from tests.support.stores import StoredTasks


@pytest.fixture
def face() -> Face:
    return Face()


@pytest.mark.parametrize(
    ("query", "name", "kind"),
    [
        ("{ viewer { role } }", None, "query"),
        ("mutation { deleteTask(input: { id: 1 }) { deletedId } }", None, "mutation"),
        ("subscription { notifications { id } }", None, "subscription"),
        ("query A { viewer { role } } subscription B { notifications { id } }", "B", "subscription"),
        ("query A { viewer { role } } query B { viewer { role } }", None, None),
        ("query A { viewer { role } }", "B", None),
        ("fragment F on Task { id }", None, None),
        ("{", None, None),
        ("", None, None),
        ("\ud800", None, None),
    ],
)
def test_the_kind_of_an_operation_is_told_without_executing_it(
    query: str, name: str | None, kind: str | None
) -> None:
    assert operations().kind(OperationRequest(query, None, name)) == kind


REQUEST_ERRORS: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "syntax": ("{ viewer {", {}, None),
    "empty": ("", {}, None),
    "unknown field": ("{ nothing }", {}, None),
    "unknown fragment": ("{ viewer { ...Nothing } }", {}, None),
    "cyclic fragments": (
        "{ viewer { ...A } } fragment A on Viewer { ...B } fragment B on Viewer { ...A }",
        {},
        None,
    ),
    "unknown operation": ("query A { viewer { role } }", {}, "B"),
    "which operation": ("query A { viewer { role } } query B { viewer { role } }", {}, None),
    "missing variable": ("query ($id: ID!) { node(id: $id) { id } }", {}, None),
    "undefined variable": ("{ node(id: $id) { id } }", {}, None),
    "variable type": ("query ($n: Int) { tasks(first: $n) { nodes { id } } }", {"n": "x"}, None),
    "big int": ("query ($n: Int) { tasks(first: $n) { nodes { id } } }", {"n": 2**31}, None),
    "bad instant": (
        "query ($f: TaskFilter) { tasks(filter: $f) { nodes { id } } }",
        {"f": {"dueAfter": "tomorrow"}},
        None,
    ),
    "bad literal instant": ('{ tasks(filter: { dueAfter: "tomorrow" }) { nodes { id } } }', {}, None),
    "unknown enum": ("{ tasks(orderBy: SIDEWAYS) { nodes { id } } }", {}, None),
    "subscription": ("subscription { notifications { id } }", {}, None),
    "huge literal": (f"{{ tasks(first: {'9' * 5000}) {{ nodes {{ id }} }} }}", {}, None),
    "deep literal": (f"mutation {{ createTask(input: {'[' * 1500}{']' * 1500}) {{ created }} }}", {}, None),
}


@pytest.mark.parametrize(("query", "variables", "name"), REQUEST_ERRORS.values(), ids=REQUEST_ERRORS.keys())
async def test_what_cannot_be_executed_is_not(
    face: Face, caplog: pytest.LogCaptureFixture, query: str, variables: dict[str, Any], name: str | None
) -> None:
    result = await operations().execute(OperationRequest(query, variables, name), face.context())
    assert not result.valid
    assert set(result.body) == {"errors"}
    assert {error["extensions"]["code"] for error in result.body["errors"]} == {"INVALID"}
    assert not caplog.records


ONE_OF = """mutation ($input: MarkNotificationsReadInput!) { markNotificationsRead(input: $input) { count } }"""


@pytest.mark.parametrize("input", [{}, {"ids": [], "upTo": "x"}, {"ids": None}, {"ids": [], "upTo": None}])
async def test_exactly_one_of_is_exactly_one(face: Face, input: dict[str, Any]) -> None:
    result = await face.run(ONE_OF, input=input)
    assert not result.valid
    literal = ", ".join(
        f"{k}: {str(v).replace('None', 'null').replace(chr(39), chr(34))}" for k, v in input.items()
    )
    result = await face.run(f"mutation {{ markNotificationsRead(input: {{ {literal} }}) {{ count }} }}")
    assert not result.valid


async def test_a_query_is_not_subscribed_to(face: Face) -> None:
    for query in ("{ viewer { role } }", "{ nothing }", "subscription { taskEvents { nothing } }"):
        stream = await operations().subscribe(OperationRequest(query), face.context)
        assert isinstance(stream, Result)
        assert not stream.valid


class BrokenTasks(StoredTasks):
    fault: Exception = RuntimeError("password=hunter2 in /etc/carillon")

    @override
    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Task | None]:
        raise self.fault


@pytest.fixture
def broken(face: Face) -> Face:
    face.tasks = BrokenTasks(face.clock)
    return face


TWICE = "query ($a: ID!, $b: ID!) { a: task(id: $a) { id } b: task(id: $b) { id } viewer { tenant } }"
IDS = {
    "a": "VGFzazowMTg5MGE1ZC1hYzk2LTc3NGItYmNjZS1iMzAyMDk5YTgwNTc",
    "b": "VGFzazowMTg5MGE1ZC1hYzk2LTc3NGItYmNjZS1iMzAyMDk5YTgwNTg",
}


async def test_a_fault_shows_an_id_and_logs_its_cause_once_under_it(
    broken: Face, caplog: pytest.LogCaptureFixture
) -> None:
    result = await broken.run(TWICE, **IDS)
    assert result.valid
    assert result.body["data"] == {"a": None, "b": None, "viewer": {"tenant": "acme"}}
    first, second = result.body["errors"]
    assert (first["path"], second["path"]) == (["a"], ["b"])
    assert first["message"] == second["message"] == "Internal error"
    assert first["extensions"] == second["extensions"]
    assert first["extensions"]["code"] == "INTERNAL"
    assert "hunter2" not in str(result.body)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.__dict__["error_id"] == first["extensions"]["id"]
    assert record.exc_info is not None
    assert "hunter2" in str(record.exc_info[1])


async def test_what_cannot_be_reached_is_told_as_worth_a_retry(
    broken: Face, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BrokenTasks, "fault", Unavailable("PostgreSQL"))
    result = await broken.run(TWICE, **IDS)
    assert result.valid
    assert [error["extensions"] for error in result.body["errors"]] == [
        {"code": "UNAVAILABLE", "retryable": True, "retryAfter": 1}
    ] * 2
    assert result.body["errors"][0]["message"] == "PostgreSQL cannot be reached just now: try again shortly"
    assert not caplog.records


async def test_so_is_too_much_under_way_for_the_tenant(
    broken: Face, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BrokenTasks, "fault", TenantBusy())
    result = await broken.run(TWICE, **IDS)
    assert [error["extensions"] for error in result.body["errors"]] == [
        {"code": "TENANT_BUSY", "retryable": True, "retryAfter": 1}
    ] * 2
    assert not caplog.records


async def test_introspection_is_within_the_limits(face: Face) -> None:
    data = await face.ask(get_introspection_query(input_value_deprecation=True))
    assert data["__schema"]["subscriptionType"] == {"name": "Subscription", "kind": "OBJECT"}


def nested_query(depth: int) -> str:
    """Of that many levels of fields."""
    names = ["tasks", "nodes", *["notifications(first: 1)", "nodes", "task"] * depth]
    return "{ " + " { ".join([*names[: depth - 1], "__typename"]) + " }" * depth


def doubling(count: int) -> str:
    """Fragments that spread the next one twice: small to write, too large to unfold."""
    fragments = " ".join(
        f"fragment F{n} on Query {{ a{n}: viewer {{ role }} ...F{n + 1} ...F{n + 1} }}" for n in range(count)
    )
    return f"{{ ...F0 }} {fragments} fragment F{count} on Query {{ viewer {{ role }} }}"


def chain(count: int) -> str:
    fragments = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(count))
    return f"{{ ...F0 }} {fragments} fragment F{count} on Query {{ viewer {{ role }} }}"


def aliases(count: int) -> str:
    return "{ " + " ".join(f"a{n}: viewer {{ role }}" for n in range(count)) + " }"


def many_literals(count: int) -> str:
    tasks = ", ".join('{ title: "Hi" }' for _ in range(count))
    return f"mutation {{ createTasks(input: {{ tasks: [{tasks}] }}) {{ createdCount }} }}"


def inlined(count: int) -> str:
    return "{ " + "... { " * count + "viewer { role }" + " }" * count + " }"


def operations_of(count: int) -> str:
    return " ".join(f"query Q{n} {{ viewer {{ role }} }}" for n in range(count))


def spread_often(count: int) -> str:
    return "{ viewer { " + "...F " * count + "} } fragment F on Viewer { role }"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (nested_query(MAX_DEPTH), None),
        (nested_query(MAX_DEPTH + 1), "16 levels deep; 15 are allowed"),
        (aliases(MAX_ALIASES), None),
        (aliases(MAX_ALIASES + 1), "more than the 100 aliases"),
        (doubling(12), "more than the 1000 fields and fragments, as spread out,"),
        (doubling(60), "more than the 50 fragments"),
        (chain(MAX_FRAGMENTS - 1), None),
        (chain(MAX_FRAGMENTS), "more than the 50 fragments"),
        (inlined(MAX_NESTING - 2), None),
        (inlined(MAX_NESTING - 1), "nested too deeply"),
        (inlined(600), "nested too deeply"),
        (operations_of(MAX_OPERATIONS + 1), "more than the 50 operations"),
        ("{ " + "viewer { role } " * MAX_SAME + "}", None),
        ("{ " + "viewer { role } " * (MAX_SAME + 1) + "}", '"viewer" is asked for more than the 50 times'),
        ("{ viewer { " + "__typename " * (MAX_SAME + 1) + "} }", '"__typename" is asked for'),
        ("{ " + "viewer { role role role role role role } " * 10 + "}", '"role" is asked for'),
        ("{ __schema { " + "types { name } " * (MAX_SAME + 1) + "} }", '"types" is asked for'),
        ("{ viewer { role } } fragment F on Viewer { " + "role " * 51 + "}", '"role" is asked for'),
        (spread_often(MAX_SAME + 1), '"role" is asked for'),
        (many_literals(380), None),
        ("{ " + "__typename " * MAX_TOKENS + "}", "tokens"),
    ],
    ids=[
        "deep",
        "too deep",
        "aliases",
        "too many aliases",
        "doubling",
        "doubling more",
        "chain",
        "long chain",
        "inlined",
        "inlined too deep",
        "inlined much too deep",
        "operations",
        "same",
        "too often the same",
        "too often the same below",
        "together too often the same",
        "too often the same of introspection",
        "too often the same in what is not used",
        "too often the same by spreads",
        "long",
        "too long",
    ],
)
async def test_documents_are_bounded_and_cheap_to_refuse(face: Face, query: str, says: str | None) -> None:
    start = perf_counter()
    result = await face.run(query)
    assert perf_counter() - start < 5, "generous: what is not bounded takes for ever"
    assert result.valid is (says is None), result.body
    if says is not None:
        assert any(says in error["message"] for error in result.body["errors"]), result.body


def calls_of(documents: Documents, query: str) -> int:
    """How many functions are called to read it: its cost, the same on every machine."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        documents.read(query)
    finally:
        sys.setprofile(before)
    return calls


def shared_by_all(count: int) -> str:
    """Fragments that are spread together, again and again, and ask for the same."""
    names = " ".join(f"...F{n}" for n in range(count))
    fields = "title labels { name value } attempts { nodes { id number } }"
    fragments = " ".join(f"fragment F{n} on Task {{ {fields} }}" for n in range(count))
    return f"{{ tasks {{ nodes {{ {names} }} edges {{ node {{ {names} }} }} }} }} {fragments}"


def operations_on_one_fragment(count: int, variables: int) -> str:
    heads = " ".join(f"query Q{n} {{ ...F }}" for n in range(count))
    names = " ".join(f"$v{n}" for n in range(variables))
    return f"{heads} fragment F on Query {{ nodes(ids: [{names}]) {{ id }} }}"


def arguments_compared(count: int, size: int) -> str:
    states = " ".join(["QUEUED"] * size)
    return "{ " + f"tasks(filter: {{ states: [{states}] }}) {{ nodes {{ id }} }} " * count + "}"


COSTLY = {
    "the same in one place": "{ " + "tasks{nodes{id}} " * 560 + "}",
    "the same, allowed": "{ " + "tasks{nodes{id}} " * MAX_SAME + "}",
    "the same everywhere": "{ tasks { nodes { "
    + "id title state key owner queue version priority " * MAX_SAME
    + "} } }",
    "many fragments": shared_by_all(200),
    "fragments, allowed": shared_by_all(25),
    "small fragments": "{ viewer { "
    + " ".join(f"...F{n}" for n in range(50))
    + " } } "
    + " ".join(f"fragment F{n} on Viewer {{ role tenant owner }}" for n in range(50)),
    "operations": operations_on_one_fragment(50, 800),
    "fragments on all": "{ "
    + " ".join(f"...F{n}" for n in range(50))
    + " } "
    + " ".join(
        f"fragment F{n} on Query {{ tasks {{ nodes {{ id title state key owner }} }} viewer {{ role }} }}"
        for n in range(50)
    ),
    "arguments": arguments_compared(50, 20),
    "unknown fields": "{ viewer { " + " ".join(f"tsk{n}" for n in range(900)) + " } }",
    "unknown arguments": "{ tasks(" + " ".join(f"frst{n}: 1" for n in range(600)) + ") { nodes { id } } }",
    "inline fragments": "{ tasks { nodes { " + "... { id } ... on Task { title } " * 49 + "} } }",
}


@pytest.mark.parametrize("query", COSTLY.values(), ids=COSTLY.keys())
def test_no_document_is_costly_to_check(query: str) -> None:
    assert calls_of(Documents(build_schema()._schema), query) < 400_000, "about 50 ms"


def test_what_exceeds_a_limit_is_not_checked_any_further() -> None:
    [error] = Documents(build_schema()._schema).read("{ " + "nothing " * (MAX_SAME + 1) + "}").errors
    assert "asked for more than" in error.message


def test_the_errors_of_one_document_are_bounded() -> None:
    errors = Documents(build_schema()._schema).read(COSTLY["unknown fields"]).errors
    assert len(errors) == MAX_ERRORS + 1
    assert "aborted" in errors[-1].message


def test_refused_documents_are_remembered_without_their_nodes_up_to_a_bound() -> None:
    documents = Documents(build_schema()._schema)
    refused = documents.read("query Q { nothing } subscription S { nothing }")
    assert refused.node is None
    assert all(error.nodes is None and error.locations for error in refused.errors)
    assert refused.operation("S") is OperationType.SUBSCRIPTION
    documents.read("{ \ud800 }")
    assert documents.read("query Q { nothing } subscription S { nothing }") is refused
    long = "{ " + "x" * 50_000 + " }"
    kept = documents.read(long)
    documents.read("{ viewer { role } }")
    assert documents.read(long) is kept, "however long: its hash and its errors are kept"
    for number in range(REFUSALS // 50_000 + 1):
        documents.read(f"{{ {'x' * 50_000}{number} }}")
    assert documents.read(long) is not kept


def test_good_documents_are_remembered_up_to_a_bound() -> None:
    documents = Documents(build_schema()._schema)
    first = documents.read("{ viewer { role } }")
    assert documents.read("{ viewer { role } }") is first
    long = f"# {'x' * LONGEST_REMEMBERED}\n{{ viewer {{ role }} }}"
    kept = documents.read(long)
    assert documents.read(long) is kept, "to be told its kind, then executed"
    documents.read("{ viewer { owner } }")
    assert documents.read(long) is not kept
    rest = "x" * (LONGEST_REMEMBERED - 40)
    for number in range(REMEMBERED // LONGEST_REMEMBERED - 1):
        documents.read(f"# {rest}\nquery Q{number} {{ viewer {{ role }} }}")
    assert documents.read("{ viewer { role } }") is first
    for number in range(REMEMBERED // LONGEST_REMEMBERED + 1):
        documents.read(f"# {rest}\nquery R{number} {{ viewer {{ role }} }}")
    assert documents.read("{ viewer { role } }") is not first
