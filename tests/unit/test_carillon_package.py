"""What authors of handlers rely on: the mark, the payload it describes, the context, and the test runner."""

from __future__ import annotations

import asyncio
import functools
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, NotRequired, TypedDict
from uuid import UUID

import pytest
import typing_extensions
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from carillon import Context, Discard, Retry, Snooze, handler
from carillon.marking import marked
from carillon.payload import PayloadError
from carillon.result import LIMIT, ResultError, kept
from carillon.testing import Ran, run, run_async


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Line:
    item: str
    count: int = 1


@dataclass
class Order:
    number: int
    lines: list[Line] = field(default_factory=list)


class Patch(TypedDict):
    id: int
    name: NotRequired[str]


class Patch2(typing_extensions.TypedDict, total=False):
    id: typing_extensions.Required[int]
    name: str


class Letter(BaseModel):
    to: str
    at: datetime | None = None


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    to: str


@handler("orders.take")
async def take(order: Order, context: Context) -> dict[str, JsonValue]:
    context.log(f"order {order.number}")
    return {"items": [line.item for line in order.lines]}


@handler()
def greet(name: str, times: Annotated[int, Field(ge=1, le=9)] = 1, *, loud: bool = False) -> str:
    """Says hello."""
    return ("HELLO " if loud else "hello ") * times + name


@handler
async def everything(
    at: datetime, size: Size, pair: tuple[int, str], json: JsonValue, maybe: int | UUID | None = None
) -> str:
    return f"{at.isoformat()} {size.name} {pair} {json} {maybe!r}"


@handler("patch")
async def patch(changes: Patch) -> list[str]:
    return sorted(changes)


@handler("patch2")
async def patch2(changes: Patch2) -> list[str]:
    return sorted(changes)


@handler("letter")
async def letter(message: Letter) -> str:
    return message.to


@handler("loose")
async def loose(message: Loose) -> JsonValue:
    return message.model_extra


@handler("nothing")
async def nothing() -> None: ...


@handler("whole")
async def whole(value: Annotated[Order, "a note"]) -> int:
    return value.number


def schema(function: Callable[..., Any]) -> dict[str, Any]:
    mark = marked(function)
    assert mark is not None
    return dict(mark.payload.schema)


def refused(function: Callable[..., Any], payload: dict[str, Any]) -> PayloadError:
    with pytest.raises(PayloadError) as refusal:
        run(function, payload)
    return refusal.value


def test_importing_carillon_needs_nothing_of_ours_and_registers_nothing() -> None:
    code = (
        "import sys, carillon, carillon.testing\n"
        "ours = {'api', 'domain', 'infra', 'jobs', 'schema', 'asyncpg', 'dramatiq', 'redis'}\n"
        "assert not ours & {name.partition('.')[0] for name in sys.modules}, sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_marked_function_stays_as_callable_as_it_was() -> None:
    assert greet("Ada", 2) == "hello hello Ada"
    assert asyncio.run(letter(Letter(to="Ada"))) == "Ada"


def test_a_name_is_given_or_that_of_the_function() -> None:
    names = [mark.name for mark in map(marked, (take, greet, everything)) if mark is not None]
    assert names == ["orders.take", "greet", "everything"]
    mark = marked(greet)
    assert mark is not None
    assert mark.description == "Says hello."
    assert marked(len) is None
    assert marked(Order) is None


def test_a_decorator_above_the_mark_is_kept() -> None:
    def twice(function: Callable[..., str]) -> Callable[..., str]:
        @functools.wraps(function)
        def wrapper(**arguments: Any) -> str:
            return function(**arguments) * 2

        return wrapper

    assert run(twice(greet), {"name": "Ada"}).result == "hello Adahello Ada"


@pytest.mark.parametrize("name", ["", " ", "a b", "a/b", "é", "x" * 101, "a\n"])
def test_a_name_is_short_and_plain(name: str) -> None:
    with pytest.raises(ValueError, match="a name is 1 to 100"):
        handler(name)(lambda: None)


def test_parameters_are_the_fields_of_the_payload() -> None:
    assert run(greet, {"name": "Ada"}).result == "hello Ada"
    assert run(greet, {"name": "Ada", "times": 2, "loud": True}).result == "HELLO HELLO Ada"
    described = schema(greet)
    assert described["required"] == ["name"]
    assert described["additionalProperties"] is False
    assert described["properties"]["times"] == {
        "default": 1, "maximum": 9, "minimum": 1, "title": "Times", "type": "integer",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({}, ("name",)), ({"name": 3}, ("name",)), ({"name": None}, ("name",)),
        ({"name": "x", "more": 1}, ("more",)),
        ({"name": "x", "times": "3"}, ("times",)), ({"name": "x", "times": 0}, ("times",)),
        ({"name": "x", "times": 1.0}, ("times",)), ({"name": "x", "times": True}, ("times",)),
        ({"name": "x", "loud": 1}, ("loud",)), ({"name": "x", "field_0": "y"}, ("field_0",)),
        ({"name": "\ud800"}, ()),
    ],
)  # fmt: skip
def test_a_payload_that_does_not_fit_is_refused_by_field(
    payload: dict[str, Any], path: tuple[str, ...]
) -> None:
    assert refused(greet, payload).path == path


def test_a_refused_payload_is_told_with_its_field() -> None:
    refusal = refused(take, {"number": 1, "lines": [{"count": 2}]})
    assert str(refusal) == "lines.0.item: Field required"
    assert refusal.message == "Field required"
    assert refusal.path == ("lines", "0", "item")
    whole = refused(greet, {"name": "\ud800"})
    assert str(whole) == whole.message


def test_all_that_is_wrong_with_a_payload_is_told_at_once_and_each_place_once() -> None:
    refusal = refused(take, {"lines": [{"count": 2}, {"item": 1}], "more": 1})
    paths = [fault.path for fault in refusal.faults]
    assert sorted(paths) == [("lines", "0", "item"), ("lines", "1", "item"), ("more",), ("number",)]
    assert all(str(fault) in str(refusal) for fault in refusal.faults)
    assert [fault.path for fault in refused(everything, {"maybe": [1]}).faults].count(("maybe",)) == 1
    many = {"number": 1, "lines": [{"count": "x"}] * 300}
    assert len(refused(take, many).faults) == 100


def test_what_json_says_with_strings_becomes_what_the_types_say() -> None:
    payload = {"at": "2026-01-01T12:00:00+02:00", "size": "large", "pair": [1, "x"], "json": {"a": []}}
    said = "2026-01-01T12:00:00+02:00 LARGE (1, 'x') {'a': []} "
    assert run(everything, payload).result == said + "None"
    assert run(everything, {**payload, "maybe": str(UUID(int=7))}).result == said + repr(UUID(int=7))
    assert refused(everything, {**payload, "maybe": [1]}).path == ("maybe",)
    assert refused(everything, {**payload, "pair": [1, 2]}).path == ("pair", "1")
    assert refused(everything, {**payload, "at": "yesterday"}).path == ("at",)


def test_numbers_that_json_does_not_have_are_refused() -> None:
    @handler
    def wait(seconds: float) -> None: ...

    assert refused(wait, {"seconds": float("inf")}).path == ("seconds",)
    assert refused(wait, {"seconds": float("nan")}).path == ("seconds",)
    assert run(wait, {"seconds": 1}).outcome == "succeeded"


def test_one_parameter_may_take_the_whole_payload() -> None:
    order = {"number": 1, "lines": [{"item": "bell"}, {"item": "rope", "count": 2}]}
    ran = run(take, order)
    assert (ran.result, ran.log) == ({"items": ["bell", "rope"]}, ["order 1"])
    assert run(whole, order).result == 1
    assert run(patch, {"id": 1}).result == ["id"]
    assert run(patch2, {"id": 1, "name": "x"}).result == ["id", "name"]
    assert run(letter, {"to": "Ada", "at": "2026-01-01T00:00:00Z"}).result == "Ada"
    assert run(loose, {"to": "Ada", "cc": "Bo"}).result == {"cc": "Bo"}
    assert run(nothing, {}).result is None


def test_a_whole_payload_is_as_strict() -> None:
    assert refused(take, {"number": 1, "lines": [{"item": "bell", "count": "2"}]}).path == (
        "lines",
        "0",
        "count",
    )
    assert refused(take, {"number": 1, "lines": [{"count": 2}]}).path == ("lines", "0", "item")
    assert refused(take, {"number": 1, "note": ""}).path == ("note",)
    assert refused(patch, {"id": 1, "note": ""}).path == ("note",)
    assert refused(patch, {"name": "x"}).path == ("id",)
    assert refused(patch2, {"name": "x"}).path == ("id",)
    assert refused(letter, {"to": "Ada", "cc": "Bo"}).path == ("cc",)
    assert refused(nothing, {"x": 1}).path == ("x",)
    for function in (take, patch, patch2, letter, nothing):
        assert schema(function)["additionalProperties"] is False
    assert schema(loose)["additionalProperties"] is True


def test_the_context_is_not_part_of_the_payload() -> None:
    assert list(schema(take)["properties"]) == ["number", "lines"]
    assert refused(take, {"number": 1, "context": {}}).path == ("context",)


def test_a_parameter_may_have_any_name_and_any_default() -> None:
    @handler
    def odd(_x: int, self: int, schema: object = object(), copy: tuple[int, ...] = (1,)) -> list[int]:
        return [_x, self, *copy]

    assert run(odd, {"_x": 1, "self": 2}).result == [1, 2, 1]


def test_what_cannot_be_a_handler_is_refused_where_it_is_marked() -> None:  # noqa: C901  eleven of them
    def stars(*values: int) -> None: ...
    def kwargs(**values: int) -> None: ...
    def positional(value: int, /) -> None: ...
    def untyped(value) -> None: ...  # type: ignore[no-untyped-def]  # which is the point
    def two(first: Context, second: Context) -> None: ...
    def unknown(value: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821  which is the point
    def callback(value: Callable[[], Awaitable[None]]) -> None: ...
    def generator(value: int) -> Any:
        yield value

    async def agenerator(value: int) -> Any:
        yield value

    for function, reason in (
        (stars, "no place in a payload"),
        (kwargs, "no place in a payload"),
        (positional, "no place in a payload"),
        (untyped, "needs a type"),
        (two, "more than one parameter is a Context"),
        (unknown, "Nowhere"),
        (callback, "cannot be described"),
        (generator, "cannot yield"),
        (agenerator, "cannot yield"),
        (functools.partial(two), "a handler is a function"),
        (Order, "a handler is a function"),
    ):
        with pytest.raises(TypeError, match=reason):
            handler("bad")(function)


def test_endings_say_what_they_ask_for() -> None:
    assert Retry().after is None
    assert Retry(after=30).after == Retry(timedelta(seconds=30)).after == timedelta(seconds=30)
    assert str(Discard("no such customer")) == "no such customer"
    local = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert Snooze(local).until == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert Snooze(for_=timedelta(hours=1)).for_ == timedelta(hours=1)


def test_endings_refuse_what_makes_no_sense() -> None:
    for after in (-1, float("nan"), float("inf"), timedelta(days=400)):
        with pytest.raises(ValueError, match="a delay is from 0"):
            Retry(after)
    with pytest.raises(ValueError, match="either"):
        Snooze()
    with pytest.raises(ValueError, match="either"):
        Snooze(datetime(2026, 1, 1, tzinfo=UTC), for_=timedelta(1))
    with pytest.raises(ValueError, match="offset"):
        Snooze(datetime(2026, 1, 1))  # noqa: DTZ001  which is the point
    with pytest.raises(ValueError, match="a delay is from 0"):
        Snooze(for_=timedelta(-1))


@handler("ending")
def ending(how: str, context: Context) -> JsonValue:
    match how:
        case "retry":
            raise Retry(after=5)
        case "discard":
            raise Discard("no use")
        case "snooze":
            raise Snooze(for_=timedelta(hours=1))
        case "fail":
            raise RuntimeError("broken")
        case "result":
            return "x" * LIMIT
        case "progress":
            for fraction in (-1, 0.5, 2):
                context.progress(fraction, "so far")
    return [context.attempt, context.fence, context.idempotency_key, context.cancelled]


def test_the_test_runner_says_how_a_handler_ended() -> None:
    key = str(UUID(int=9))
    assert run(ending, {"how": ""}, attempt=3, fence=4, task_id=UUID(int=9), cancelled=True).result == [
        3,
        4,
        key,
        True,
    ]
    retry = run(ending, {"how": "retry"})
    assert (retry.outcome, retry.after) == ("retry", timedelta(seconds=5))
    assert run(ending, {"how": "discard"}).outcome == "discarded"
    snoozed = run(ending, {"how": "snooze"})
    assert (snoozed.outcome, snoozed.after) == ("snoozed", timedelta(hours=1))
    failed = run(ending, {"how": "fail"})
    assert (failed.outcome, repr(failed.error)) == ("failed", "RuntimeError('broken')")
    assert isinstance(run(ending, {"how": "result"}).error, ResultError)
    assert run(ending, {"how": "progress"}).progress == [(0.0, "so far"), (0.5, "so far"), (1.0, "so far")]


@handler("patient")
async def patient(rounds: int, context: Context, *, stubborn: bool = False) -> int:
    for number in range(rounds):
        context.log(f"round {number}")
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            context.log("cleaned up")
            if not stubborn:
                raise
    return rounds


@handler("polite")
def polite(rounds: int, context: Context) -> int:
    for number in range(rounds):
        context.progress(number / rounds)
        if context.cancelled:
            raise RuntimeError("stopped half-way")
    return rounds


def test_the_test_runner_cancels_an_async_handler_where_it_waits() -> None:
    ran = run(patient, {"rounds": 9}, cancelled=True)
    assert (ran.outcome, ran.log) == ("cancelled", ["round 0", "cleaned up"])
    assert isinstance(ran.error, asyncio.CancelledError)
    ran = run(patient, {"rounds": 9}, cancelled=lambda ran: "round 2" in ran.log)
    assert (ran.outcome, ran.log) == ("cancelled", ["round 0", "round 1", "round 2", "cleaned up"])
    ran = run(patient, {"rounds": 2, "stubborn": True}, cancelled=True)
    assert (ran.outcome, ran.result) == ("succeeded", 2), "it ran to its end all the same"


def test_the_test_runner_asks_a_plain_handler_to_stop() -> None:
    ran = run(polite, {"rounds": 4}, cancelled=lambda ran: ran.progress[-1:] == [(0.5, None)])
    assert (ran.outcome, str(ran.error), len(ran.progress)) == ("cancelled", "stopped half-way", 3)
    assert run(polite, {"rounds": 4}).outcome == "succeeded"


async def test_a_cancellation_of_its_own_is_a_failure_and_one_of_the_test_goes_through() -> None:
    @handler
    async def raises() -> None:
        raise asyncio.CancelledError

    assert (await run_async(raises, {})).outcome == "failed"

    @handler
    async def forever(context: Context) -> None:
        context.log("waits")
        waits.set()
        await asyncio.Event().wait()

    waits = asyncio.Event()
    test = asyncio.create_task(run_async(forever, {}))
    await waits.wait()
    test.cancel()
    with pytest.raises(asyncio.CancelledError):
        await test


async def test_the_test_runner_works_inside_a_loop() -> None:
    assert await run_async(patch, {"id": 1}) == Ran(result=["id"])
    with pytest.raises(TypeError, match="not marked"):
        await run_async(len, {})


def test_progress_that_is_no_number_is_refused() -> None:
    @handler
    def hopeless(context: Context) -> None:
        context.progress(float("nan"))

    assert isinstance(run(hopeless, {}).error, ValueError)


def test_a_result_is_kept_as_json_has_it() -> None:
    assert kept((1, {"a": (None, True)})) == [1, {"a": [None, True]}]
    assert kept("x" * (LIMIT - 2)) == "x" * (LIMIT - 2)
    assert kept("\\u0000") == "\\u0000"


def _deep() -> Any:
    value: Any = 0
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "result", [object, {1, 2}, b"x", float("nan"), float("inf"), "x" * (LIMIT - 1), "é" * (LIMIT // 2),
               "a\x00b", {"\x00": 1}, "\\\x00", "\ud800", datetime(2026, 1, 1, tzinfo=UTC)],
    ids=ascii,
)  # fmt: skip
def test_a_result_that_cannot_be_kept_is_refused(result: object) -> None:
    with pytest.raises(ResultError):
        kept(result)


def test_a_result_nested_without_end_is_refused() -> None:
    with pytest.raises(ResultError):
        kept(_deep())


@given(
    st.recursive(
        st.text() | st.integers() | st.booleans() | st.none(), lambda inner: st.lists(inner, max_size=3)
    )
)
def test_a_result_is_refused_for_nul_only_where_there_is_one(result: Any) -> None:
    def has_nul(value: Any) -> bool:
        return (
            any(map(has_nul, value)) if isinstance(value, list) else isinstance(value, str) and "\x00" in value
        )

    if has_nul(result):
        with pytest.raises(ResultError):
            kept(result)
    else:
        assert kept(result) == result


def test_the_examples_of_the_guide_run() -> None:
    guide = (Path(__file__).parents[2] / "docs/handlers.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", guide, re.DOTALL))
    # Its first part is that module: its tests take from there what they try, and a dataclass looks for itself.
    shop = sys.modules["shop"] = ModuleType("shop")
    try:
        exec(compile(code, "docs/handlers.md", "exec"), vars(shop))
    finally:
        del sys.modules["shop"]
    assert run(shop.print_report, {"month": "May", "pages": 2}).progress == [(0.5, None), (1.0, None)]
    assert run(shop.print_report, {"month": "May"}, cancelled=True).progress == []
