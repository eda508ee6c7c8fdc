"""Lists of tasks as SQL: conditions from a filter, and a page by keyset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from domain.paging import PageRequest
from domain.tasks.listing import TaskFilter, TaskOrder, TaskPlace


@dataclass(frozen=True, slots=True)
class Order:
    column: str
    descending: bool = False


ORDERS = {
    TaskOrder.SCHEDULED_AT_ASC: Order("scheduled_at"),  # tasks_by_due
    TaskOrder.SCHEDULED_AT_DESC: Order("scheduled_at", descending=True),  # tasks_by_due
    TaskOrder.CREATED_AT_DESC: Order("created_at", descending=True),  # tasks_by_creation
    TaskOrder.UPDATED_AT_DESC: Order("updated_at", descending=True),  # tasks_by_update
}

Where = list[str]
Arguments = list[Any]

_LABELLED = "id in (select task_id from task_labels where tenant = $1 and name = {} and value = {})"
_WORDED = "id in (select task_id from task_words where tenant = $1 and words @@ to_tsquery('simple', {}))"


def conditions(tenant: str, wanted: TaskFilter) -> tuple[Where, Arguments]:
    where: Where = ["tenant = $1"]
    arguments: Arguments = [tenant]

    def also(condition: str, *values: object) -> None:
        places = []
        for value in values:
            arguments.append(value)
            places.append(f"${len(arguments)}")
        where.append(condition.format(*places))

    if wanted.states is not None:
        also("state = any({}::task_state[])", [state.value for state in wanted.states])
    if wanted.queues is not None:
        also("queue = any({})", list(wanted.queues))
    if wanted.owner is not None:
        also("owner = {}", wanted.owner)
    if wanted.due_after is not None:
        also("scheduled_at >= {}", wanted.due_after)
    if wanted.due_before is not None:
        also("scheduled_at < {}", wanted.due_before)
    for name, value in wanted.labels:
        also(_LABELLED, name, value)
    if wanted.search is not None:
        also(_WORDED, prefix_query(wanted.search))
    return where, arguments


def prefix_query(search: str) -> str:
    """Every word, each by prefix, as a tsquery. Without any word it matches nothing."""
    words = re.findall(r"\w+", search.lower())
    return " & ".join(f"{word}:*" for word in words)


def page_clause(
    where: Where, arguments: Arguments, order: Order, request: PageRequest[TaskPlace]
) -> tuple[Where, str]:
    """Conditions with those of the page added, and what follows them; `arguments` grows to match.

    One row more than the page has is read, to know whether more follows.
    """
    where = list(where)
    for place, beyond in ((request.after, not order.descending), (request.before, order.descending)):
        if place is not None:
            arguments += [place.at, place.id]
            sign = ">" if beyond else "<"
            where.append(f"({order.column}, id) {sign} (${len(arguments) - 1}, ${len(arguments)})")
    direction = "desc" if order.descending != request.backwards else "asc"
    tail = f"order by {order.column} {direction}, id {direction} limit {request.size + 1}"
    return where, tail
