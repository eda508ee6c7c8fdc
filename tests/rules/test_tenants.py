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


def attributes(*nodes: ast.AST) -> list[ast.Attribute]:
    return [each for node in nodes for each in ast.walk(node) if isinstance(each, ast.Attribute)]


def working(name: str, parts: dict[str, Method]) -> bool:
    """Whether the method takes a connection, by itself or through others of its class."""
    others = {other: method for other, method in parts.items() if other != name}
    names = {each.attr for each in attributes(parts[name])}
    return bool(names & WORK) or any(working(other, others) for other in names & others.keys())


def nested(tree: ast.Module) -> list[int]:
    """The lines at which a connection is taken while one is held."""
    lines: list[int] = []
    for owner in ast.walk(tree):
        if isinstance(owner, ast.ClassDef | ast.Module):
            parts = {each.name: each for each in owner.body if isinstance(each, Method)}
            takes = {name for name in parts if working(name, parts)} | WORK
            for method in parts.values():
                lines += [line for held in _held(method, takes) for line in held]
    return lines


def _held(method: Method, takes: set[str]) -> Iterator[list[int]]:
    for block in ast.walk(method):
        if isinstance(block, ast.AsyncWith) and any(each.attr in takes for each in attributes(*block.items)):
            yield [each.lineno for each in attributes(*block.body) if each.attr in takes]


def test_work_within_work_is_seen() -> None:
    """It might wait for the connection that it holds: there may be no other."""
    text = """
class PostgresQueues:
    async def find(self): return await self.all()
    async def all(self):
        async with self._database.work("all", tenant): ...
    async def change(self):
        async with self._database.transaction("change", tenant):
            await self.find()
    async def other(self):
        async with self._database.work("a"), self.writing(): ...
        async with self._database.work("a"):
            async with self._database.begun("b"): ...
"""
    assert nested(ast.parse(text)) == [8, 12]


def test_no_repository_takes_a_connection_while_it_holds_one() -> None:
    found = {path.name: lines for path in modules("infra/postgres") if (lines := nested(parsed(path)))}
    assert found == {}
