"""Words that clients pass back without reading them: base64url, and only in the one spelling we gave out."""

from __future__ import annotations

import base64
import binascii

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def wrap(text: str) -> str:
    return binascii.b2a_base64(text.encode(), newline=False).translate(_URL_SAFE, b"=").decode()


def unwrap(opaque: str) -> str | None:
    """None when it is no such word."""
    try:
        text = base64.urlsafe_b64decode(opaque + "=" * (-len(opaque) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    return text if wrap(text) == opaque else None


def whole_number(text: str, most: int) -> int | None:
    """From 0 to `most`, in plain digits; None for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
        return None
    number = int(text)
    return number if number <= most and str(number) == text else None
