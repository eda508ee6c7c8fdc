"""Which pages a browser may let use the API: our own, and those of the origins in the settings."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from api.query_string import PREFLIGHT_HEADERS

_READ = ("authorization", "content-type", "last-event-id", "traceparent", *PREFLIGHT_HEADERS)
_TOLD = ("retry-after", "traceparent", "www-authenticate")


class Origins:
    def __init__(self, allowed: Collection[str]) -> None:
        """As browsers write them: `https://app.example.com`, with the port if it is not the usual one."""
        self._allowed = frozenset(allowed)

    def allow(self, headers: Headers) -> bool:
        """Whether a page of an allowed origin sends this, and says so."""
        return headers.get("origin") in self._allowed

    def refuse(self, headers: Headers) -> bool:
        """Whether a page sends this that is neither allowed nor ours. Programs do not name an origin."""
        origin = headers.get("origin")
        return origin is not None and origin not in self._allowed and not _is_ours(origin, headers)

    def answering(self) -> list[Middleware]:
        """What tells browsers what pages of the allowed origins may send and read; nothing without any.

        Never with credentials of the browser's: what a page may do, it may by a token that it has.
        """
        if not self._allowed:
            return []
        answers = Middleware(
            CORSMiddleware,
            allow_origins=self._allowed,
            allow_methods=("GET", "POST"),
            allow_headers=_READ,
            expose_headers=_TOLD,
        )
        return [answers]


def _is_ours(origin: str, headers: Headers) -> bool:
    try:
        site = urlsplit(origin).netloc
    except ValueError:  # no address a page can have
        return False
    return site.lower() == headers.get("host", "").lower()
