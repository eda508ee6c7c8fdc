"""What a root field needs of its caller: said where it is resolved, and checked before it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from strawberry.utils.str_converters import to_camel_case

from domain.tenancy.permissions import Permission, authorise
from schema.auditing import audited
from schema.context import Ask

P = ParamSpec("P")
R = TypeVar("R")

Change = Callable[Concatenate[Ask, P], Awaitable[R]]

_MARK = "__permission__"
_AUDITED = "__audited__"


def needs(
    permission: Permission,
) -> Callable[[Callable[Concatenate[Ask, P], R]], Callable[Concatenate[Ask, P], R]]:
    """The resolver is run for callers with this permission; the others have the error FORBIDDEN."""

    def decorate(resolver: Callable[Concatenate[Ask, P], R]) -> Callable[Concatenate[Ask, P], R]:
        name = to_camel_case(resolver.__name__)

        @wraps(resolver)
        def checked(info: Ask, *args: P.args, **kwargs: P.kwargs) -> R:
            authorise(info.context.caller, permission)
            return resolver(info, *args, **kwargs)

        @wraps(resolver)
        async def checked_async(info: Ask, *args: P.args, **kwargs: P.kwargs) -> object:
            authorise(info.context.caller, permission)
            with info.context.resolving(name):
                return await cast(Awaitable[object], resolver(info, *args, **kwargs))

        # An async resolver has to stay one that can be seen to be: only those are called directly.
        marked = checked_async if iscoroutinefunction(resolver) else checked
        setattr(marked, _MARK, permission)
        return cast(Callable[Concatenate[Ask, P], R], marked)

    return decorate


def changes(permission: Permission) -> Callable[[Change[P, R]], Change[P, R]]:
    """As `needs`, for mutations: each is in the audit log, also when its caller may not."""

    def decorate(resolver: Change[P, R]) -> Change[P, R]:
        operation = to_camel_case(resolver.__name__)

        @wraps(resolver)
        async def checked(info: Ask, *args: P.args, **kwargs: P.kwargs) -> R:
            async def act() -> R:
                authorise(info.context.caller, permission)
                return await resolver(info, *args, **kwargs)

            with info.context.resolving(operation):
                return cast(R, await audited(info.context, operation, kwargs, act))

        setattr(checked, _MARK, permission)
        setattr(checked, _AUDITED, True)
        return cast(Change[P, R], checked)

    return decorate


def is_audited(resolver: Callable[..., Any]) -> bool:
    return getattr(resolver, _AUDITED, False)


def permission_of(resolver: Callable[..., Any]) -> Permission | None:
    """What `needs` says of it; None when it says nothing."""
    return getattr(resolver, _MARK, None)
