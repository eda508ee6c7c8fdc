"""One statement for all who ask while another is under way: what is asked for alone waits for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from domain.errors import Unavailable
from infra.background import Background
from infra.telemetry.spans import in_traces
from infra.telemetry.trace import current_traceparent

K = TypeVar("K", bound=Hashable)
Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(frozen=True, slots=True, eq=False)
class _Asked(Generic[Q, A]):
    question: Q
    answer: asyncio.Future[A]
    traceparent: str | None


@dataclass(slots=True, eq=False)
class _Work(Generic[Q, A]):
    waiting: list[_Asked[Q, A]]
    under_way: list[_Asked[Q, A]] = field(default_factory=list)


class Together(Generic[K, Q, A]):
    """For each key one statement at a time, of `most` questions at most."""

    def __init__(
        self, state: Callable[[K, Sequence[Q]], Awaitable[Sequence[A]]], tasks: Background, *, most: int
    ) -> None:
        """`state` answers each question, in their order. When it fails otherwise than by an outage, each
        question is put by itself: what is wrong with one must not hold back the others."""
        self._state = state
        self._tasks = tasks
        self._most = most
        self._waiting: dict[K, list[_Asked[Q, A]]] = {}
        """While somebody works for the key."""

    async def ask(self, key: K, question: Q) -> A:
        asked: _Asked[Q, A] = _Asked(
            question, asyncio.get_running_loop().create_future(), current_traceparent()
        )
        if key in self._waiting:
            self._waiting[key].append(asked)
        else:
            work = _Work([asked])
            task = self._tasks.start(self._work_for(key, work), "together")
            self._waiting[key] = work.waiting
            # A task that is cancelled before its first step never runs.
            task.add_done_callback(partial(self._end, key, work))
        return await asked.answer

    async def _work_for(self, key: K, work: _Work[Q, A]) -> None:
        """Until nobody waits. Not interrupted by who asked: a statement is of others too."""
        while work.waiting:
            work.under_way = work.waiting[: self._most]
            del work.waiting[: self._most]
            await self._answer(key, work.under_way)
        del self._waiting[key]

    def _end(self, key: K, work: _Work[Q, A], _: asyncio.Task[None]) -> None:
        if self._waiting.get(key) is work.waiting:
            del self._waiting[key]
        for asked in (*work.under_way, *work.waiting):
            asked.answer.cancel()  # those that have no answer: we are being stopped

    async def _answer(self, key: K, together: Sequence[_Asked[Q, A]]) -> None:
        try:
            with in_traces(asked.traceparent for asked in together):
                answers = await self._state(key, [asked.question for asked in together])
        except Unavailable as fault:
            _fail(together, fault)
        except Exception as fault:  # noqa: BLE001  told to who asked, and to nobody else
            if len(together) == 1:
                _fail(together, fault)
                return
            for asked in together:
                await self._answer(key, [asked])
        else:
            for asked, answer in zip(together, answers, strict=True):
                if not asked.answer.done():  # who asked may be gone
                    asked.answer.set_result(answer)


def _fail(together: Sequence[_Asked[Q, A]], fault: Exception) -> None:
    for asked in together:
        if not asked.answer.done():
            asked.answer.set_exception(fault)
