"""A ring of keys: the first one encrypts, and each still decrypts what it encrypted (AES-256-GCM)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.system import random_bytes

KEY_BYTES = 32
NONCE_BYTES = 12
MOST_KEYS = 16

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_FORM = f"it is id:key, or several with commas between; a key is {KEY_BYTES} bytes as base64"


class Undecryptable(Exception):  # noqa: N818  says what it is
    """Its key is not in the ring, or it does not belong where it was found. Never says what it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """Encrypted bytes, and which key opens them."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Without keys it encrypts nothing: see `usable`. `context` says where a value belongs (its purpose, its
    tenant, its row): it is not stored, and what is moved elsewhere cannot be decrypted there."""

    _keys: dict[str, AESGCM] = field(default_factory=dict, repr=False)

    @property
    def usable(self) -> bool:
        return bool(self._keys)

    @property
    def newest(self) -> str:
        """The id of the key that encrypts."""
        return next(iter(self._keys))

    def seal(self, plain: bytes, *context: str) -> Sealed:
        nonce = random_bytes(NONCE_BYTES)
        ciphertext = self._keys[self.newest].encrypt(nonce, plain, _bound(context))
        return Sealed(key_id=self.newest, nonce=nonce, ciphertext=ciphertext)

    def open(self, sealed: Sealed, *context: str) -> bytes:
        """Raises Undecryptable."""
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise Undecryptable(f"the key {sealed.key_id} is not among CARILLON_ENCRYPTION_KEYS")
        try:
            return key.decrypt(sealed.nonce, sealed.ciphertext, _bound(context))
        except (InvalidTag, ValueError) as error:
            raise Undecryptable("it was changed, moved, or encrypted with another key of this id") from error


def read_keys(text: str) -> KeyRing:
    """The ring that `id:key,id:key` is. Raises ValueError, which never repeats a key."""
    keys: dict[str, AESGCM] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        id, named, key = part.partition(":")
        # Without an id what is there may be a key.
        if not named or not ID.fullmatch(id):
            raise ValueError(_FORM)
        if id in keys:
            raise ValueError(f"there are two keys with the id {id}")
        keys[id] = AESGCM(_key(id, key))
    if not keys or len(keys) > MOST_KEYS:
        raise ValueError(f"{_FORM}; at most {MOST_KEYS} of them")
    return KeyRing(keys)


def new_key(id: str) -> str:
    """A key as a setting holds it."""
    return f"{id}:{base64.b64encode(random_bytes(KEY_BYTES)).decode()}"


def _key(id: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"the key {id} is not {KEY_BYTES} bytes as base64")
    return key


def _bound(context: tuple[str, ...]) -> bytes:
    return json.dumps(context).encode()  # unlike joined texts, no two contexts have the same bytes
