"""Marks a function as a handler, leaving it as callable as it was."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, overload

from carillon.payload import Payload, payload_of

Function = TypeVar("Function", bound=Callable[..., Any])

NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
MARK = "__carillon__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A handler, as its mark describes it."""

    name: str
    description: str | None
    function: Callable[..., Any]
    is_async: bool
    payload: Payload


@overload
def handler(name: Function) -> Function: ...


@overload
def handler(name: str | None = None) -> Callable[[Function], Function]: ...


def handler(name: str | Function | None = None) -> Function | Callable[[Function], Function]:
    """Mark an async or plain function as the handler called `name` (its own name, when absent).

    Its parameters are the fields of its payload; or its one parameter, typed as a dataclass, TypedDict or
    pydantic model, is the payload. A parameter annotated `Context` gets the context. Nothing is registered:
    Carillon reads the marks in the modules it is told to load. Raises TypeError or ValueError where the
    function cannot be a handler.
    """
    if callable(name):
        return _mark(name, None)
    return lambda function: _mark(function, name)


def marked(function: object) -> Marked | None:
    """The mark of a handler; None for anything else."""
    mark = getattr(function, MARK, None) if inspect.isfunction(function) else None
    if not isinstance(mark, Marked) or not inspect.isfunction(function):
        return None
    # A decorator put above the mark copies it (functools.wraps): what it returns is what is to run.
    return replace(mark, function=function, is_async=inspect.iscoroutinefunction(function))


def _mark(function: Function, name: str | None) -> Function:
    if not inspect.isfunction(function):
        raise TypeError(f"a handler is a function, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"handler {function.__name__}: a handler returns its result and cannot yield")
    name = function.__name__ if name is None else name
    if not NAME.fullmatch(name):
        raise ValueError(f"handler {name!r}: a name is 1 to 100 letters, digits, and the signs _ . -")
    mark = Marked(
        name=name,
        description=inspect.getdoc(function),
        function=function,
        is_async=inspect.iscoroutinefunction(function),
        payload=payload_of(function, name),
    )
    setattr(function, MARK, mark)
    return function
