"""What a running handler knows of its attempt, and where it tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


class Listener(Protocol):
    """Who hears what a handler reports. Takes calls from any thread, never blocks and never raises."""

    def progress(self, fraction: float, message: str | None) -> None: ...

    def log(self, message: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Given to the parameter of a handler annotated with it. May be used from any thread."""

    task_id: UUID
    attempt: int
    """Numbered from 1."""
    fence: int
    """The fencing number: grows with each start of the task, and is never reset. Give it to what must refuse
    the late writes of an attempt that lost its lease."""
    listener: Listener
    asked_to_stop: Callable[[], bool]

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of the task, and for no other task."""
        return str(self.task_id)

    @property
    def cancelled(self) -> bool:
        """Whether to stop: the task was cancelled, or its time is up.

        A plain function looks here now and then; an async one is stopped by asyncio's cancellation.
        """
        return self.asked_to_stop()

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Say how far it is: `fraction` is 0 to 1, and what lies outside is taken as the nearer end.

        The newest is stored up to twenty times a second, and read as the task's progress.
        """
        if fraction != fraction:  # noqa: PLR0124  the one number that is no number
            raise ValueError("progress takes a fraction from 0 to 1")
        self.listener.progress(float(min(max(fraction, 0), 1)), message)

    def log(self, message: str) -> None:
        """Write a line to the task's log, of which the last 200 are kept, and to that of its worker's process.

        Up to 200 lines at once and 50 a second after that; what is beyond is dropped, and a line says how many.
        """
        self.listener.log(message)
