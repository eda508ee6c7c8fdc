"""Notes every mutation in the audit log: before it is carried out, and how it ended, whoever waits for that.

What has begun is not broken off by its caller's leaving: else they could change something and keep out of the
log what it was, and would not know themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from domain.audit.model import LONGEST_ID, MOST_IDS, Begun, Ended, Outcome
from domain.audit.ports import AuditLog
from domain.errors import Forbidden, Refusal, Unavailable
from schema.context import Context

PATIENCE = 5.0
"""Seconds in which a mutation may come to its end when nobody waits for it any longer: more than PostgreSQL is
given for a piece of work."""


async def audited(
    context: Context, operation: str, asked: Mapping[str, Any], act: Callable[[], Awaitable[object]]
) -> object:
    """What `act` gives. Nothing is done that could not be noted before; raises Unavailable then."""
    caller = context.caller
    trace_id = context.traceparent.split("-")[1]
    begun = Begun(id=context.ids.next(), caller=caller, operation=operation, trace_id=trace_id)
    carrying_out = _carry_out(context.audit_log, begun, _asked(operation, asked), act)
    return await _to_its_end(
        asyncio.create_task(carrying_out, name=operation)  # noqa: TID251  owned by who waits here for its end
    )


async def _carry_out(
    audit_log: AuditLog, begun: Begun, named: tuple[str, ...], act: Callable[[], Awaitable[object]]
) -> object:
    await audit_log.begin(begun)
    try:
        payload = await act()
    except (Exception, asyncio.CancelledError) as fault:
        audit_log.end(begun, _failed(fault, named))
        raise
    audit_log.end(begun, _told(payload, named))
    return payload


async def _to_its_end(mutation: asyncio.Task[object]) -> object:
    """Whoever waits may be cancelled, however often, and is when it has ended."""
    breaking_off: asyncio.TimerHandle | None = None
    while not mutation.done():
        try:
            await asyncio.wait([mutation])
        except asyncio.CancelledError:
            if breaking_off is None:
                breaking_off = asyncio.get_running_loop().call_later(PATIENCE, mutation.cancel)
    if breaking_off is None:
        return mutation.result()
    breaking_off.cancel()
    if not mutation.cancelled():
        mutation.exception()  # it is in the log, and nobody is there to be told
    raise asyncio.CancelledError


def _failed(fault: BaseException, named: tuple[str, ...]) -> Ended:
    refused = isinstance(fault, Refusal | Forbidden)
    if isinstance(fault, asyncio.CancelledError):
        code = "TIMEOUT"
    else:
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
