"""An issuer of JWTs with keys of its own, made when it is first used."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from prometheus_client import CollectorRegistry

from infra.authentication.jwts import JwtReader
from infra.authentication.key_set import KeySet
from infra.authentication.refused import RefusedJwts
from infra.settings import Settings
from infra.system import SystemClock
from tests.support.engine_fakes import settings_of

ISSUER, AUDIENCE = "https://id.example.com/", "carillon"


@dataclass
class Issuer:
    """Signs with `key`, which its key set names `id`."""

    id: str = "one"
    algorithm: str = "ES256"
    bits: int = 2_048
    """Of an RSA key."""
    extra: list[dict[str, Any]] = field(default_factory=list)
    """Further keys of the set."""

    @cached_property
    def key(self) -> Any:
        match self.algorithm[:2]:
            case "ES":
                return ec.generate_private_key(ec.SECP256R1())
            case "Ed":
                return ed25519.Ed25519PrivateKey.generate()
        return rsa.generate_private_key(65_537, self.bits)

    @property
    def public(self) -> dict[str, Any]:
        public = self.key.public_key()
        match self.algorithm[:2]:
            case "ES":
                text = ECAlgorithm.to_jwk(public)
            case "Ed":
                text = OKPAlgorithm.to_jwk(public)
            case _:
                text = RSAAlgorithm.to_jwk(public)
        described: dict[str, Any] = json.loads(text)
        return described | {"kid": self.id, "alg": self.algorithm, "use": "sig"}

    @property
    def key_set(self) -> bytes:
        return json.dumps({"keys": [self.public, *self.extra]}).encode()

    def sign(self, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A good one for `alice` that lasts an hour, but for these claims; None leaves one out."""
        good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 3_600}
        kept = {name: value for name, value in (good | claims).items() if value is not None}
        named = {"kid": self.id} | (header or {})
        shown = {name: value for name, value in named.items() if value is not None}
        return jwt.encode(kept, self.key, self.algorithm, headers=shown)


def jwt_settings(**settings: Any) -> Settings:
    configured = {
        "authentication": "required",
        "jwt_key_set": "keys.json",
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
    }
    return settings_of(**configured | settings)


def reader_of(issuer: Issuer, registry: CollectorRegistry | None = None, **settings: Any) -> JwtReader:
    """Who takes the JWTs of this issuer."""

    async def key_set() -> bytes:
        return issuer.key_set

    configured, clock = jwt_settings(**settings), SystemClock()
    keys = KeySet(key_set, configured.jwt_algorithms)
    return JwtReader(keys, configured, clock, RefusedJwts(clock, registry or CollectorRegistry()))


def by_hand(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """What no library of good will makes."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
