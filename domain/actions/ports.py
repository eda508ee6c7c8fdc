"""What running an action needs from the outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from domain.actions.model import Call, Http, Outcome, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerInfo:
    name: str
    description: str | None
    payload_schema: dict[str, Any]
    """JSON Schema, draft 2020-12."""


class Handlers(Protocol):
    """The registered handlers, by name."""

    def all(self) -> Sequence[HandlerInfo]:
        """In the order of their names."""
        ...

    def check(self, run: Run) -> None:
        """Raises UnknownHandler, or Refusals with each field of the payload that does not fit.

        The paths of the errors start at the payload: `("handler",)` or `("payload", "seconds")`.
        """
        ...


class Reporter(Protocol):
    """Where a running handler tells how far it is. Never blocks, never raises."""

    def progress(self, fraction: float, message: str | None) -> None:
        """`fraction` is 0 to 1."""
        ...

    def log(self, message: str) -> None: ...


class HandlerRunner(Protocol):
    async def run(self, run: Run, call: Call, reporter: Reporter) -> Outcome:
        """Run the handler to its end; what it raises becomes the outcome.

        Cancelling this coroutine asks the handler to stop: asyncio cancellation for an async one, the context's
        `cancelled` for a plain one, whose thread is waited for.
        """
        ...


class Webhooks(Protocol):
    async def check(self, http: Http) -> None:
        """Refuse what can be seen to be wrong without dialling.

        Raises ForbiddenUrl or Invalid, with a path from the action down: `("url",)` or `("headers", "host")`.
        """
        ...

    async def send(self, http: Http, call: Call) -> Outcome:
        """POST once, signed. The outcome says whether trying again may help, and when."""
        ...
