"""Access tokens: what is known of one, and how its text is made and read.

A text is `crl_`, 8 characters that tokens are told apart by, `_`, and 59 that are secret: 256 random bits and a
checksum, by which what is no token is known without looking it up. Only the hash of a text is kept.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from uuid import UUID

from domain.tenancy.model import Caller, Role

SCHEME = "crl_"
PREFIX_BYTES = 5
SECRET_BYTES = 32
_SHAPE = re.compile(rf"({SCHEME}[a-z2-7]{{8}})_[a-z2-7]{{52}}([a-z2-7]{{7}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    id: UUID
    tenant: str
    name: str
    """What it is for, in the words of who made it."""
    prefix: str
    """The first characters of its text, unique among all tokens."""
    role: Role
    owner: str | None = None
    created_at: datetime
    expires_at: datetime | None = None
    """None is never."""
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """To the hour; None until it was used."""

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def caller(self) -> Caller:
        return Caller(tenant=self.tenant, role=self.role, owner=self.owner, credential=self.prefix)


@dataclass(frozen=True, slots=True)
class Kept:
    """A token as it is stored."""

    token: AccessToken
    digest: bytes = field(repr=False)

    def is_of(self, text: str) -> bool:
        """In a time that does not depend on where they differ."""
        return compare_digest(self.digest, digest(text))


def new_text(random_bytes: Callable[[int], bytes]) -> str:
    prefix, secret = _letters(random_bytes(PREFIX_BYTES)), _letters(random_bytes(SECRET_BYTES))
    text = f"{SCHEME}{prefix}_{secret}"
    return text + _checksum(text)


def prefix_of(text: str) -> str | None:
    """None for what is no token: another shape, or a checksum that is wrong."""
    found = _SHAPE.fullmatch(text)
    if found is None or _checksum(text[: found.start(2)]) != found[2]:
        return None
    return found[1]


def digest(text: str) -> bytes:
    """Without salt and in one round: 256 random bits cannot be guessed, however fast the hash is."""
    return sha256(text.encode()).digest()


def _checksum(text: str) -> str:
    return _letters(zlib.crc32(text.encode()).to_bytes(4))


def _letters(value: bytes) -> str:
    return base64.b32encode(value).decode().rstrip("=").lower()
