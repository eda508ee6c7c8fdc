"""Executes what is selected of an object: its plain fields in one go, then each that has to be resolved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from graphql import Executor, GraphQLFieldResolver, GraphQLOutputType, Undefined
from graphql.pyutils import Path
from typing_extensions import override

from graphql_plans.arguments import arguments
from graphql_plans.completion import Step, gathered, settle
from graphql_plans.shapes import Field, Selection, UnplannedField
from graphql_plans.source import Reader


class Executable(Protocol):
    @property
    def key(self) -> str: ...

    def execute(self, executor: Executor[Any], source: Any, parent: Path | None) -> Any:
        """The completed value, or an awaitable of it."""


class Fields:
    """What is selected of an object."""

    def __init__(self, selection: Selection, unusual: Callable[[], None]) -> None:
        self._type = selection.type
        self._grouped = selection.grouped
        self._unusual = unusual
        self.read: Reader
        self.resolved: tuple[Executable, ...]

    def execute(self, executor: Executor[Any], source: Any, path: Path | None) -> Any:
        try:
            results = self.read(source)
        except Exception:  # noqa: BLE001  graphql-core finds the place, and the words
            self._unusual()
            return executor.execute_fields(self._type, source, path, self._grouped, None)
        waiting: list[str] = []
        try:
            for field in self.resolved:
                result = field.execute(executor, source, path)
                if result is Undefined:
                    del results[field.key]
                    continue
                results[field.key] = result
                if executor.is_awaitable(result):
                    waiting.append(field.key)
        except Exception:
            settle(executor, [results[key] for key in waiting])
            raise
        return gathered(results, waiting) if waiting else results

    async def execute_serially(self, executor: Executor[Any], source: Any) -> Any:
        results = self.read(source)
        for field in self.resolved:
            result = field.execute(executor, source, None)
            results[field.key] = await result if executor.is_awaitable(result) else result
            if results[field.key] is Undefined:
                del results[field.key]
        return results


class ResolvedField:
    """Calls its resolver, and completes what that gives."""

    def __init__(self, field: Field, resolve: GraphQLFieldResolver | None, unusual: Callable[[], None]) -> None:
        self.key = field.key
        self.details = field.details
        self.type: GraphQLOutputType = field.definition.type
        self.called = f"{field.parent.name}.{field.details[0].node.name.value}"
        self._parent = field.parent
        self._definition = field.definition
        self._resolve = resolve
        self._nodes = [each.node for each in field.details]
        self._arguments = arguments(field.definition, self._nodes[0])
        self._unusual = unusual
        self.step: Step

    def execute(self, executor: Executor[Any], source: Any, parent: Path | None) -> Any:
        path = Path(parent, self.key, self._parent.name)
        try:
            given = self._arguments(executor.variable_values)
            resolve = self._resolve or executor.field_resolver
            result = resolve(source, self._info(executor, path), **given)
            return self._completed(executor, path, result)
        except Exception as error:  # noqa: BLE001  whatever a resolver raised
            return self.failed(executor, error, self.type, path)

    def _completed(self, executor: Executor[Any], path: Path, result: Any) -> Any:
        if executor.is_awaitable(result):
            return self._resolved(executor, path, result)
        completed = self.step.complete(executor, path, path, result)
        return self._awaited(executor, path, completed) if executor.is_awaitable(completed) else completed

    async def _resolved(self, executor: Executor[Any], path: Path, result: Awaitable[Any]) -> Any:
        try:
            completed = self.step.complete(executor, path, path, await result)
            return await completed if executor.is_awaitable(completed) else completed
        except Exception as error:  # noqa: BLE001  whatever a resolver raised
            return self.failed(executor, error, self.type, path)

    async def _awaited(self, executor: Executor[Any], path: Path, completed: Awaitable[Any]) -> Any:
        try:
            return await completed
        except Exception as error:  # noqa: BLE001  whatever a resolver raised
            return self.failed(executor, error, self.type, path)

    def by_core(
        self, executor: Executor[Any], type: GraphQLOutputType, at: Path, path: Path, value: Any
    ) -> Any:
        self._unusual()
        return executor.complete_value(type, self.details, self._info(executor, at), path, value, None)

    def awaited_item(
        self, executor: Executor[Any], type: GraphQLOutputType, at: Path, path: Path, item: Any
    ) -> Awaitable[Any]:
        self._unusual()
        return executor.complete_awaitable_list_item_value(
            item, type, self.details, self._info(executor, at), path, None
        )

    def failed(self, executor: Executor[Any], error: Exception, type: GraphQLOutputType, path: Path) -> None:
        executor.handle_field_error(error, type, self.details, path)

    def _info(self, executor: Executor[Any], path: Path) -> Any:
        return executor.build_resolve_info(self._definition, self._nodes, self._parent, path)


class AttributeField(ResolvedField):
    """Reads an attribute that has resolvers somewhere below."""

    def __init__(self, field: Field, attribute: str, unusual: Callable[[], None]) -> None:
        super().__init__(field, None, unusual)
        self._attribute = attribute

    @override
    def execute(self, executor: Executor[Any], source: Any, parent: Path | None) -> Any:
        path = Path(parent, self.key, self._parent.name)
        try:
            value = getattr(source, self._attribute)
        except Exception:  # noqa: BLE001  graphql-core finds the words
            value = _unread
        if callable(value):
            self._unusual()
            return executor.execute_field(self._parent, source, self.details, path, None)
        try:
            return self._completed(executor, path, value)
        except Exception as error:  # noqa: BLE001  whatever a resolver raised
            return self.failed(executor, error, self.type, path)


def _unread() -> None:
    """Stands for an attribute that could not be read."""


class FieldByCore:
    """Executed by graphql-core."""

    def __init__(self, field: UnplannedField, unusual: Callable[[], None]) -> None:
        self.key = field.key
        self._field = field
        self._unusual = unusual

    def execute(self, executor: Executor[Any], source: Any, parent: Path | None) -> Any:
        self._unusual()
        field = self._field
        path = Path(parent, field.key, field.parent.name)
        return executor.execute_field(field.parent, source, field.details, path, None)
