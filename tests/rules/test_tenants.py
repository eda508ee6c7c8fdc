"""Whatever a repository does for a tenant, it does on a connection that sees that tenant's rows alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.rules.sources import modules, parsed

OF_ALL_TENANTS = {"PostgresAccessTokens"}
"""They are looked up before it is known whose they are; tenants may not read them."""
WORK = {"work", "transaction", "begun"}

Method = ast.FunctionDef | ast.AsyncFunctionDef


def methods() -> Iterator[tuple[str, Method]]:
    for path in modules("infra/postgres"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef) and node.name.startswith("Postgres"):
                for each in node.body:
                    if isinstance(each, Method):
                        yield node.name, each


def takes_tenant(method: Method) -> bool:
    return any(argument.arg == "tenant" for argument in method.args.args)


def unbound(method: Method) -> list[int]:
    """The lines of work on connections that are bound to no tenant."""
    return [
        node.lineno
        for node in ast.walk(method)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in WORK
        and not any(isinstance(given, ast.Name) and given.id == "tenant" for given in node.args)
    ]


def test_work_for_a_tenant_is_bound_to_it() -> None:
    asked = [(owner, method) for owner, method in methods() if takes_tenant(method)]
    assert len(asked) > 30
    wrong = [
        f"{owner}.{method.name}: line {line}"
        for owner, method in asked
        if owner not in OF_ALL_TENANTS
        for line in unbound(method)
    ]
    assert wrong == []
