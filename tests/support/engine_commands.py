"""The commands that a history of the engine is made of, as `engine_machine` notes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

if TYPE_CHECKING:
    from tests.support.engine_machine import EngineMachine

Command = tuple[Callable[["EngineMachine"], object], Callable[..., None], SearchStrategy[dict[str, Any]]]
COMMANDS: list[Command] = []
Function = TypeVar("Function", bound=Callable[..., None])


def always(_machine: EngineMachine) -> bool:
    return True


def command(
    possible: Callable[[EngineMachine], object], **arguments: SearchStrategy[Any]
) -> Callable[[Function], Function]:
    """One of what may come next. As a rule of its own Hypothesis would leave it out of most histories."""

    def noted(function: Function) -> Function:
        COMMANDS.append((possible, function, st.fixed_dictionaries(arguments)))
        return function

    return noted
