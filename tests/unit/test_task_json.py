"""A cached task is the task, whatever is in it."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.actions.model import Http, Notify, Run
from domain.attempts.retry import RetryPolicy
from domain.tasks.model import Task, TaskError
from infra.cache.task_json import Unreadable, decode, encode
from tests.support.storage import a_task

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  given below
DURATIONS = st.timedeltas(timedelta(0), timedelta(days=3650))
COUNTS = st.integers(0, 2**53)
ACTIONS = (
    st.builds(Notify, body=st.none() | TEXT)
    | st.builds(Http, url=TEXT, headers=st.dictionaries(TEXT, TEXT, max_size=3), body=JSON)
    | st.builds(Run, handler=TEXT, payload=st.dictionaries(TEXT, JSON, max_size=3))
)
TASKS = st.builds(
    Task,
    tenant=TEXT,
    title=TEXT,
    description=st.none() | TEXT,
    scheduled_at=INSTANTS,
    action=ACTIONS,
    queue=TEXT,
    priority=COUNTS,
    key=st.none() | TEXT,
    owner=st.none() | TEXT,
    labels=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
    concurrency_key=st.none() | TEXT,
    timeout=DURATIONS,
    retry=st.builds(RetryPolicy, base=DURATIONS, cap=DURATIONS),
    attempt=COUNTS,
    uncounted_attempts=COUNTS,
    fence=COUNTS,
    version=COUNTS,
    created_at=INSTANTS,
    updated_at=INSTANTS,
    started_at=st.none() | INSTANTS,
    finished_at=st.none() | INSTANTS,
    cancel_requested_at=st.none() | INSTANTS,
    worker=st.none() | st.uuids(),
    result=JSON,
    error=st.none() | st.builds(TaskError, type=TEXT, message=TEXT, attempt=COUNTS),
    traceparent=TEXT,
    fingerprint=st.binary(max_size=32),
)


@given(TASKS)
def test_a_task_comes_back_as_it_was(task: Task) -> None:
    assert decode(encode(task)) == task


def test_no_field_is_forgotten() -> None:
    assert {field.name for field in fields(Task)} == json.loads(encode(a_task())).keys() - {"format"}


def test_an_instant_of_another_offset_comes_back_in_utc_as_the_same_instant() -> None:
    elsewhere = datetime(2030, 1, 1, 12, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    read = decode(encode(replace(a_task(), scheduled_at=elsewhere)))
    assert read.scheduled_at == elsewhere
    assert read.scheduled_at.tzinfo == UTC


@pytest.mark.parametrize(
    "value", [b"", b"5", b"null", b"[]", b"{}", b'{"format":0}', b'{"format":1}', b"\xff", b"not json"]
)
def test_other_bytes_are_unreadable(value: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(value)


@given(TASKS, st.data())
def test_a_task_with_a_field_missing_is_unreadable(task: Task, data: st.DataObject) -> None:
    wire = json.loads(encode(task))
    del wire[data.draw(st.sampled_from(sorted(wire)))]
    with pytest.raises(Unreadable):
        decode(json.dumps(wire).encode())
