"""Environment variables that look like settings and are none: a misspelt one would pass in silence."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from difflib import get_close_matches

from infra.settings import Settings

log = logging.getLogger(__name__)

PREFIX = "CARILLON_"
READ_ELSEWHERE = frozenset(
    {
        "CARILLON_ADDRESS",
        "CARILLON_IMAGE",
        "CARILLON_POSTGRES_PASSWORD",
        "CARILLON_RABBITMQ_PASSWORD",
        "CARILLON_REQUIRE_SERVICES",
        "CARILLON_SECRETS",
        "CARILLON_TOKEN",
    }
)
"""By compose files, examples and tests."""


def unknown_settings(names: Iterable[str]) -> list[str]:
    """A sentence for each, with the setting it may be meant for. Their values are nowhere looked at."""
    known = [name.upper() for name in Settings.model_fields]
    told = []
    for name in sorted(names):
        short = name.upper().removeprefix(PREFIX)
        if short != name.upper() and short not in known and name not in READ_ELSEWHERE:
            near = get_close_matches(short, known, n=1)
            told.append(f"{name} is no setting" + (f": is {PREFIX}{near[0]} meant?" if near else ""))
    return told


def unknown_here() -> list[str]:
    """Of this process."""
    return unknown_settings(os.environ)  # noqa: TID251  it is about those that are no settings


def warn_of_unknown_settings() -> None:
    for each in unknown_here():
        log.warning("%s", each)
