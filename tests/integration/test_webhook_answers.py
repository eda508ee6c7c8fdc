"""What the answer to a webhook makes of its attempt."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.actions.model import Failed, Succeeded
from infra.http.answers import LONGEST_WAIT, wait
from tests.support.webhook_receiver import (
    NOW,
    receiving,
    send,
    status,
)


@pytest.mark.parametrize(
    ("line", "retryable"),
    [
        ("300 Multiple Choices", False), ("301 Moved", False), ("302 Found", False), ("307 Temporary", False),
        ("308 Permanent", False), ("400 Bad Request", False), ("401 Unauthorized", False),
        ("404 Not Found", False),
        ("408 Request Timeout", True), ("409 Conflict", False), ("410 Gone", False),
        ("422 Unprocessable", False),
        ("429 Too Many", True), ("500 Internal", True), ("502 Bad Gateway", True), ("503 Unavailable", True),
        ("504 Gateway Timeout", True), ("599 Odd", True),
    ],
)  # fmt: skip
async def test_a_status_says_whether_trying_again_may_help(line: str, retryable: bool) -> None:
    async with receiving(status(line)) as receiver:
        outcome = await send(receiver.url)
    assert isinstance(outcome, Failed)
    assert outcome.type == "HttpStatus"
    assert outcome.message.startswith(f"127.0.0.1 answered {line[:3]}")
    assert (outcome.retryable, outcome.after) == (retryable, None)


@pytest.mark.parametrize("line", ["200 OK", "201 Created", "202 Accepted", "204 No Content"])
async def test_any_2xx_is_success(line: str) -> None:
    async with receiving(status(line)) as receiver:
        assert await send(receiver.url) == Succeeded({"status": int(line[:3]), "body": ""})


@pytest.mark.parametrize("line", ["408 Request Timeout", "429 Too Many", "503 Unavailable"])
async def test_retry_after_is_honoured(line: str) -> None:
    async with receiving(status(line, "Retry-After: 120")) as receiver:
        outcome = await send(receiver.url)
    assert isinstance(outcome, Failed)
    assert (outcome.retryable, outcome.after) == (True, 120)


@pytest.mark.parametrize("line", ["500 Internal", "404 Not Found", "302 Found"])
async def test_retry_after_means_nothing_elsewhere(line: str) -> None:
    async with receiving(status(line, "Retry-After: 120")) as receiver:
        outcome = await send(receiver.url)
    assert isinstance(outcome, Failed)
    assert outcome.after is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0), ("1", 1), (" 30 ", 30), ("86400", 86_400), ("86401", LONGEST_WAIT),
        ("9" * 5_000, LONGEST_WAIT),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), LONGEST_WAIT),
        ("Thu, 01 Jan 2026 12:01:00 -0000", 60), ("Thursday, 01-Jan-26 12:01:00 GMT", 60),
        ("", None), ("-1", None), ("1.5", None), ("1e3", None), ("nan", None), ("soon", None), ("\u0661", None),
        ("Thu, 99 Jan 2026 12:01:00 GMT", None),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_of_at_most_a_day(header: str, seconds: float | None) -> None:
    assert wait(header, NOW) == seconds


@given(st.text(max_size=40))
def test_any_retry_after_is_bounded(header: str) -> None:
    seconds = wait(header, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST_WAIT


async def test_a_redirect_is_not_followed() -> None:
    async with receiving() as target:
        for line in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"):
            async with receiving(status(line, f"Location: {target.url}")) as receiver:
                outcome = await send(receiver.url)
            assert isinstance(outcome, Failed)
            assert "redirects are not followed" in outcome.message
    assert target.connections == 0
