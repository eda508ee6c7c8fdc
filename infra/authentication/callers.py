"""Tells callers apart by their credentials, and remembers the answers for a short while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Protocol

from domain.clock import Clock
from domain.errors import Unauthenticated, Unavailable
from domain.tenancy.model import Caller, Role
from domain.tenancy.ports import AccessTokens, Identified
from domain.tenancy.tokens import prefix_of

REMEMBERED = timedelta(seconds=10)
"""How long a token may still be good after it was revoked."""
MOST_REMEMBERED = 10_000
LONGEST_CREDENTIAL = 8_192
"""Characters."""
USE_NOTED = timedelta(hours=1)


class Jwts(Protocol):
    async def read(self, text: str) -> Identified:
        """Raises Unauthenticated, and Unavailable while there are no keys to check it with."""
        ...


class Everyone:
    """Whoever connects is an administrator of the one tenant."""

    def __init__(self, tenant: str) -> None:
        self._identified = Identified(caller=Caller(tenant=tenant, role=Role.ADMIN))

    async def identify(self, credential: str | None) -> Identified:
        return self._identified


class Known:
    """Those with an access token, or with a JWT where these are taken."""

    def __init__(
        self, tokens: AccessTokens, jwts: Jwts | None, clock: Clock, remembered: timedelta = REMEMBERED
    ) -> None:
        self._tokens = tokens
        self._jwts = jwts
        self._clock = clock
        self._remembered = remembered
        self._answers: OrderedDict[bytes, Identified] = OrderedDict()
        # The sockets of one token ask again at the same instant: one of them is to look it up.
        self._asking = [asyncio.Lock() for _ in range(64)]

    async def identify(self, credential: str | None) -> Identified:
        if credential is None or len(credential) > LONGEST_CREDENTIAL:
            raise Unauthenticated
        key = sha256(credential.encode(errors="replace")).digest()
        answer = self._answer(key)
        if answer is not None:
            return answer
        async with self._asking[key[0] % len(self._asking)]:
            answer = self._answer(key)
            if answer is None:
                answer = self._answers[key] = await self._look_up(credential)
                if len(self._answers) > MOST_REMEMBERED:
                    self._answers.popitem(last=False)
        return answer

    def _answer(self, key: bytes) -> Identified | None:
        """The one remembered, while it stands."""
        answer = self._answers.get(key)
        if answer is None or answer.ask_again_at is None or self._clock.now() < answer.ask_again_at:
            return answer
        del self._answers[key]
        return None

    async def _look_up(self, credential: str) -> Identified:
        prefix = prefix_of(credential)
        if prefix is not None:
            return await self._of_token(prefix, credential)
        if self._jwts is not None:
            return await self._jwts.read(credential)
        raise Unauthenticated

    async def _of_token(self, prefix: str, text: str) -> Identified:
        now = self._clock.now()
        kept = await self._tokens.find(prefix)
        if kept is None or not kept.is_of(text) or not kept.token.is_valid(now):
            raise Unauthenticated
        token = kept.token
        if token.last_used_at is None or token.last_used_at < now - USE_NOTED:
            with suppress(Unavailable):
                await self._tokens.note_use(token.tenant, token.id)
        return Identified(
            caller=token.caller,
            expires_at=token.expires_at,
            ask_again_at=_sooner(now + self._remembered, token.expires_at),
        )


def _sooner(one: datetime, other: datetime | None) -> datetime:
    return one if other is None else min(one, other)
