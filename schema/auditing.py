"""Notes every mutation in the audit log: before it is carried out, and how it ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from domain.audit.model import LONGEST_ID, MOST_IDS, Begun, Ended, Outcome
from domain.errors import Forbidden, Refusal, Unavailable
from schema.context import Context


async def audited(
    context: Context, operation: str, asked: Mapping[str, Any], act: Callable[[], Awaitable[object]]
) -> object:
    """What `act` gives. Nothing is done that could not be noted before; raises Unavailable then."""
    caller = context.caller
    trace_id = context.traceparent.split("-")[1]
    begun = Begun(id=context.ids.next(), caller=caller, operation=operation, trace_id=trace_id)
    await context.audit_log.begin(begun)
    named = _asked(operation, asked)
    try:
        payload = await act()
    except Exception as fault:
        context.audit_log.end(begun, _failed(fault, named))
        raise
    context.audit_log.end(begun, _told(payload, named))
    return payload


def _failed(fault: Exception, named: tuple[str, ...]) -> Ended:
    refused = isinstance(fault, Refusal | Forbidden)
    code = fault.code if isinstance(fault, Refusal | Forbidden | Unavailable) else "INTERNAL"
    return Ended(outcome=Outcome.REFUSED if refused else Outcome.FAILED, code=code, ids=named)


def _told(payload: object, named: tuple[str, ...]) -> Ended:
    errors = getattr(payload, "errors", ())
    if errors:
        return Ended(outcome=Outcome.REFUSED, code=errors[0].code.value, ids=named)
    ids = _touched(payload) or named
    count = getattr(payload, "count", None)
    return Ended(outcome=Outcome.DONE, ids=ids[:MOST_IDS], count=len(ids) if count is None else count)


def _touched(payload: object) -> tuple[str, ...]:
    """The ids of what the payload shows; queues have names."""
    many: Sequence[object] = getattr(payload, "tasks", ())
    shown = [getattr(payload, name, None) for name in ("task", "schedule", "webhook_secret")]
    found = [str(getattr(each, "id")) for each in (*many, *shown) if each is not None]  # noqa: B009  of any type
    if (deleted := getattr(payload, "deleted_id", None)) is not None:
        found.append(str(deleted))
    return tuple(found)


def _asked(operation: str, asked: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids in the arguments, as far as there are some, or the name of a queue; whatever it is an id of."""
    word = "name" if operation.endswith("Queue") else "id"
    named = (asked.get(word), getattr(asked.get("input"), word, None))
    several: Sequence[object] = asked.get("ids") or ()
    return tuple(each[:LONGEST_ID] for each in (*named, *several[:MOST_IDS]) if isinstance(each, str))
