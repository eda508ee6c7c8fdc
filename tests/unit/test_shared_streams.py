"""Whoever subscribes to the same shares one execution, and is told what they would be told alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from api import shared_streams
from api.answers import Answer
from api.bounds import allowance as allowances
from api.bounds.allowance import Allowance
from api.metrics import ApiMetrics
from api.payloads import write_json
from api.responses import Response, Responses, encoded
from api.shared_streams import Member, Sameness, SharedStreams
from domain.errors import Unauthenticated
from domain.tenancy.model import Caller, Role
from schema.operations import OperationRequest, Result
from tests.support.face import CALLER, CountedIds
from tests.support.waiting import settle_down

REQUEST = OperationRequest("subscription { live }")
DEADLINE = 5.0
ALICE = Caller(tenant="acme", owner="alice")


async def _answer(body: dict[str, Any]) -> Answer:
    return Answer(Result(body, valid=True), write_json(body))


class Source:
    """Counts how often it is begun, and tells each of these what it is given."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.shared = SharedStreams(ApiMetrics(self.registry), CountedIds())
        self.news: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.begun = 0
        self.open = 0

    async def tell(self, *numbers: int) -> None:
        for number in numbers:
            self.news.put_nowait({"data": number})
        await settle_down()

    async def begin(self) -> Responses | Result:
        self.begun += 1
        return encoded(self._told(), _answer)

    async def _told(self) -> AsyncGenerator[dict[str, Any], None]:
        self.open += 1
        try:
            while (body := await self.news.get()) is not None:
                yield body
        finally:
            await asyncio.sleep(0)  # a real one gives a connection back
            self.open -= 1

    async def join(
        self, caller: Caller = CALLER, request: OperationRequest = REQUEST, allowance: Allowance | None = None
    ) -> Responses:
        same = Sameness.of(request, caller)
        member = await self.shared.join(same, lambda: caller, self.begin, allowance or Allowance())
        assert not isinstance(member, Result)
        return member

    @asynccontextmanager
    async def joined(self, *callers: Caller) -> AsyncIterator[list[Responses]]:
        members = [await self.join(each) for each in callers]
        try:
            yield members
        finally:
            for member in members:
                await member.aclose()

    def counted(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"carillon_shared_{name}")


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    source = Source()
    yield source
    assert (source.open, source.shared.groups) == (0, {})
    assert (source.counted("subscriptions"), source.counted("subscribers")) == (0, 0)
    assert not [each for each in asyncio.all_tasks() if each.get_name() == "shared-subscription"]


def code(response: Response) -> str:
    [error] = json.loads(response.json)["errors"]
    return str(error["extensions"]["code"])


async def test_all_are_told_one_and_the_same_text(source: Source) -> None:
    async with source.joined(CALLER, CALLER, CALLER) as members:
        await source.tell(1, 2)
        first = [await anext(each) for each in members]
        second = [await anext(each) for each in members]
    assert first[0].json == b'{"data":1}'
    assert all(each is first[0] for each in first)
    assert [each.json for each in second] == [b'{"data":2}'] * 3
    assert source.begun == 1
    assert (source.counted("executions_total"), source.counted("deliveries_total")) == (2, 6)


@pytest.mark.parametrize(
    ("caller", "request_"),
    [
        (ALICE, REQUEST),
        (Caller(tenant="other"), REQUEST),
        (Caller(tenant="acme", role=Role.VIEWER), REQUEST),
        (CALLER, OperationRequest("subscription { live  }")),
        (CALLER, OperationRequest(REQUEST.query, {"a": 1})),
        (CALLER, OperationRequest(REQUEST.query, None, "A")),
    ],
)
async def test_what_differs_in_anything_is_executed_apart(
    source: Source, caller: Caller, request_: OperationRequest
) -> None:
    async with source.joined(CALLER):
        other = await source.join(caller, request_)
        await other.aclose()
        assert source.begun == 2


async def test_values_that_python_takes_for_equal_are_not_the_same() -> None:
    values: list[object] = [1, True, 1.0, "1", None]
    same = {Sameness.of(OperationRequest("", {"a": each}), CALLER) for each in values}
    assert len(same) == len(values)
    one, other = ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert Sameness.of(OperationRequest("", one), CALLER) == Sameness.of(OperationRequest("", other), CALLER)


async def test_who_joins_in_the_midst_is_told_what_comes_after_and_who_leaves_nothing_more(
    source: Source,
) -> None:
    first = await source.join()
    await source.tell(1)
    second = await source.join()
    await source.tell(2)
    await first.aclose()
    await source.tell(3)
    assert [(await anext(second)).json for _ in range(2)] == [b'{"data":2}', b'{"data":3}']
    await second.aclose()
    assert source.begun == 1


async def test_a_slow_reader_is_ended_alone_and_counted(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_streams, "BACKLOG", 3)
    async with source.joined(CALLER, CALLER) as (slow, quick):
        for number in range(5):
            await source.tell(number)
            assert (await anext(quick)).json == f'{{"data":{number}}}'.encode()
        assert code(await anext(slow)) == "RESYNC"
        with pytest.raises(StopAsyncIteration):
            await anext(slow)
        assert source.counted("resyncs_total") == 1
        again = await source.join()
        await source.tell(5)
        assert (await anext(again)).json == b'{"data":5}'
        await again.aclose()


async def test_what_waits_is_bounded_by_its_size_too(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_streams, "BACKLOG_SIZE", 25)
    async with source.joined(CALLER) as [slow]:
        await source.tell(1_000_000_000_000_000_000_000)
        assert (await anext(slow)).json.endswith(b"000}")
        await source.tell(1, 2, 3)
        assert code(await anext(slow)) == "RESYNC"


async def test_what_waits_for_one_connection_is_bounded_as_a_whole(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowances, "MOST_KEPT", 40)  # four of 10 characters
    connection = Allowance()
    slow = [await source.join(allowance=connection) for _ in range(3)]
    async with source.joined(CALLER) as [other]:
        await source.tell(1)
        assert source.counted("resyncs_total") == 0
        await source.tell(2)
        assert source.counted("resyncs_total") == 1, "what it left free is enough for another"
        told = [(await anext(each)).json for each in slow]
        assert told.count(b'{"data":1}') == 2
        assert sum(b"RESYNC" in each for each in told) == 1
        assert (await anext(other)).json == b'{"data":1}'
        for each in slow:
            await each.aclose()


async def test_who_leaves_takes_no_room_any_more(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowances, "MOST_KEPT", 25)
    connection = Allowance()
    async with source.joined(CALLER) as [other]:
        for number in range(5):
            member = await source.join(allowance=connection)
            await source.tell(number)
            await source.tell(number)
            await member.aclose()
            for _ in range(2):
                assert (await anext(other)).json == f'{{"data":{number}}}'.encode()
        assert source.counted("resyncs_total") == 0


async def test_its_end_reaches_all_and_the_next_one_begins_anew(source: Source) -> None:
    async with source.joined(CALLER, CALLER) as members:
        await source.tell(1)
        source.news.put_nowait(None)
        await settle_down()
        for each in members:
            assert (await anext(each)).json == b'{"data":1}'
            with pytest.raises(StopAsyncIteration):
                await anext(each)
        async with source.joined(CALLER):
            assert source.begun == 2


class Socket:
    """Takes what is written while it has room."""

    def __init__(self, member: Responses) -> None:
        self.has_room = True
        self.written: list[str] = []
        assert isinstance(member, Member)
        member.write_by(self.write)

    def write(self, text: bytes) -> bool:
        if self.has_room:
            self.written.append(text.decode())
        return self.has_room


async def test_who_waits_is_written_to_by_the_group_and_in_order_with_what_had_to_wait(source: Source) -> None:
    async with source.joined(CALLER) as [member]:
        socket = Socket(member)
        await source.tell(1)  # nobody waits for it yet
        assert (await anext(member)).json == b'{"data":1}'
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_next(member))
            await settle_down()
            await source.tell(2, 3)
            assert socket.written == ['{"data":2}', '{"data":3}']
            socket.has_room = False
            await source.tell(4)
            socket.has_room = True
        assert waiting.result().json == b'{"data":4}'
        await source.tell(5)  # the one before may still be on its way
        assert (await anext(member)).json == b'{"data":5}'
    assert len(socket.written) == 2


async def test_what_is_written_never_passes_what_waits(source: Source) -> None:
    async with source.joined(CALLER) as [member], asyncio.TaskGroup() as group:
        assert isinstance(member, Member)
        socket = Socket(member)
        waiting = group.create_task(_next(member))
        await settle_down()
        socket.has_room = False
        assert not member.is_told(b"1")
        assert member.mailbox.offer(Response(b"1"))
        socket.has_room = True
        assert not member.is_told(b"2")  # its task was woken, and has not had its turn
        assert (await waiting).json == b"1"


async def test_a_socket_without_room_overflows_alone(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_streams, "BACKLOG", 2)
    async with source.joined(CALLER, CALLER) as (slow, quick):
        full, open_ = Socket(slow), Socket(quick)
        full.has_room = False
        async with asyncio.TaskGroup() as group:
            stuck, waiting = group.create_task(_next(slow)), group.create_task(_next(quick))
            await settle_down()
            await source.tell(1)
            await source.tell(2, 3, 4)
            full.has_room = True
            assert open_.written == [f'{{"data":{number}}}' for number in (1, 2, 3, 4)]
            assert stuck.result().json == b'{"data":1}'
            assert source.counted("resyncs_total") == 1
            assert code(await anext(slow)) == "RESYNC"
            waiting.cancel()
    assert full.written == []


@pytest.mark.parametrize("who", [ALICE, None])
async def test_nothing_is_written_to_one_whose_rights_ended(source: Source, who: Caller | None) -> None:
    rights: list[Caller | None] = [CALLER]

    def caller() -> Caller:
        if rights[0] is None:
            raise Unauthenticated
        return rights[0]

    member = await source.shared.join(Sameness.of(REQUEST, CALLER), caller, source.begin, Allowance())
    assert not isinstance(member, Result)
    socket = Socket(member)
    try:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_next_or_nothing(member))
            await settle_down()
            await source.tell(1)
            rights[0] = who
            await source.tell(2)
        assert socket.written == ['{"data":1}']
        told = waiting.result()
        assert told is None if who is None else told is not None and code(told) == "RESYNC"
    finally:
        await member.aclose()


async def _next(member: Responses) -> Response:
    async with asyncio.timeout(DEADLINE):
        return await anext(member)


async def _next_or_nothing(member: Responses) -> Response | None:
    try:
        return await _next(member)
    except Unauthenticated:
        return None


async def test_a_fault_reaches_all(source: Source) -> None:
    async def fail() -> Responses | Result:
        raise RuntimeError("password=hunter2")

    same = Sameness.of(REQUEST, CALLER)
    async with asyncio.TaskGroup() as group:
        joining = [
            group.create_task(source.shared.join(same, lambda: CALLER, fail, Allowance())) for _ in range(2)
        ]
    for each in joining:
        member = each.result()
        assert not isinstance(member, Result)
        assert code(await anext(member)) == "INTERNAL"
        await member.aclose()


async def test_a_refusal_reaches_all_who_wait_for_it(source: Source) -> None:
    refusal = Result({"errors": []}, valid=False)

    async def refuse() -> Responses | Result:
        await asyncio.sleep(0)
        return refusal

    same = Sameness.of(REQUEST, CALLER)
    async with asyncio.TaskGroup() as group:
        joining = [
            group.create_task(source.shared.join(same, lambda: CALLER, refuse, Allowance())) for _ in range(2)
        ]
    assert [each.result() for each in joining] == [refusal, refusal]


async def test_who_gives_up_while_it_begins_leaves_nothing_behind(source: Source) -> None:
    async def never() -> Responses | Result:
        await asyncio.Event().wait()
        raise AssertionError

    same = Sameness.of(REQUEST, CALLER)
    joining = asyncio.TaskGroup()
    async with joining as group:
        task = group.create_task(source.shared.join(same, lambda: CALLER, never, Allowance()))
        await settle_down()
        task.cancel()


async def test_the_last_one_may_be_cancelled_while_it_leaves(source: Source) -> None:
    member = await source.join()
    await source.tell(1)
    async with asyncio.TaskGroup() as group:
        leaving = group.create_task(_leave(member))
        await asyncio.sleep(0)
        leaving.cancel()
    await settle_down()
    assert leaving.cancelled()


async def _leave(member: Responses) -> None:
    await member.aclose()


async def test_whose_credential_ended_is_told_nothing_more_and_the_others_are(source: Source) -> None:
    def ended() -> Caller:
        raise Unauthenticated

    async with source.joined(CALLER) as [other]:
        member = await source.shared.join(Sameness.of(REQUEST, CALLER), ended, source.begin, Allowance())
        assert not isinstance(member, Result)
        await source.tell(1)
        with pytest.raises(Unauthenticated):
            await anext(member)
        await member.aclose()
        assert (await anext(other)).json == b'{"data":1}'


async def test_who_became_another_caller_has_to_subscribe_again(source: Source) -> None:
    member = await source.shared.join(Sameness.of(REQUEST, CALLER), lambda: ALICE, source.begin, Allowance())
    assert not isinstance(member, Result)
    await source.tell(1)
    assert code(await anext(member)) == "RESYNC"
    await member.aclose()
