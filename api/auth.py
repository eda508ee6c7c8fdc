"""Where a request or a socket says who calls, and what becomes of a socket when that is not true any more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from starlette.datastructures import Headers

from domain.clock import Clock
from domain.errors import Unauthenticated, Unavailable
from domain.tenancy.model import Caller
from domain.tenancy.ports import Callers, Identified

RETRY = timedelta(seconds=1)
"""Until it is asked again whether a credential is good, when that could not be told."""


def credential_in(headers: Headers) -> str | None:
    """That of `Authorization: Bearer`; None when there is none, or it cannot be told which of several."""
    given = headers.getlist("authorization")
    return _bearer(given[0]) if len(given) == 1 else None


def credential_of(payload: dict[str, Any] | None) -> str | None:
    """That of a `connection_init`, as browsers cannot give headers to a websocket.

    `{"authorization": "Bearer ..."}` or `{"token": "..."}`, the names in any case of letters.
    """
    for name, value in (payload or {}).items():
        if isinstance(value, str) and name.lower() == "authorization":
            return _bearer(value)
        if isinstance(value, str) and name.lower() == "token":
            return value
    return None


def challenge(headers: Headers) -> str:
    """For the header WWW-Authenticate (RFC 6750) of a request that was not authenticated."""
    return 'Bearer error="invalid_token"' if "authorization" in headers else "Bearer"


class Session:
    """The caller of a socket, for as long as their credential is good."""

    def __init__(self, callers: Callers, clock: Clock, credential: str | None, identified: Identified) -> None:
        self._callers = callers
        self._clock = clock
        self._credential = credential
        self._identified = identified
        self._ended = False

    def caller(self) -> Caller:
        """Raises Unauthenticated once the credential has expired, or was found to be revoked."""
        expires_at = self._identified.expires_at
        if self._ended or (expires_at is not None and expires_at <= self._clock.now()):
            raise Unauthenticated
        return self._identified.caller

    @property
    def stands_for(self) -> float | None:
        """Seconds until `renew` is to be called; None is for good."""
        until = self._identified.ask_again_at
        return None if until is None else (until - self._clock.now()).total_seconds()

    async def ended(self) -> None:
        """Returns once the credential is good no more."""
        try:
            while (seconds := self.stands_for) is not None:
                await asyncio.sleep(seconds)
                await self.renew()
        except Unauthenticated:
            return
        await asyncio.Event().wait()  # it is good for ever now

    async def renew(self) -> None:
        """Raises Unauthenticated when the credential is good no more. While that cannot be told, it is."""
        try:
            self._identified = await self._callers.identify(self._credential)
        except Unauthenticated:
            self._ended = True
            raise
        except Unavailable:
            self.caller()
            again = self._clock.now() + RETRY
            self._identified = replace(self._identified, ask_again_at=again)


async def begin_session(callers: Callers, clock: Clock, credential: str | None) -> Session:
    """Raises Unauthenticated and Unavailable."""
    return Session(callers, clock, credential, await callers.identify(credential))


def _bearer(value: str) -> str | None:
    scheme, _, credential = value.strip().partition(" ")
    return credential.strip() or None if scheme.lower() == "bearer" else None
