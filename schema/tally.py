"""What one operation reads for its answer, within a size: beyond it nothing more is read.

The cost of an operation bounds how many objects it asks for, and `api.answers` what is written of them. Neither
bounds what is read: texts and JSON values of 64 KiB each, of which an answer may show nothing at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from graphql import GraphQLError

from domain.actions.model import Action, Http, Notify
from domain.attempts.model import Attempt
from domain.notifications.model import Notification
from domain.schedules.model import Schedule
from domain.tasks.model import Task
from schema.refusals import refused
from schema.weighing import weigh

READ = 2
"""Times the bytes of the largest answer that may be read for one: what is read is not all shown."""
AT_ONCE = 3
"""Readings of one operation that are under way together. What each brings comes on top of the bound."""
LARGE_OF_TASKS = frozenset({"action", "description", "error", "labels", "result"})
"""Attributes that have no small bound."""

V = TypeVar("V")


class Tally:
    """Of one operation, or one event of a subscription. `answer` is how many bytes it may be answered with."""

    def __init__(self, answer: int) -> None:
        self.most = answer * READ
        self.over = False
        self._left = self.most
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def read(self, reading: Callable[[], Awaitable[V]], large: Callable[[V], object]) -> V:
        """What `reading` brings, once it is counted by what is `large` of it: texts, JSON; or None.

        Raises a GraphQLError when too much was read, and from then on instead of reading.
        """
        async with self._turns:
            self._check()
            found = await reading()
            if (counts := large(found)) is not None:
                weigh(counts, self)
        return found

    def refusal(self, *, mutation: bool) -> GraphQLError:
        message = (
            f"The answer is left out: what is read for it is over the {self.most} bytes allowed."
            " Ask for smaller pages, for fewer fields, or under fewer aliases."
        )
        if mutation:
            message = (
                "What was executed of the mutation stands: only its answer is left out: what is read for it is"
                f" over the {self.most} bytes allowed. Read with queries what it did before you send any of it"
                " again."
            )
        return refused("ANSWER_TOO_LARGE", message)

    def write(self, part: bytes) -> None:
        """Of what is weighed; nothing is kept of it."""
        self._left -= len(part)
        self._check()

    def _check(self) -> None:
        if self._left < 0:
            self.over = True
            raise self.refusal(mutation=False)


def large_of_tasks(tasks: Iterable[Task | None]) -> object:
    return [
        (
            getattr(task, "result", None),  # of a list only what is asked for was fetched
            getattr(task, "description", None),
            getattr(task, "labels", None),
            _of_action(getattr(task, "action", None)),
            error.message if (error := getattr(task, "error", None)) is not None else None,
        )
        for task in tasks
        if task is not None
    ]


def large_of_schedules(schedules: Iterable[Schedule | None]) -> object:
    templates = [each.task for each in schedules if each is not None]
    return [(each.description, each.labels, _of_action(each.action)) for each in templates]


def large_of_attempts(attempts: Iterable[Attempt | None]) -> object:
    return [each.error_message for each in attempts if each is not None]


def large_of_notifications(notifications: Iterable[Notification | None]) -> object:
    return [(each.title, each.body) for each in notifications if each is not None]


def _of_action(action: Action | None) -> object:
    match action:
        case None:
            return None
        case Notify():
            return action.body
        case Http():
            return action.url, [getattr(each, "text", each) for each in action.headers.values()], action.body
    return action.payload
