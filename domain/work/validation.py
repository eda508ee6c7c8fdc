"""What the fields of a task may hold. Each check tells what is wrong in a sentence, or None."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from domain.actions.model import JsonValue
from domain.attempts.retry import RetryPolicy
from domain.errors import Invalid, Refusal, Refusals

MAX_TITLE = 200
MAX_TEXT = 10_000
"""Characters of a description, and of what a reminder says."""
MAX_NAME = 200
"""Characters of an owner, a key, or the name of a handler."""
MAX_URL = 2_048
MAX_LABELS = 16
MAX_LABEL_NAME = 64
MAX_LABEL_VALUE = 256
MAX_JSON_BYTES = 64 * 1024
MAX_JSON_DEPTH = 64
MAX_TRIES = 100
LEAST_URGENT = 9
LONGEST = timedelta(hours=24)
"""Of a timeout, and of a wait between two attempts."""
LATENESS = timedelta(minutes=1)
"""How far in the past a task may be due when it is made: clocks differ, and requests take their time."""
LATEST = datetime.max.replace(tzinfo=UTC)

_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_BREAKS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL has no NUL in text, UTF-8 no lone surrogates
_LARGEST = int(sys.float_info.max)


class Faults:
    """Everything that is wrong with an input, each fault with the path of its field."""

    MOST = 100
    """Beyond that many it is full: enough to see what is wrong."""

    def __init__(self, prefix: tuple[str, ...] = (), found: list[Refusal] | None = None) -> None:
        self._prefix = prefix
        self._found = [] if found is None else found

    def under(self, *path: str) -> Faults:
        """The same faults, seen from further down."""
        return Faults((*self._prefix, *path), self._found)

    @property
    def full(self) -> bool:
        return len(self._found) >= self.MOST

    def note(self, fault: str | None, *path: str) -> None:
        if fault is not None:
            self._found.append(Invalid(fault, (*self._prefix, *path)))

    def take(self, refused: Refusal | Refusals, *path: str) -> None:
        """What another part refused; its paths go on from `path`."""
        for refusal in refused.refusals if isinstance(refused, Refusals) else [refused]:
            refusal.path = (*self._prefix, *path, *refusal.path)
            self._found.append(refusal)

    def settle(self) -> None:
        """Raises Refusals when there are any."""
        if self._found:
            raise Refusals(self._found[: self.MOST])


def line_fault(text: str, most: int) -> str | None:
    """For one line that says something."""
    if not text.strip():
        return "It must not be empty."
    if len(text) > most:
        return f"It must have at most {most} characters; it has {len(text)}."
    if _CONTROL.search(text) or _UNSTORABLE.search(text):
        return "It must not contain control characters or halves of surrogate pairs."
    return None


def prose_fault(text: str) -> str | None:
    """For text of several lines, which may be empty."""
    if len(text) > MAX_TEXT:
        return f"It must have at most {MAX_TEXT} characters; it has {len(text)}."
    if _CONTROL_BUT_BREAKS.search(text) or _UNSTORABLE.search(text):
        return "It must not contain control characters, except line feeds and tabs."
    return None


def offset_fault(instant: datetime) -> str | None:
    if instant.utcoffset() is None:
        return "It must carry an offset from UTC, as in 2030-01-31T08:00:00Z."
    return None


def instant_fault(instant: datetime, now: datetime) -> str | None:
    if fault := offset_fault(instant):
        return fault
    if instant >= LATEST:
        return "It must not be beyond the year 9999."
    if instant < now - LATENESS:
        return "It must not be more than a minute in the past."
    return None


def queue_fault(name: str) -> str | None:
    if not _QUEUE.fullmatch(name):
        return "It must be 1 to 63 letters, digits, dots, hyphens and underscores, a letter or digit first."
    return None


def priority_fault(priority: int) -> str | None:
    if not 0 <= priority <= LEAST_URGENT:
        return f"It must be from 0, the most urgent, to {LEAST_URGENT}."
    return None


def timeout_fault(timeout: timedelta) -> str | None:
    return None if timedelta(0) < timeout <= LONGEST else "It must be more than zero and at most 24 hours."


def note_retry_faults(retry: RetryPolicy, faults: Faults) -> None:
    if not 1 <= retry.max_attempts <= MAX_TRIES:
        faults.note(f"It must be from 1 to {MAX_TRIES}.", "maxAttempts")
    faults.note(timeout_fault(retry.base), "base")
    faults.note(timeout_fault(retry.cap), "cap")
    if timedelta(0) < retry.cap < retry.base:
        faults.note("It must not be longer than `cap`.", "base")


def note_label_faults(labels: Sequence[tuple[str, str]], faults: Faults) -> None:
    if len(labels) > MAX_LABELS:
        faults.note(f"There may be at most {MAX_LABELS} labels; there are {len(labels)}.")
        return
    seen: set[str] = set()
    for index, (name, value) in enumerate(labels):
        faults.note(line_fault(name, MAX_LABEL_NAME), str(index), "name")
        if value:
            faults.note(line_fault(value, MAX_LABEL_VALUE), str(index), "value")
        if name in seen:
            faults.note("There is already a label with this name.", str(index), "name")
        seen.add(name)


def json_fault(value: JsonValue) -> str | None:
    # A look at each part comes first: `json.dumps` recurses, and fails on integers of thousands of digits. No
    # further than to know that it is too large: each part takes a byte at least.
    level, parts, depth = [value], 1, 0
    while level:
        inner: list[JsonValue] = []
        for part in level:
            if isinstance(part, dict | list):
                if depth == MAX_JSON_DEPTH:
                    return f"It must not be nested deeper than {MAX_JSON_DEPTH} levels."
                parts += len(part)
                if parts > MAX_JSON_BYTES:
                    return f"It must have at most {MAX_JSON_BYTES} bytes as JSON; it has more values than that."
                inner += [*part, *part.values()] if isinstance(part, dict) else part
            elif fault := _scalar_fault(part):
                return fault
        level, depth = inner, depth + 1
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_JSON_BYTES:
        return f"It must have at most {MAX_JSON_BYTES} bytes as JSON; it has {size}."
    return None


def _scalar_fault(part: JsonValue) -> str | None:
    if isinstance(part, str):
        if _UNSTORABLE.search(part):
            return "Its texts must not contain NUL or halves of surrogate pairs."
    elif isinstance(part, int | float) and not -_LARGEST <= part <= _LARGEST:  # also false for NaN
        return "Its numbers must be finite, and within the range of a 64-bit float."
    return None
