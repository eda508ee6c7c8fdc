"""Spans of time as ISO 8601 writes them: PT30S, P1DT12H, PT0.25S."""

from __future__ import annotations

import re
from datetime import timedelta

_MICROSECOND = timedelta(microseconds=1)
_MOST_CHARACTERS = 64
_WRITTEN = re.compile(
    r"(?P<sign>[+-])?P(?=.)(?:(?P<weeks>[0-9]+)W)?(?:(?P<days>[0-9]+)D)?"
    r"(?:T(?=.)(?:(?P<hours>[0-9]+)H)?(?:(?P<minutes>[0-9]+)M)?"
    r"(?:(?P<seconds>[0-9]+)(?:[.,](?P<fraction>[0-9]+))?S)?)?"
)
_CALENDAR = re.compile(r"[+-]?P[0-9,.]*(?:Y|[0-9,.]*M)")


def parse_duration(text: str) -> timedelta:
    """Cut to microseconds; beyond what a timedelta holds, the longest one. Raises ValueError."""
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"a duration has at most {_MOST_CHARACTERS} characters")
    written = _WRITTEN.fullmatch(text)
    if written is None:
        if _CALENDAR.match(text):
            raise ValueError("years and months have no fixed length: say it in days, as in P30D")
        raise ValueError("a duration is written as in PT30S, PT1H30M or P1D")
    count = {unit: int(written[unit] or 0) for unit in ("weeks", "days", "hours", "minutes", "seconds")}
    microseconds = int((written["fraction"] or "0").ljust(6, "0")[:6])
    days = count["weeks"] * 7 + count["days"]
    seconds = ((days * 24 + count["hours"]) * 60 + count["minutes"]) * 60 + count["seconds"]
    total = seconds * 1_000_000 + microseconds
    if written["sign"] == "-":
        return max(-total, timedelta.min // _MICROSECOND) * _MICROSECOND
    return min(total, timedelta.max // _MICROSECOND) * _MICROSECOND


def format_duration(span: timedelta) -> str:
    """In days, hours, minutes and seconds, those that are zero left out."""
    total = span // _MICROSECOND
    seconds, microseconds = divmod(abs(total), 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    fraction = f".{microseconds:06}".rstrip("0") if microseconds else ""
    date = f"{days}D" if days else ""
    time = "".join(f"{count}{unit}" for count, unit in ((hours, "H"), (minutes, "M")) if count)
    if seconds or fraction or not (date or time):
        time += f"{seconds}{fraction}S"
    return f"{'-' if total < 0 else ''}P{date}{'T' if time else ''}{time}"
