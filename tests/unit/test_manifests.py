"""Manifests as Relay, Apollo and GraphQL Codegen write them, and why a document in one is not published."""

from __future__ import annotations

import json
from hashlib import md5, sha1
from pathlib import Path

import pytest

from domain.documents.manifests import APOLLO, read_manifest
from domain.documents.model import hash_in, hash_of
from domain.errors import Refusals
from schema.build import build_schema
from schema.documents import LONGEST_REMEMBERED, Documents
from schema.limits import Limits
from schema.publishing import publications

WRITTEN = Path(__file__).parents[1] / "support/manifests"
"""By relay-compiler 21.0.1, @apollo/generate-persisted-query-manifest 1.4.0 and client-preset 6.2.0 of GraphQL
Codegen, of the same documents against our schema. Client-preset 4 writes the same as 6 without the prefix."""
TEXT = "query List { tasks { totalCount } }"
APPENDIX = "query ($id: ID!) {\n  user(id: $id) {\n    name\n  }\n}"
SCHEMA = build_schema()._schema
CHECKED = Documents(SCHEMA)
DIGEST = "7dba4bd717b41f10434822356a93c32b1fb4907b983e854300ad839f84cdcd6e"


def apollo(id: str, **changes: object) -> dict[str, object]:
    operation = {"id": id, "body": TEXT, "name": "List", "type": "query"}
    return {"format": APOLLO, "version": 1, "operations": [operation], **changes}


def told(refused: Refusals) -> list[tuple[tuple[str, ...], str]]:
    return [(each.path, each.message) for each in refused.refusals]


def test_an_id_is_that_of_the_appendix() -> None:
    assert hash_of(APPENDIX) == DIGEST
    assert hash_in(f"sha256:{DIGEST}") == hash_in(DIGEST) == DIGEST
    assert hash_in(f"sha256:{DIGEST.upper()}") is None
    assert hash_in(f"md5:{DIGEST}") is None
    assert hash_in(f"sha256:{DIGEST}\n") is None


@pytest.mark.parametrize(
    "manifest",
    [{hash_of(TEXT): TEXT}, {f"sha256:{hash_of(TEXT)}": TEXT}, apollo(hash_of(TEXT))],
    ids=["Relay and Codegen", "with the prefix", "Apollo"],
)
def test_every_format_is_read(manifest: object) -> None:
    assert read_manifest(manifest) == [TEXT]


@pytest.mark.parametrize("tool", ["relay", "apollo", "codegen"])
def test_what_the_tools_wrote_is_published_under_the_ids_they_gave(tool: str) -> None:
    written = (WRITTEN / f"{tool}.json").read_text()
    made = publications(CHECKED, read_manifest(json.loads(written)))
    assert sorted(each.kind for each in made) == ["mutation", "query", "subscription"]
    assert all(each.name and each.hash in written for each in made)


@pytest.mark.parametrize(
    ("id", "reason"),
    [
        (hash_of("{ other }"), "not the SHA-256 hash of its text"),
        (md5(TEXT.encode(), usedforsecurity=False).hexdigest(), "persistConfig"),
        (sha1(TEXT.encode(), usedforsecurity=False).hexdigest(), "hashAlgorithm"),
    ],
)
def test_an_id_that_is_not_the_hash_is_refused_and_what_to_set_is_told(id: str, reason: str) -> None:
    for manifest in ({id: TEXT}, apollo(id)):
        with pytest.raises(Refusals) as refused:
            read_manifest(manifest)
        [(path, message)] = told(refused.value)
        assert path == (id,)
        assert reason in message


@pytest.mark.parametrize(
    "manifest",
    [
        [],
        None,
        {hash_of(TEXT): 1},
        apollo("", version=2),
        apollo("", format="other"),
        apollo("", operations=None),
        apollo("", operations=[1]),
        apollo("", operations=[{"id": "x"}]),
    ],
)
def test_what_is_no_manifest_is_refused(manifest: object) -> None:
    with pytest.raises(Refusals):
        read_manifest(manifest)


def test_what_can_be_executed_is_published_with_its_name_and_kind() -> None:
    [made] = publications(CHECKED, [TEXT])
    assert (made.hash, made.text, made.name, made.kind) == (hash_of(TEXT), TEXT, "List", "query")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{ taskz { totalCount } }", "Cannot query field 'taskz'"),
        ("{", "Syntax Error"),
        ("fragment F on Task { id }", "never used"),
        ("{ tasks { totalCount } }" + " " * LONGEST_REMEMBERED, "characters"),
    ],
)
def test_what_cannot_be_executed_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(Refusals) as refused:
        publications(CHECKED, [TEXT, text])
    [(path, message)] = told(refused.value)
    assert path == (hash_of(text),)
    assert reason in message


NESTED = """query ($n: Int = 1) { tasks(first: $n) { nodes { id attempts(first: $n) { nodes { id } } } } }"""
MADE = """mutation ($tasks: [CreateTaskInput!]!) { createTasks(input: { tasks: $tasks }) { createdCount } }"""
CALLED_OFF = "mutation ($limit: Int = 1) { cancelTasks(input: { filter: {}, limit: $limit }) { count } }"
LOG = "query ($id: ID!, $last: Int) { task(id: $id) { log(last: $last) { message } } }"


@pytest.mark.parametrize(
    ("text", "most"),
    [
        (NESTED, 1 + 100 * (1 + 1 + 100)),
        (MADE, 10 + 1_000),
        (CALLED_OFF, 10 + 10_000),
        (LOG, 1 + 200),
        ("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", 100),
        ("query Two { tasks(first: 2) { nodes { id } } } query Three { tasks(first: 3) { nodes { id } } }", 4),
    ],
)
def test_a_document_is_published_if_it_may_cost_no_more_than_is_allowed_whatever_its_variables(
    text: str, most: int
) -> None:
    assert len(publications(Documents(SCHEMA, Limits(cost=most)), [text])) == 1
    with pytest.raises(Refusals) as refused:
        publications(Documents(SCHEMA, Limits(cost=most - 1)), [text])
    [(path, message)] = told(refused.value)
    assert path == (hash_of(text),)
    assert f"may cost {most} points; {most - 1} are allowed" in message


def test_the_largest_page_is_that_of_the_installation() -> None:
    assert publications(Documents(SCHEMA, Limits(page=20, cost=1 + 20 * (1 + 1 + 20))), [NESTED])
    with pytest.raises(Refusals):
        publications(Documents(SCHEMA, Limits(page=20)), ["{ tasks(first: 21) { nodes { id } } }"])
