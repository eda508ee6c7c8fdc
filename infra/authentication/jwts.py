"""JSON Web Tokens (RFC 7519, with the advice of RFC 8725) of an issuer we trust: who has one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from jwt import exceptions as faults
from jwt.exceptions import PyJWTError
from prometheus_client import CollectorRegistry

from domain.clock import Clock
from domain.errors import Unauthenticated
from domain.tenancy.model import MAX_TENANT, Caller, Role
from domain.tenancy.ports import Identified
from domain.work.validation import MAX_NAME, line_fault
from infra.authentication.key_set import KeySet, is_url, reader
from infra.authentication.refused import Reason, RefusedJwts
from infra.background import background
from infra.settings import Settings

STANDS = timedelta(seconds=60)
"""How long a JWT may still be good after its key was taken out of the set we know."""
LATEST = datetime.max.replace(tzinfo=UTC)


REASONS: tuple[tuple[type[PyJWTError], Reason], ...] = (
    (faults.InvalidSignatureError, Reason.SIGNATURE),
    (faults.InvalidAlgorithmError, Reason.ALGORITHM),
    (faults.InvalidKeyError, Reason.WEAK_KEY),
    (faults.ExpiredSignatureError, Reason.EXPIRED),
    (faults.ImmatureSignatureError, Reason.NOT_YET_VALID),
    (faults.InvalidIssuerError, Reason.ISSUER),
    (faults.InvalidAudienceError, Reason.AUDIENCE),
    (faults.MissingRequiredClaimError, Reason.MISSING_CLAIM),
)


class KeySetNotRead(Exception):  # noqa: N818  says what it is
    """The file of the key set cannot be read; the message says why."""


class _Refused(Exception):  # noqa: N818  says what it is
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class JwtReader:
    def __init__(self, keys: KeySet, settings: Settings, clock: Clock, refused: RefusedJwts) -> None:
        self._keys = keys
        self._settings = settings
        self._clock = clock
        self._refused = refused

    async def read(self, text: str) -> Identified:
        """Raises Unauthenticated, and Unavailable while there are no keys to check it with."""
        try:
            return await self._read(text)
        except _Refused as refused:
            self._refused.note(refused.reason)
            raise Unauthenticated from refused

    async def _read(self, text: str) -> Identified:
        try:
            id = jwt.get_unverified_header(text).get("kid")
        except (PyJWTError, ValueError, RecursionError) as fault:
            raise _Refused(Reason.MALFORMED) from fault
        key = await self._keys.key(id if isinstance(id, str) else None)
        if key is None:
            raise _Refused(Reason.UNKNOWN_KEY)
        claims = self._verified(text, key)
        expires_at = self._expiry(claims)
        return Identified(
            caller=self._caller(claims),
            expires_at=expires_at,
            ask_again_at=min(self._clock.now() + STANDS, expires_at),
        )

    def _verified(self, text: str, key: jwt.PyJWK) -> dict[str, Any]:
        """The algorithm is that of the key, whatever the JWT says; those of the set are in our list."""
        try:
            return jwt.decode(
                text,
                key,
                algorithms=self._settings.jwt_algorithms,
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                leeway=self._settings.jwt_leeway,
                options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
            )
        except (PyJWTError, ValueError, RecursionError) as fault:
            raise _Refused(_reason(fault)) from fault

    def _expiry(self, claims: dict[str, Any]) -> datetime:
        try:
            return datetime.fromtimestamp(int(claims["exp"]) + self._settings.jwt_leeway, UTC)
        except (OverflowError, OSError, ValueError):  # further than instants reach
            return LATEST

    def _caller(self, claims: dict[str, Any]) -> Caller:
        """A claim that is to be there and is not never means more rights."""
        settings = self._settings
        tenant, owner, role = settings.tenant, None, settings.jwt_role
        if settings.jwt_tenant_claim:
            tenant = _line(claims.get(settings.jwt_tenant_claim), MAX_TENANT, Reason.TENANT_CLAIM)
        if settings.jwt_owner_claim:
            owner = _line(claims.get(settings.jwt_owner_claim), MAX_NAME, Reason.OWNER_CLAIM)
        if settings.jwt_role_claim and (given := claims.get(settings.jwt_role_claim)) is not None:
            role = _role(given)
        return Caller(tenant=tenant, role=role, owner=owner, credential=_subject(claims.get("sub")))


def _reason(fault: Exception) -> Reason:
    return next((reason for kind, reason in REASONS if isinstance(fault, kind)), Reason.MALFORMED)


def _line(value: object, most: int, reason: Reason) -> str:
    if not isinstance(value, str) or line_fault(value, most) is not None:
        raise _Refused(reason)
    return value


def _subject(value: object) -> str | None:
    return value if isinstance(value, str) and line_fault(value, MAX_NAME) is None else None


def _role(value: object) -> Role:
    # Beyond ASCII, other letters than these have them as their capitals.
    if not isinstance(value, str) or not value.isascii() or value.upper() not in Role.__members__:
        raise _Refused(Reason.ROLE_CLAIM)
    return Role(value.upper())


@asynccontextmanager
async def open_jwts(
    settings: Settings, clock: Clock, registry: CollectorRegistry
) -> AsyncIterator[JwtReader | None]:
    """None where no key set is configured. Opens also while a URL is away. Raises KeySetNotRead."""
    if settings.jwt_key_set is None:
        yield None
        return
    keys = KeySet(reader(settings.jwt_key_set), settings.jwt_algorithms)
    await keys.refresh()
    if keys.fault is not None and not is_url(settings.jwt_key_set):
        raise KeySetNotRead(str(keys.fault)) from keys.fault
    async with background() as tasks:
        tasks.start(keys.refresh_forever(), "jwt-keys")
        yield JwtReader(keys, settings, clock, RefusedJwts(clock, registry))
