"""Answers that a client keeps, and asks whether they still hold."""

from __future__ import annotations

from hashlib import sha256

from starlette.datastructures import Headers
from starlette.responses import Response


def revalidated(headers: Headers, body: bytes, media_type: str) -> Response:
    """The answer to a GET, or 304 when the client has this one already.

    It is for this caller alone: what is stored is stored by the client and for its credential, and not used
    without asking, as the same request has another answer for another tenant, and later.
    """
    # Weak: compressed or not, it is the same answer.
    digest = sha256(b"%b\n%b" % (media_type.encode(), body)).hexdigest()[:32]
    etag = f'W/"{digest}"'
    caching = {"etag": etag, "cache-control": "private, no-cache", "vary": "accept, authorization"}
    if _names(headers, etag):
        return Response(status_code=304, headers=caching)
    return Response(body, headers=caching | {"content-type": f"{media_type}; charset=utf-8"})


def _names(headers: Headers, etag: str) -> bool:
    given = [each.strip() for each in ",".join(headers.getlist("if-none-match")).split(",")]
    return "*" in given or etag in given or etag.removeprefix("W/") in given
