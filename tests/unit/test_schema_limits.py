"""Each limit of a document can be set and has a code of its own; the schema is told where it may be."""

from __future__ import annotations

from typing import Any

import pytest

from api.main import limits_of
from domain.tenancy.model import Caller, Role
from schema.build import build_schema
from schema.introspection import Audience
from schema.limits import Limits
from schema.operations import OperationRequest, Operations
from tests.support.engine_fakes import settings_of
from tests.support.face import TENANT, Face


async def codes(limits: Limits, query: str, variables: dict[str, Any] | None = None) -> set[str]:
    operations = Operations(build_schema(), limits=limits)
    result = await operations.execute(OperationRequest(query, variables), Face().context())
    return {error["extensions"]["code"] for error in result.body.get("errors", ())}


LABELS = "query ($f: TaskFilter) { tasks(filter: $f) { nodes { id } } }"


@pytest.mark.parametrize(
    ("limits", "query", "code"),
    [
        (Limits(characters=20), "{ viewer { tenant } }", "DOCUMENT_TOO_LARGE"),
        (Limits(tokens=4), "{ viewer { tenant } }", "TOO_MANY_TOKENS"),
        (Limits(depth=1), "{ viewer { tenant } }", "TOO_DEEP"),
        (Limits(aliases=1), "{ viewer { a: tenant b: tenant } }", "TOO_MANY_ALIASES"),
        (Limits(root_fields=1), "{ viewer { tenant } handlers { name } }", "TOO_MANY_ROOT_FIELDS"),
        (
            Limits(root_fields=1),
            "{ ...F } fragment F on Query { viewer { tenant } handlers { name } }",
            "TOO_MANY_ROOT_FIELDS",
        ),
        (Limits(directives=0), "{ viewer { tenant @skip(if: false) } }", "TOO_MANY_DIRECTIVES"),
        (Limits(directives=0), "{ ... @skip(if: false) { viewer { tenant } } }", "TOO_MANY_DIRECTIVES"),
        (Limits(introspection="nobody"), "{ __schema { queryType { name } } }", "INTROSPECTION_DISABLED"),
        (Limits(introspection="nobody"), '{ __type(name: "Task") { name } }', "INTROSPECTION_DISABLED"),
    ],
)
async def test_each_limit_has_a_code_and_is_set(limits: Limits, query: str, code: str) -> None:
    assert await codes(limits, query) == {code}
    assert await codes(Limits(), query) == set()


async def test_a_limit_is_met_by_what_is_just_within_it() -> None:
    limits = Limits(characters=21, tokens=9, depth=2, aliases=0, root_fields=1, directives=0)
    assert await codes(limits, "{ viewer { tenant } }") == set()


async def test_lists_in_variables_have_limits_that_are_set() -> None:
    labels = {"f": {"states": ["FAILED"] * 3}}
    assert await codes(Limits(items=2), LABELS, labels) == {"LIST_TOO_LONG"}
    assert await codes(Limits(items_in_all=2), LABELS, labels) == {"LISTS_TOO_LONG"}
    assert await codes(Limits(items=3, items_in_all=3), LABELS, labels) == set()


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ viewer { tenat } }", None),
        (LABELS, {"f": {"states": ["FAILD"]}}),
        ('mutation { createTask(input: { title: "a", titel: "b" }) { task { id } } }', None),
    ],
)
async def test_what_is_not_told_is_not_suggested(query: str, variables: dict[str, Any] | None) -> None:
    request = OperationRequest(query, variables)
    audiences: tuple[Audience, ...] = ("everyone", "administrators", "nobody")
    for audience in audiences:
        operations = Operations(build_schema(), limits=Limits(introspection=audience))
        result = await operations.execute(request, Face().context())
        assert ("Did you mean" in str(result.body)) is (audience == "everyone")
        assert {error["extensions"]["code"] for error in result.body["errors"]} == {"INVALID"}


async def test_the_name_of_a_type_is_always_told() -> None:
    assert await codes(Limits(introspection="nobody"), "{ viewer { __typename } }") == set()


EVERYONE = [Caller(tenant=TENANT, role=role, owner=owner) for role in Role for owner in (None, "alice")]


@pytest.mark.parametrize(
    ("audience", "told"),
    [("everyone", EVERYONE), ("administrators", [Caller(tenant=TENANT, role=Role.ADMIN)]), ("nobody", [])],
)
@pytest.mark.parametrize("field", ["__schema { queryType { name } }", '__type(name: "Task") { name }'])
async def test_the_schema_is_told_to_its_audience_alone(
    audience: Audience, told: list[Caller], field: str
) -> None:
    operations, face = Operations(build_schema(), limits=Limits(introspection=audience)), Face()
    for text in (f"{{ {field} }}", f"{{ ...F }} fragment F on Query {{ {field} }}"):
        for caller in EVERYONE:
            result = await operations.execute(OperationRequest(text), face.context(caller))
            assert (result.body.keys() == {"data"}) is (caller in told)
            codes = {error["extensions"]["code"] for error in result.body.get("errors", ())}
            assert codes == (set() if caller in told else {"INTROSPECTION_DISABLED"})


KNOWN = {"authentication": "required"}
PRODUCTION = {"environment": "production"}


@pytest.mark.parametrize(
    ("settings", "audience"),
    [
        ({}, "everyone"),
        (KNOWN, "everyone"),
        ({"introspection": False}, "nobody"),
        (PRODUCTION, "nobody"),
        (PRODUCTION | {"introspection": True}, "everyone"),
        (PRODUCTION | KNOWN, "administrators"),
        (PRODUCTION | KNOWN | {"introspection": False}, "nobody"),
        (KNOWN | {"documents": "trusted"}, "administrators"),
        (KNOWN | {"documents": "trusted", "introspection": True}, "administrators"),
        (PRODUCTION | KNOWN | {"documents": "trusted"}, "administrators"),
        (KNOWN | {"documents": "trusted", "introspection": False}, "nobody"),
    ],
)
def test_the_settings_say_to_whom_the_schema_is_told(settings: dict[str, Any], audience: Audience) -> None:
    assert limits_of(settings_of(**settings)).introspection == audience


def test_the_limits_of_settings_are_by_default_those_of_the_schema() -> None:
    assert limits_of(settings_of()) == Limits()
