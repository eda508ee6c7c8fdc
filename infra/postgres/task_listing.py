"""Lists of tasks as SQL: conditions from a filter, and a page by keyset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.paging import PageRequest
from domain.tasks.listing import TaskFilter, TaskOrder, TaskPlace
from domain.tasks.words import words


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

MATCHES = 10_000
"""Up to so many tasks that match words and labels are looked up one by one."""

OWNED = 2_000
"""With more of one owner, walking all tasks in the order asked for comes upon a page of them sooner."""

_LABELLED = "select task_id from task_labels where tenant = $1 and name = {} and value = {}"  # task_labels_pkey
_OWNED = "select id as task_id from tasks where tenant = $1 and owner = $2"  # tasks_by_owner
_WORDED = "select task_id from task_words where tenant = $1 and words @@ {}::text::tsquery"  # task_words_pkey

# By task_words_words, which no condition may use under a policy that PostgreSQL does not know to leak nothing.
_FOUND = "select task_id from find_words_v1($1, {}::text, %s) as task_id"


class Conditions:
    """Conditions and the values bound to them, the tenant first."""

    def __init__(self, tenant: str) -> None:
        self.where: Where = []
        self.arguments: Arguments = [tenant]

    def add(self, condition: str, *values: object) -> None:
        """`condition` has a pair of braces for each value."""
        places = []
        for value in values:
            self.arguments.append(value)
            places.append(f"${len(self.arguments)}")
        self.where.append(condition.format(*places))


def matches(tenant: str, wanted: TaskFilter) -> tuple[str, Arguments] | None:
    """A statement for the ids of up to one more than MATCHES tasks with the words and labels asked for."""
    found = Conditions(tenant)
    enough = "null" if wanted.labels else MATCHES + 1
    _add_matches(found, wanted, "{}", _FOUND % enough)
    if not found.where:
        return None
    return f"{' intersect '.join(found.where)} limit {MATCHES + 1}", found.arguments


def owned(tenant: str, wanted: TaskFilter, order: Order) -> tuple[str, Arguments] | None:
    """One for up to one more than OWNED tasks of the owner asked for; None where their index has the order."""
    if wanted.owner is None or order.column == "scheduled_at":
        return None
    return f"{_OWNED} limit {OWNED + 1}", [tenant, wanted.owner]


def conditions(tenant: str, wanted: TaskFilter, ids: Sequence[UUID] | None = None) -> tuple[Where, Arguments]:
    """`ids`, when given, stand for what `matches` or `owned` found."""
    found = Conditions(tenant)
    found.add("tenant = $1")
    if ids is not None:
        found.add("id = any({})", list(ids))
    else:
        _add_matches(found, wanted, "id in ({})", _WORDED)
    if wanted.states is not None:
        # As literals: only for those can the planner tell which partial index holds them.
        states = ", ".join(f"'{state.value}'" for state in wanted.states)
        found.add(f"state in ({states})" if states else "false")
    if wanted.queues is not None:
        found.add("queue = any({})", list(wanted.queues))
    if wanted.schedule is not None:
        found.add("schedule_id = {}", wanted.schedule)
    if wanted.owner is not None:
        found.add("owner = {}", wanted.owner)
    if wanted.due_after is not None:
        found.add("scheduled_at >= {}", wanted.due_after)
    if wanted.due_before is not None:
        found.add("scheduled_at < {}", wanted.due_before)
    return found.where, found.arguments


def _add_matches(found: Conditions, wanted: TaskFilter, form: str, worded: str) -> None:
    for name, value in wanted.labels:
        found.add(form.format(_LABELLED), name, value)
    if wanted.search is not None:
        found.add(form.format(worded), prefix_query(wanted.search))


def prefix_query(search: str) -> str:
    """Every word, each by prefix, as a tsquery. Without any word it matches nothing."""
    return " & ".join(f"'{word}':*" for word in words(search))


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
