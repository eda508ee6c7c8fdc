"""One execution of a subscription, and one encoding of each event, for all who subscribed to the same.

A group has one source, which is executed at its own pace: no member can hold it up. What waits for a member is
bounded, also by what its connection may have kept; a member that lets it overflow is ended with RESYNC, alone.
A group ends with its last member.

A member whose socket takes what is written has it written by the group itself: nothing waits, no task wakes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256

from typing_extensions import override

from api.bounds.allowance import Allowance
from api.metrics import ApiMetrics
from api.payloads import write_json
from api.responses import Response, Responses, response_of, resync
from domain.clock import Ids
from domain.errors import Unauthenticated
from domain.live.ports import Resync
from domain.tenancy.model import Caller
from infra.background import stop
from infra.live.mailbox import Mailbox
from infra.telemetry.spans import new_traceparent
from infra.telemetry.trace import in_trace
from schema.errors import present
from schema.operations import OperationRequest, Result

BACKLOG = 1_000
"""Responses that may wait for one member."""
BACKLOG_SIZE = 1024 * 1024
"""Bytes of them. One response may always wait, however large it is."""
AT_ONCE = 100
"""Members that are told before others on the loop have their turn."""

Begin = Callable[[], Awaitable[Responses | Result]]
Write = Callable[[bytes], bool]
"""Sends a response's JSON at once, or does nothing and returns False."""


@dataclass(frozen=True, slots=True)
class Sameness:
    """All that an execution may depend on: whoever has the same is told the same."""

    query: str
    operation_name: str | None
    variables: bytes
    """A hash: they may be large, and are held by the execution."""
    caller: Caller

    @staticmethod
    def of(request: OperationRequest, caller: Caller) -> Sameness:
        json = write_json(dict(sorted((request.variables or {}).items())))
        variables = sha256(json).digest()
        return Sameness(request.query, request.operation_name, variables, caller)


class SharedStreams:
    def __init__(self, metrics: ApiMetrics, ids: Ids) -> None:
        self.groups: dict[Sameness, Group] = {}
        self.metrics = metrics
        self.ids = ids

    async def join(
        self, sameness: Sameness, caller: Callable[[], Caller], begin: Begin, allowance: Allowance
    ) -> Responses | Result:
        """What comes from now on. `caller` is asked before each response; what it raises is its end.

        `allowance` is that of the subscriber's connection.
        """
        group = self.groups.get(sameness)
        if group is None:
            group = self.groups[sameness] = Group(self, sameness, begin)
        member = Member(group, caller, allowance)
        try:
            await group.begun.wait()
        except asyncio.CancelledError:
            await member.aclose()
            raise
        if group.refusal is not None:
            await member.aclose()
            return group.refusal
        return member


class Group:
    def __init__(self, owner: SharedStreams, sameness: Sameness, begin: Begin) -> None:
        self.owner = owner
        self.sameness = sameness
        self.members: set[Member] = set()
        self.begun = asyncio.Event()
        self.refusal: Result | None = None
        self._begin = begin
        owner.metrics.groups.inc()
        self._running = asyncio.create_task(  # noqa: TID251  owned by the members: the last one waits for its end
            self._run(), name="shared-subscription"
        )
        self._running.add_done_callback(lambda _: owner.metrics.groups.dec())

    async def leave(self, member: Member) -> None:
        self.members.discard(member)
        self.owner.metrics.members.dec()
        if not self.members:
            self._forget()
            await stop(self._running)

    async def _run(self) -> None:
        with in_trace(new_traceparent()):  # the trace of none of its members
            try:
                await self._tell_all()
            except Exception as fault:  # noqa: BLE001  it is logged, and told to every member
                await self._tell(response_of({"errors": present([fault], self.owner.ids)}))
            finally:
                self._forget()
                for member in self.members:
                    member.mailbox.close()
                self.begun.set()

    async def _tell_all(self) -> None:
        stream = await self._begin()
        if isinstance(stream, Result):
            self.refusal = stream
            return
        self.begun.set()
        async with aclosing(stream):
            async for response in stream:
                self.owner.metrics.executions.inc()
                await self._tell(response)

    async def _tell(self, response: Response) -> None:
        members = tuple(self.members)
        self.owner.metrics.deliveries.inc(len(members))
        if response.span is not None:
            response.span.note("carillon.subscribers", len(members))
        for number, member in enumerate(members, 1):
            if member.is_told(response.json):
                self.owner.metrics.delivered.inc()
            elif not member.mailbox.offer(response, len(response.json)):
                self.owner.metrics.resyncs.inc()
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _forget(self) -> None:
        """Whoever comes from now on begins anew."""
        if self.owner.groups.get(self.sameness) is self:
            del self.owner.groups[self.sameness]


class Member(AsyncIterator[Response]):
    """One subscriber's way through the responses of its group."""

    __slots__ = ("_caller", "_ended", "_group", "_left", "_waits", "_write", "mailbox")

    def __init__(self, group: Group, caller: Callable[[], Caller], allowance: Allowance) -> None:
        self.mailbox: Mailbox[Response] = Mailbox(BACKLOG, BACKLOG_SIZE, allowance)
        self._group = group
        self._caller = caller
        self._ended = False
        self._left = False
        self._waits = False
        self._write: Write | None = None
        group.members.add(self)
        group.owner.metrics.members.inc()

    @override
    async def __anext__(self) -> Response:
        if self._ended:
            raise StopAsyncIteration
        try:
            self._waits = True
            response = await self.mailbox.take()
        except Resync:
            return self._end()
        finally:
            self._waits = False
        # Whose rights are others now has to subscribe by them.
        return response if self._caller() == self._group.sameness.caller else self._end()

    def write_by(self, write: Write) -> None:
        """What `write` takes is not given to whoever iterates; in order all the same."""
        self._write = write

    def is_told(self, json: bytes) -> bool:
        """Whether it was written: not before what waits, nor to one whose rights ended: its task tells it."""
        if self._write is None or not self._waits or not self.mailbox.is_untouched:
            return False
        try:
            return self._caller() == self._group.sameness.caller and self._write(json)
        except Unauthenticated:
            return False

    async def aclose(self) -> None:
        if not self._left:
            self._left = True
            self.mailbox.overflow()
            await self._group.leave(self)

    def _end(self) -> Response:
        self._ended = True
        return resync(self._group.owner.ids)
