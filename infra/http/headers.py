"""Says which headers a webhook's author may set."""

from __future__ import annotations

import re
from collections.abc import Mapping

from domain.actions.credentials import REDACTED, is_credential
from domain.actions.model import SealedValue
from domain.errors import Invalid, NothingEncrypts

COUNT = 32
SIZE = 8 * 1024
"""Bytes of all names and values together."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_VALUE = re.compile(r"([\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?)?")
_RESERVED = re.compile(
    r"host|content-length|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|accept-encoding"
    r"|proxy-.*|webhook-.*|carillon-.*|traceparent|tracestate"
)


def check_headers(headers: Mapping[str, str | SealedValue]) -> None:
    """Raises Invalid, naming the header."""
    if len(headers) > COUNT:
        raise Invalid(f"A webhook has at most {COUNT} headers of its own.", ("headers",))
    if sum(len(name) + len(str(value)) for name, value in headers.items()) > SIZE:
        raise Invalid(f"The headers of a webhook have at most {SIZE} bytes in all.", ("headers",))
    seen: set[str] = set()
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise Invalid("The name of a header is 1 to 100 letters, digits and hyphens.", ("headers",))
        path = ("headers", name)
        if _RESERVED.fullmatch(name.lower()):
            raise Invalid("This header is set by Carillon.", path)
        if name.lower() in seen:
            raise Invalid("This header is given twice.", path)
        seen.add(name.lower())
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise Invalid("The value of a header is printable ASCII, without spaces around it.", path)


def check_credentials(headers: Mapping[str, str | SealedValue], *, encrypts: bool) -> None:
    """Of headers that are to be stored. Raises Invalid, naming the header."""
    for name, value in headers.items():
        if not is_credential(name):
            continue
        if value == REDACTED:
            raise Invalid("This is how a kept value is shown: give the value itself.", ("headers", name))
        if not encrypts:
            raise NothingEncrypts(path=("headers", name))
