"""What is told of traces: spans. A process that exports none (the default) makes none, which costs nothing.

    with span("attempt", parent=traceparent) as attempt:    # what happens inside is in it
        attempt.note("carillon.outcome", "Succeeded")
    note_span("find_task", seconds)                         # what has just ended, in the trace it was in

Only what belongs to a sampled trace is told. Attributes are bounded words and numbers of ours: never what a
client sent, nor what is secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Token
from types import TracebackType
from typing import Literal, Protocol, Self

from infra.telemetry.trace import (
    current_traceparent,
    drawn_traceparent,
    enter_trace,
    is_sampled,
    leave_trace,
)

MOST_LINKS = 128
"""Traces that a span which is of several is linked to; of what is done for more, the first so many."""

Value = str | int | float | bool
Kind = Literal["internal", "server", "client", "producer", "consumer"]


class Recording(Protocol):
    """A span that is told once it has ended."""

    @property
    def traceparent(self) -> str: ...

    def note(self, name: str, value: Value) -> None: ...

    def fail(self, error: str) -> None: ...

    def end(self) -> None: ...


class Tracing(Protocol):
    """Where spans are begun, and told to whoever collects them."""

    def draws(self) -> bool:
        """Whether a trace that begins now is sampled, by the ratio."""
        ...

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: str | None,
        *,
        links: Sequence[str] = (),
        notes: Mapping[str, Value] | None = None,
        ago: float = 0,
    ) -> Recording:
        """Without a parent it begins a trace, a sampled one.

        `ago` is how many seconds ago it began.
        """
        ...


class _Process:
    """As logging is, tracing is the process's: what is deep inside need not be handed it."""

    tracing: Tracing | None = None


class Span:
    """Entered, what happens inside is in this trace; without a recording it is not told of."""

    __slots__ = ("_enters", "_recording", "_token", "traceparent")

    def __init__(
        self, recording: Recording | None, traceparent: str | None = None, *, enters: bool = True
    ) -> None:
        self._recording = recording
        self._enters = enters
        self._token: Token[str | None] | None = None
        self.traceparent = traceparent if recording is None else recording.traceparent

    def __enter__(self) -> Self:
        if self._enters:
            self._token = enter_trace(self.traceparent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._token is not None:
            leave_trace(self._token)
        if kind is not None:
            self.fail(kind.__name__)
        self.end()

    def note(self, name: str, value: Value) -> None:
        if self._recording is not None:
            self._recording.note(name, value)

    def fail(self, error: str) -> None:
        """`error` is the kind of fault; its own words may quote what is secret."""
        if self._recording is not None:
            self._recording.fail(error)

    def end(self) -> None:
        """The second time it does nothing."""
        if self._recording is not None:
            self._recording.end()
            self._recording = None


_NOTHING = Span(None, enters=False)


def span(
    name: str, kind: Kind = "internal", *, parent: str | None = None, notes: Mapping[str, Value] | None = None
) -> Span:
    """In the trace of `parent`, or in the one this is called in; without a traceparent if it is not told of."""
    tracing = _Process.tracing
    if tracing is None:
        return _NOTHING
    parent = parent or current_traceparent()
    if parent is None or not is_sampled(parent):
        return _NOTHING
    return Span(tracing.begin(name, kind, parent, notes=notes))


def first_span(name: str, kind: Kind, given: str | None, notes: Mapping[str, Value] | None = None) -> Span:
    """The first here of the trace of a caller, who may have given none: then one begins."""
    tracing = _Process.tracing
    if tracing is None or not (tracing.draws() if given is None else is_sampled(given)):
        return Span(None, given or new_traceparent())
    return Span(tracing.begin(name, kind, given, notes=notes))


def span_for_all(
    name: str,
    traceparents: Iterable[str | None],
    kind: Kind = "internal",
    notes: Mapping[str, Value] | None = None,
    *,
    ago: float = 0,
) -> Span:
    """Of what is done at once for these: in the trace of the one that is told of, or linked to all that are."""
    distinct = list(dict.fromkeys(traceparents))
    tracing = _Process.tracing
    told = [] if tracing is None else [one for one in distinct if one is not None and is_sampled(one)]
    if tracing is None or not told:
        return Span(None, distinct[0] if len(distinct) == 1 else None)
    if len(told) == 1:
        return Span(tracing.begin(name, kind, told[0], notes=notes, ago=ago))
    return Span(tracing.begin(name, kind, None, links=told[:MOST_LINKS], notes=notes, ago=ago))


def in_traces(traceparents: Iterable[str | None]) -> Span:
    """The same for what only gathers: it has a span of its own for several alone."""
    distinct = set(traceparents)
    return Span(None, distinct.pop()) if len(distinct) == 1 else span_for_all("together", distinct)


def note_span(
    name: str,
    seconds: float,
    kind: Kind = "internal",
    *,
    notes: Mapping[str, Value] | None = None,
    error: str | None = None,
) -> None:
    """Of what took so long and has just ended, in the trace it was in."""
    tracing = _Process.tracing
    if tracing is None:
        return
    parent = current_traceparent()
    if parent is None or not is_sampled(parent):
        return
    recording = tracing.begin(name, kind, parent, notes=notes, ago=seconds)
    if error is not None:
        recording.fail(error)
    recording.end()


def begin_trace(name: str) -> str:
    """The traceparent of a trace that begins here, with a span that lasts for no time."""
    tracing = _Process.tracing
    if tracing is None or not tracing.draws():
        return new_traceparent()
    recording = tracing.begin(name, "internal", None)
    recording.end()
    return recording.traceparent


def new_traceparent() -> str:
    """Of a trace that begins here, without a span: where spans are told of, none of its are."""
    return drawn_traceparent(sampled=_Process.tracing is None)


@contextmanager
def told_to(tracing: Tracing) -> Iterator[None]:
    """For the whole process, as long as this lasts."""
    _Process.tracing = tracing
    try:
        yield
    finally:
        _Process.tracing = None
