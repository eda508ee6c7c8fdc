"""Which attributes of tasks an operation reads, so that no others are fetched for a list."""

from __future__ import annotations

from collections.abc import Iterator

from graphql_plans.shapes import Field, Items, Leaf, Object, OneOf, Required, Selection, Shape

READ_FROM = {
    "max_attempts": "retry",
    "trace_id": "traceparent",
    "schedule": "schedule_id",
    "progress": "id",
    "attempts": "id",
    "notifications": "id",
    "log": "id",
}
"""By the field of a TaskNode, where the attribute it is read from has another name."""


def task_attributes(shape: Shape) -> frozenset[str] | None:
    """Of all tasks in a value of this shape; None when that cannot be told."""
    try:
        return frozenset(_read(shape))
    except _Unknown:
        return None


class _Unknown(Exception):  # noqa: N818  a way out, not a fault
    """A part is left to graphql-core, which may read anything."""


def _read(shape: Shape) -> Iterator[str]:
    match shape:
        case Required():
            yield from _read(shape.inner)
        case Items():
            yield from _read(shape.item)
        case Object():
            yield from _selected(shape.selection)
        case OneOf():
            for each in shape.objects.values():
                yield from _selected(each.selection)
        case Leaf():
            return
        case _:
            raise _Unknown


def _selected(selection: Selection) -> Iterator[str]:
    for field in selection.fields:
        if not isinstance(field, Field):
            continue
        if selection.type.name == "Task":
            name = field.definition.extensions["strawberry-definition"].python_name
            yield READ_FROM.get(name, name)
        yield from _read(field.shape)
