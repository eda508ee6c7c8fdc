"""Which headers of a webhook carry credentials: their values are encrypted at rest, and never shown again."""

from __future__ import annotations

import re
from collections.abc import Mapping

from domain.actions.model import SealedValue

REDACTED = "[redacted]"
"""Stands for the value of such a header wherever it is shown."""

_CREDENTIAL = re.compile(
    r".*(authorization|cookie|token|secret|passw|credential|signature"
    r"|api[-_.]?key|(access|account|auth|functions|license|private|session|subscription)[-_.]?key).*"
    r"|(.*[-_.])?(auth|jwt|bearer|session|sid)([-_.].*)?",
    re.IGNORECASE,
)


def is_credential(header: str) -> bool:
    return _CREDENTIAL.fullmatch(header) is not None


def shown(headers: Mapping[str, str | SealedValue]) -> dict[str, str]:
    """As anyone may see them."""
    return {
        name: REDACTED if isinstance(value, SealedValue) or is_credential(name) else value
        for name, value in headers.items()
    }
