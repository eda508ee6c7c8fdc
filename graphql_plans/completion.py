"""Completes values that have resolvers below them, step by step as graphql-core does.

What a step does not know it hands to graphql-core's executor at that place: the value as it is resolved so far,
so that no resolver is called twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, Protocol

from graphql import Executor, GraphQLAbstractType, GraphQLList, GraphQLOutputType
from graphql.execution.executor import collect_iterator_awaitables
from graphql.pyutils import Path, gather_with_cancel

from graphql_plans.ordinary import Ordinary, Unusual
from graphql_plans.source import Reader


class Site(Protocol):
    """The field whose value is completed."""

    def by_core(
        self, executor: Executor[Any], type: GraphQLOutputType, at: Path, path: Path, value: Any
    ) -> Any:
        """What graphql-core completes it to; counted."""

    def awaited_item(
        self, executor: Executor[Any], type: GraphQLOutputType, at: Path, path: Path, item: Any
    ) -> Awaitable[Any]:
        """What graphql-core completes an item to that it has to await first."""

    def failed(self, executor: Executor[Any], error: Exception, type: GraphQLOutputType, path: Path) -> None:
        """Collects an error; raises it where there must not be null."""


class Step(Protocol):
    """Completes values of one type; `at` is the path of the field, `path` that of the value."""

    def complete(self, executor: Executor[Any], at: Path, path: Path, value: Any) -> Any:
        """The completed value, or an awaitable of it."""


class Selected(Protocol):
    def execute(self, executor: Executor[Any], source: Any, path: Path | None) -> Any:
        """What was selected of an object, or an awaitable of it."""


class ReadWhole:
    """A value without resolvers below."""

    def __init__(self, site: Site, type: GraphQLOutputType) -> None:
        self._site = site
        self._type = type
        self.read: Reader

    def complete(self, executor: Executor[Any], at: Path, path: Path, value: Any) -> Any:
        try:
            return self.read(value)
        except Exception:  # noqa: BLE001  graphql-core finds the place, and the words
            return self._site.by_core(executor, self._type, at, path, value)


class ByCore:
    def __init__(self, site: Site, type: GraphQLOutputType) -> None:
        self._site = site
        self._type = type

    def complete(self, executor: Executor[Any], at: Path, path: Path, value: Any) -> Any:
        return self._site.by_core(executor, self._type, at, path, value)


class NotNull:
    def __init__(self, inner: Step, called: str) -> None:
        self._inner = inner
        self._called = called

    def complete(self, executor: Executor[Any], at: Path, path: Path, value: Any) -> Any:
        completed = self._inner.complete(executor, at, path, value)
        if completed is None:
            raise TypeError(f"Cannot return null for non-nullable field {self._called}.")
        return completed


class OneObject:
    def __init__(
        self,
        site: Site,
        type: GraphQLOutputType,
        selected: Selected,
        python_class: type | None,
        ordinary: Ordinary,
    ) -> None:
        self._site = site
        self._type = type
        self._selected = selected
        self._python_class = python_class
        self._ordinary = ordinary

    def complete(self, executor: Executor[Any], at: Path, path: Path, value: Any) -> Any:
        if value is None:
            return None
        if not self._knows(value):
            return self._site.by_core(executor, self._type, at, path, value)
        return self._selected.execute(executor, value, path)

    def _knows(self, value: Any) -> bool:
        if self._python_class is not None:
            return value.__class__ is self._python_class
        if value.__class__ not in self._ordinary:
            try:
                self._ordinary.admit(value)
            except Unusual:
                return False
        return True


class OneOfObjects:
    def __init__(self, site: Site, type: GraphQLAbstractType, selected: Mapping[type, Selected]) -> None:
        self._site = site
        self._type = type
        self._selected = selected

    def complete(self, executor: Executor[Any], at: Path, path: Path, value: Any) -> Any:
        if value is None:
            return None
        selected = self._selected.get(value.__class__)
        if selected is None:
            return self._site.by_core(executor, self._type, at, path, value)
        return selected.execute(executor, value, path)


class EachItem:
    def __init__(self, site: Site, type: GraphQLList[Any], item: Step) -> None:
        self._site = site
        self._type = type
        self._item_type: GraphQLOutputType = type.of_type
        self._item = item

    def complete(self, executor: Executor[Any], at: Path, path: Path, value: Any) -> Any:
        if value is None:
            return None
        if value.__class__ is not list and value.__class__ is not tuple:
            return self._site.by_core(executor, self._type, at, path, value)
        completed: list[Any] = []
        waiting: list[int] = []
        items = iter(value)
        try:
            for index, item in enumerate(items):
                done = self._complete_item(executor, at, Path(path, index, None), item)
                completed.append(done)
                if executor.is_awaitable(done):
                    waiting.append(index)
        except Exception:
            settle(executor, [completed[index] for index in waiting], items)
            raise
        return gathered(completed, waiting) if waiting else completed

    def _complete_item(self, executor: Executor[Any], at: Path, path: Path, item: Any) -> Any:
        if executor.is_awaitable(item):
            return self._site.awaited_item(executor, self._item_type, at, path, item)
        try:
            completed = self._item.complete(executor, at, path, item)
        except Exception as error:  # noqa: BLE001  whatever a resolver raised
            return self._site.failed(executor, error, self._item_type, path)
        if executor.is_awaitable(completed):
            return self._awaited(executor, completed, path)
        return completed

    async def _awaited(self, executor: Executor[Any], completed: Awaitable[Any], path: Path) -> Any:
        try:
            return await completed
        except Exception as error:  # noqa: BLE001  whatever a resolver raised
            return self._site.failed(executor, error, self._item_type, path)


async def gathered(values: Any, waiting: list[Any]) -> Any:
    """A list or dict whose values at these places are awaited, together."""
    if len(waiting) == 1:
        values[waiting[0]] = await values[waiting[0]]
        return values
    results = await gather_with_cancel(*(values[each] for each in waiting))
    for each, result in zip(waiting, results, strict=True):
        values[each] = result
    return values


def settle(executor: Executor[Any], waiting: list[Any], rest: Iterable[Any] = ()) -> None:
    """What was begun when another part failed is not left alone: its errors are looked at, by nobody."""
    waiting += collect_iterator_awaitables(iter(rest), executor.is_awaitable)
    if waiting:
        executor.settle_in_background(waiting)
