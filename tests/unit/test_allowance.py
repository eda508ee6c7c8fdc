"""What is kept for a connection is counted as it is in memory, and there is room until it is used up."""

from __future__ import annotations

import pytest

from api.bounds import allowance as allowances
from api.bounds.allowance import MOST_KEPT, Allowance, size_of_request, size_of_sent
from api.payloads import SentOperation, read_json, read_operation
from schema.operations import OperationRequest


def sent(variables: str) -> SentOperation:
    return read_operation(read_json(f'{{"query": "{{ hello }}", "variables": {variables}}}'))[0]


@pytest.mark.parametrize(
    ("variables", "at_least"),
    [
        (f'{{"a": "{"x" * 10_000}"}}', 10_000),
        (f'{{"a": "{"x" * 10_000}\\ud83d\\ude00"}}', 40_000),
        (f'{{"a": [{"[]," * 9_999}[]]}}', 560_000),
        (f'{{"a": {{"b": {{"c": "{"x" * 10_000}"}}}}}}', 10_000),
        (f'{{"{"x" * 10_000}": 1}}', 10_000),
    ],
)
def test_variables_count_as_what_they_take(variables: str, at_least: int) -> None:
    assert at_least <= size_of_sent(sent(variables)) < 1.3 * at_least


def test_what_is_many_times_too_large_is_not_counted_to_its_end() -> None:
    assert MOST_KEPT <= size_of_sent(sent(f'{{"a": [{"[]," * 299_999}[]]}}')) < 2 * MOST_KEPT


def test_a_published_document_is_kept_anyway() -> None:
    text = "{ hello }".ljust(10_000)
    assert size_of_request(OperationRequest(text)) > 10_000
    assert size_of_request(OperationRequest(text, published=True)) < 1_000


def test_the_last_one_there_is_room_for_may_be_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowances, "MOST_KEPT", 100)
    allowance = Allowance()
    first = allowance.keep(99)
    last = allowance.keep(1_000)
    assert first is not None
    assert last is not None
    assert allowance.keep(1) is None
    last.becomes(1)
    assert allowance.keep(1) is None
    last.becomes(0)
    assert allowance.keep(1) is not None


def test_one_response_may_always_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowances, "MOST_KEPT", 100)
    allowance = Allowance()
    assert allowance.keep(1_000) is not None
    assert allowance.queue(10)
    assert not allowance.queue(10)
    allowance.take(10)
    assert allowance.queue(10)
