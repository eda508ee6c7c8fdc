"""Refuses requests that name a host of others: a page may point a name of its own at this machine."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.accept import answer_type
from api.payloads import error_entry, write_json

_ADMITTED = "carillon.host_admitted"
_REFUSAL = write_json(
    {"errors": [error_entry("BAD_REQUEST", "The host that the request names is none that is answered here.")]}
)


class NamedHosts:
    """Refuses as clients of GraphQL over HTTP understand it."""

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str]) -> None:
        self._app = app
        self._check = TrustedHostMiddleware(_admit, allowed_hosts, www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._check(scope, receive, _say_nothing)
        if scope.pop(_ADMITTED, False):
            await self._app(scope, receive, send)
            return
        media_type = f"{answer_type(Headers(scope=scope))}; charset=utf-8"
        refusal = Response(_REFUSAL, 400, {"content-type": media_type, "cache-control": "no-store"})
        await refusal(scope, receive, send)


async def _admit(scope: Scope, _: Receive, __: Send) -> None:
    scope[_ADMITTED] = True


async def _say_nothing(_: Message) -> None:
    """What it would say is plain text."""
