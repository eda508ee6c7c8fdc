"""What the answer to a webhook means for its task."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from domain.actions.credentials import REDACTED
from domain.actions.model import Failed, Outcome, Succeeded
from infra.http.exchange import Answer
from infra.text import storable

KEPT = 4 * 1024
"""Bytes of an answer that are kept with the attempt."""
SHORTEST_SECRET = 8
"""Characters: shorter values are not looked for in answers, where they may be anything."""
LONGEST_WAIT = 24 * 60 * 60.0
"""Seconds that a Retry-After may ask for; a longer one is cut to it."""

_WORTH_WAITING = frozenset({408, 429, 503})


def outcome(host: str, answer: Answer, now: datetime) -> Outcome:
    """Success for 2xx; failure for the rest, retryable for 5xx, 408 and 429."""
    status, retry_after = answer.status, answer.retry_after
    if 200 <= status < 300:  # noqa: PLR2004  HTTP's own classes
        text = storable(answer.body[:KEPT].decode("utf-8", "replace"), KEPT)
        return Succeeded({"status": status, "body": text})
    waits = status in _WORTH_WAITING
    after = wait(retry_after, now) if waits and retry_after is not None else None
    message = f"{host} answered {status}"
    if 300 <= status < 400:  # noqa: PLR2004  HTTP's own classes
        message += ", and redirects are not followed"
    return Failed(type="HttpStatus", message=message, retryable=waits or status >= 500, after=after)  # noqa: PLR2004  the same


def without(body: bytes, credentials: Iterable[str]) -> bytes:
    """A receiver may send back what it was sent: what is kept of its answer does not hold these."""
    for value in credentials:
        for word in re.split(r"[\s;,]+", value):  # `Bearer` is not the secret
            if len(word) >= SHORTEST_SECRET:
                body = body.replace(word.encode(), REDACTED.encode())
    return body


def wait(retry_after: str, now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for (RFC 9110 10.2.3), or None where it makes no sense."""
    text = retry_after.strip()
    if re.fullmatch(r"[0-9]+", text):
        return min(float(text), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:  # written with -0000, or without any
        until = until.replace(tzinfo=UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT)
