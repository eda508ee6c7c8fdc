"""Every fault of an input is found and named; nothing that cannot be stored or sent gets through."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.attempts.retry import RetryPolicy
from domain.errors import Invalid, Refusals
from domain.work.drafts import RetryDraft, retry_policy
from domain.work.validation import (
    LATEST,
    MAX_JSON_BYTES,
    MAX_JSON_DEPTH,
    MAX_TEXT,
    Faults,
    instant_fault,
    json_fault,
    line_fault,
    note_label_faults,
    note_retry_faults,
    priority_fault,
    prose_fault,
    queue_fault,
    timeout_fault,
)

NOW = datetime(2030, 1, 31, 8, tzinfo=UTC)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_line_says_something_within_its_length() -> None:
    assert line_fault("x" * 200, 200) is None
    assert line_fault("Grüße 🌱", 200) is None
    assert "at most 200" in (line_fault("x" * 201, 200) or "")
    assert "empty" in (line_fault(" \u2003", 200) or "")


@pytest.mark.parametrize("bad", ["\x00", "\n", "\t", "\x1b", "\x7f", "\x85", "\ud800"])
def test_a_line_has_no_control_characters_and_no_half_pairs(bad: str) -> None:
    assert "control" in (line_fault(f"a{bad}b", 200) or "")


def test_prose_may_break_lines_and_be_empty() -> None:
    assert prose_fault("") is None
    assert prose_fault("one\n\ttwo") is None
    assert prose_fault("x" * MAX_TEXT) is None
    assert "at most" in (prose_fault("x" * (MAX_TEXT + 1)) or "")


@pytest.mark.parametrize("bad", ["\x00", "\x0b", "\x1b", "\x7f", "\x9f", "\udc00"])
def test_prose_has_no_other_control_characters(bad: str) -> None:
    assert "control" in (prose_fault(f"a{bad}b") or "")


@given(st.text())
def test_a_line_without_fault_can_be_stored(text: str) -> None:
    if line_fault(text, 200) is None:
        assert "\x00" not in text
        text.encode()


@pytest.mark.parametrize(
    ("instant", "fault"),
    [
        (NOW, None),
        (NOW - timedelta(seconds=59), None),
        (NOW - timedelta(seconds=61), "past"),
        (LATEST - timedelta(seconds=1), None),
        (LATEST, "9999"),
        (datetime(2031, 1, 1), "offset"),  # noqa: DTZ001  an instant without offset is the point
        (datetime(2030, 1, 31, 10, tzinfo=timezone(timedelta(hours=2))), None),
    ],
)
def test_instants_have_an_offset_and_lie_ahead(instant: datetime, fault: str | None) -> None:
    found = instant_fault(instant, NOW)
    assert found is None if fault is None else fault in (found or "")


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (priority_fault, [0, 9], [-1, 10, 2**31]),
        (timeout_fault, [timedelta(microseconds=1), timedelta(hours=24)],
         [timedelta(0), timedelta(seconds=-1), timedelta(hours=24, microseconds=1), timedelta.max]),
        (queue_fault, ["default", "Mail.out_2-b", "7", "q" * 63],
         ["", "q" * 64, "-a", ".a", "a b", "a/b", "é", "a\n", "a\x00"]),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_refused(
    check: Callable[[Any], str | None], good: list[Any], bad: list[Any]
) -> None:
    assert [each for each in good if check(each)] == []
    assert [each for each in bad if not check(each)] == []


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (None, None),
        ({"a": [1, 2.5, True, None, "ü"]}, None),
        (nested(MAX_JSON_DEPTH), None),
        (nested(MAX_JSON_DEPTH + 1), "deeper"),
        (nested(100_000), "deeper"),
        ("x" * (MAX_JSON_BYTES - 2), None),
        ("x" * (MAX_JSON_BYTES - 1), "bytes"),
        ("ü" * (MAX_JSON_BYTES // 2), "bytes"),
        ([[], float("nan")] * MAX_JSON_BYTES, "values"),  # none of them is looked at
        ([[[0] * 1_000 for _ in range(50)] for _ in range(50)], "values"),
        (float("nan"), "finite"),
        ([float("-inf")], "finite"),
        (10**400, "range"),
        ([-(10**5000)], "range"),
        ({"a": "\x00"}, "NUL"),
        ({"\ud800": 1}, "surrogate"),
    ],
)
def test_json_is_bounded_and_can_be_stored(value: Any, fault: str | None) -> None:
    found = json_fault(value)
    assert found is None if fault is None else fault in (found or "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_json_without_fault_survives_being_written_and_read(value: Any) -> None:
    if json_fault(value) is None:
        written = json.dumps(value, allow_nan=False, ensure_ascii=False)
        assert json.loads(written.encode()) == value


def faults_of(note: Callable[[Faults], None]) -> list[tuple[str, ...]]:
    faults = Faults(("labels",))
    note(faults)
    try:
        faults.settle()
    except Refusals as refusals:
        return [each.path for each in refusals.refusals]
    return []


@pytest.mark.parametrize(
    ("labels", "paths"),
    [
        ([("order", "17"), ("customer", "")], []),
        ([(f"l{n}", "x") for n in range(16)], []),
        ([(f"l{n}", "x") for n in range(17)], [("labels",)]),
        ([("a", "1"), ("a", "2")], [("labels", "1", "name")]),
        ([("", "1")], [("labels", "0", "name")]),
        ([("n" * 65, "v" * 257)], [("labels", "0", "name"), ("labels", "0", "value")]),
    ],
)
def test_labels_are_few_short_and_distinct(labels: list[tuple[str, str]], paths: list[tuple[str, ...]]) -> None:
    assert faults_of(lambda faults: note_label_faults(labels, faults)) == paths


@pytest.mark.parametrize(
    ("draft", "fields"),
    [
        (RetryDraft(), []),
        (RetryDraft(max_attempts=100, base=timedelta(hours=24)), []),
        (RetryDraft(max_attempts=0), ["maxAttempts"]),
        (RetryDraft(max_attempts=101), ["maxAttempts"]),
        (RetryDraft(base=timedelta(0)), ["base"]),
        (RetryDraft(cap=timedelta(hours=25)), ["cap"]),
        (RetryDraft(cap=timedelta(seconds=-1)), ["cap"]),
        (RetryDraft(base=timedelta(seconds=9), cap=timedelta(seconds=8)), ["base"]),
    ],
)
def test_retries_are_bounded(draft: RetryDraft, fields: list[str]) -> None:
    found = faults_of(lambda faults: note_retry_faults(retry_policy(draft), faults))
    assert found == [("labels", field) for field in fields]


def test_a_long_base_alone_raises_the_cap_to_it() -> None:
    assert retry_policy(RetryDraft(base=timedelta(hours=1))).cap == timedelta(hours=1)
    assert retry_policy(RetryDraft(base=timedelta(seconds=1))) == RetryPolicy(base=timedelta(seconds=1))


def test_faults_are_told_all_together_with_their_whole_path() -> None:
    faults = Faults()
    third = faults.under("tasks", "3")
    third.note("no", "title")
    third.note(None, "queue")
    third.under("action").take(Invalid("never", ("url",)), "http")
    third.take(Refusals([Invalid("a", ("b",)), Invalid("c")]))
    with pytest.raises(Refusals) as caught:
        faults.settle()
    assert [(each.path, each.message) for each in caught.value.refusals] == [
        (("tasks", "3", "title"), "no"),
        (("tasks", "3", "action", "http", "url"), "never"),
        (("tasks", "3", "b"), "a"),
        (("tasks", "3"), "c"),
    ]


def test_faults_are_told_up_to_a_bound() -> None:
    faults = Faults()
    for _ in range(Faults.MOST + 50):
        faults.note("no")
    assert faults.full
    with pytest.raises(Refusals) as caught:
        faults.settle()
    assert len(caught.value.refusals) == Faults.MOST
