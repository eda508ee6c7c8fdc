"""Mutations that make work due are refused while too much of it is due already."""

from __future__ import annotations

from functools import wraps
from typing import ParamSpec, TypeVar, cast

from domain.resilience.backlogs import Overloaded
from domain.tenancy.permissions import may
from schema.absent import given
from schema.context import Ask
from schema.permissions import Change, permission_of

P = ParamSpec("P")
R = TypeVar("R")


def adds_work(resolver: Change[P, R]) -> Change[P, R]:
    """Outside of what notes it in the audit log: who is refused for this costs PostgreSQL nothing.

    Who may not do it anyway is told that. What a key names already can be asked for again, and only counting
    what would be touched adds nothing.
    """

    @wraps(resolver)
    async def checked(info: Ask, *args: P.args, **kwargs: P.kwargs) -> R:
        context = info.context
        permission = permission_of(resolver)
        if permission is None or may(context.caller, permission):
            try:
                context.backpressure.check(context.caller.tenant)
            except Overloaded:
                if not await _adds_nothing(info, kwargs.get("input")):
                    context.backpressure.count_refused()
                    raise
        return await resolver(info, *args, **kwargs)

    return cast(Change[P, R], checked)


async def _adds_nothing(info: Ask, input: object) -> bool:
    if getattr(input, "dry_run", None):
        return True
    key = given(getattr(input, "key", None))
    return bool(key) and await info.context.tasks.has(info.context.caller, str(key))
