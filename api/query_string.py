"""Operations in the query string of a GET, and which of them a page of another site may have made."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.datastructures import Headers

from api.payloads import Malformed, read_json

PREFLIGHT_HEADERS = ("graphql-require-preflight", "apollo-require-preflight", "x-apollo-operation-name")
"""Any of them, with any value: browsers ask us before they send one to another origin."""
_SIMPLE_TYPES = {"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"}
_MAX_PARAMETERS = 20


def read_query_string(query_string: bytes) -> dict[str, object]:
    """The object that the body of a POST would have. Raises Malformed."""
    given: dict[str, str] = {}
    for name, value in _parameters(query_string):
        if name in given:
            raise Malformed("a parameter is given twice")
        given[name] = value
    operation: dict[str, object] = {}
    operation |= {name: given[name] for name in ("query", "documentId", "operationName") if name in given}
    operation |= {name: read_json(given[name]) for name in ("variables", "extensions") if name in given}
    return operation


def may_be_forged(headers: Headers) -> bool:
    """Whether a browser might send this for a page of another site, without asking us before.

    What such a page cannot do is to name a header or a content type out of the ordinary, nor to say
    `Sec-Fetch-Site: same-origin`, which only browsers write: it lets our own pages use EventSource.
    """
    if headers.get("sec-fetch-site") == "same-origin" or any(map(headers.get, PREFLIGHT_HEADERS)):
        return False
    media_type = headers.get("content-type", "").partition(";")[0]
    return media_type.strip().lower() in _SIMPLE_TYPES


def _parameters(query_string: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        raise Malformed("its query string is not one of UTF-8") from None
