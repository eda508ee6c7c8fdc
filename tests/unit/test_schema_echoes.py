"""Errors repeat little of what was sent, and nothing of what may hold a secret."""

from __future__ import annotations

from typing import Any

import pytest

from schema.echoes import MOST, shortened
from tests.support.face import Face

CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { created } }"
SECRET = "hunter2"
RUN = {"run": {"handler": "echo", "payload": {"password": SECRET}}}
LONG = "x" * 1_000


async def messages(query: str, **variables: Any) -> list[str]:
    result = await Face().run(query, **variables)
    assert "data" not in result.body
    return [error["message"] for error in result.body["errors"]]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"title": "a", "action": RUN, "nope": 1}, "unknown field 'nope', found: {…}."),
        ({"titel": SECRET, "action": RUN}, "unknown field 'titel'. Did you mean 'title'? Found: {…}."),
        ({"title": {"a": SECRET}}, "at .title: String cannot represent a non string value: {…}"),
        ([SECRET], "to be an object, found: […]."),
        ({"title": "a", "priority": LONG}, f"non-integer value: '{'x' * (MOST - 1)}…"),
        ({"title": "a", LONG: 1}, f"unknown field '{'x' * MOST}…', found: {{…}}."),
        ({"title": "a", "priority": "high"}, "Int cannot represent non-integer value: 'high'"),
    ],
)
async def test_of_a_variable_only_what_is_short_and_plain_is_repeated(given: object, told: str) -> None:
    said = await messages(CREATE, input=given)
    assert any(message.endswith(told) for message in said), said
    assert SECRET not in str(said)
    assert all(len(message) < 400 for message in said)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            '{title: "a", nope: 1, action: {run: {handler: "x", payload: {p: "hunter2"}}}}',
            "'nope', found: {…}.",
        ),
        ('{title: {a: "hunter2"}}', "String cannot represent a non string value: {…}"),
        ('["hunter2"]', "to be an object, found: […]."),
        (f'{{title: "a", priority: "{LONG}"}}', f'non-integer value: "{"x" * (MOST - 1)}…'),
    ],
)
async def test_of_what_the_document_says_too(given: str, told: str) -> None:
    said = await messages(f"mutation {{ createTask(input: {given}) {{ created }} }}")
    assert any(message.endswith(told) for message in said), said
    assert SECRET not in str(said)


def test_a_name_that_looks_like_the_end_of_a_message_hides_nothing_behind_it() -> None:
    told = f"Expected 'A' not to include unknown field 'b, found: 1', found: {{'password': '{LONG}'}}."
    assert len(shortened(told)) < 200


def test_other_messages_stay_as_they_are() -> None:
    for message in ("`first` must be from 1 to 100; it is 500.", "Cannot query field 'a' on type 'Query'."):
        assert shortened(message) == message
