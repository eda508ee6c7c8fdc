"""JSON is written quickly, and everything that is JSON can be written."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.payloads import write_json

HALF_PAIRS = st.sampled_from(["\ud800", "a\udfff"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**63 - 2)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | HALF_PAIRS
)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(JSON)
def test_what_is_written_reads_as_what_it_was(value: object) -> None:
    written = write_json(value)
    assert b"\n" not in written
    assert json.loads(written) == value


def test_what_is_nested_farther_than_the_quick_writer_goes_is_written_all_the_same() -> None:
    value: object = "é"
    for _ in range(300):
        value = [value]
    assert json.loads(write_json({"a": value})) == {"a": value}


def test_texts_are_written_in_utf_8() -> None:
    assert write_json({"name": "Zoë \N{GRINNING FACE}"}) == '{"name":"Zoë \N{GRINNING FACE}"}'.encode()


@pytest.mark.parametrize("value", [datetime(2026, 1, 1, tzinfo=UTC), object(), {1, 2}])
def test_what_is_no_json_is_not_written(value: object) -> None:
    with pytest.raises(TypeError):
        write_json({"value": value})
