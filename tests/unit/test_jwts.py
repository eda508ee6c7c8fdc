"""A JWT is taken when everything about it is as configured, and never gives more than it says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from domain.errors import Unauthenticated, Unavailable
from domain.tenancy.model import Caller, Role
from domain.tenancy.ports import Identified
from infra.authentication.jwts import STANDS, JwtReader
from infra.authentication.key_set import KeySet
from infra.authentication.refused import RefusedJwts
from infra.system import SystemClock
from tests.support.jwts import AUDIENCE, ISSUER, Issuer, by_hand, jwt_settings, reader_of


async def read(issuer: Issuer, text: str, **settings: Any) -> Identified:
    return await reader_of(issuer, **settings).read(text)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_the_subject_of_a_good_one_is_the_owner_it_is_bound_to(algorithm: str) -> None:
    issuer, ends = Issuer(algorithm=algorithm), int(time.time()) + 30
    identified = await read(issuer, issuer.sign(exp=ends), jwt_leeway=5)
    assert identified.caller == Caller(tenant="default", role=Role.VIEWER, owner="alice")
    assert identified.expires_at == datetime.fromtimestamp(ends + 5, UTC)
    assert identified.ask_again_at == identified.expires_at


async def test_one_that_lasts_is_looked_at_again_after_a_minute() -> None:
    issuer, before = Issuer(), datetime.now(UTC)
    identified = await read(issuer, issuer.sign())
    assert identified.ask_again_at is not None
    assert before + STANDS <= identified.ask_again_at <= datetime.now(UTC) + STANDS


CLAIMS: list[tuple[dict[str, Any], dict[str, Any], Caller]] = [
    ({}, {"jwt_role": "EDITOR"}, Caller(tenant="default", role=Role.EDITOR, owner="alice")),
    ({}, {"jwt_owner_claim": ""}, Caller(tenant="default", role=Role.VIEWER)),
    ({"uid": "7"}, {"jwt_owner_claim": "uid"}, Caller(tenant="default", role=Role.VIEWER, owner="7")),
    ({"org": "acme"}, {"jwt_tenant_claim": "org"}, Caller(tenant="acme", role=Role.VIEWER, owner="alice")),
    ({"org": "acme"}, {}, Caller(tenant="default", role=Role.VIEWER, owner="alice")),
    ({"role": "editor"}, {"jwt_role_claim": "role"}, Caller(tenant="default", role=Role.EDITOR, owner="alice")),
    ({"role": "ADMIN"}, {}, Caller(tenant="default", role=Role.VIEWER, owner="alice")),
    ({}, {"jwt_role_claim": "role"}, Caller(tenant="default", role=Role.VIEWER, owner="alice")),
    ({"aud": ["x", AUDIENCE]}, {}, Caller(tenant="default", role=Role.VIEWER, owner="alice")),
]


@pytest.mark.parametrize(("claims", "settings", "caller"), CLAIMS)
async def test_claims_say_who_it_is_where_the_settings_name_them(
    claims: dict[str, Any], settings: dict[str, Any], caller: Caller
) -> None:
    issuer = Issuer()
    assert (await read(issuer, issuer.sign(**claims), **settings)).caller == caller


REFUSED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"iss": "https://evil.example.com/"}, {}),
    ({"iss": None}, {}),
    ({"aud": "another"}, {}),
    ({"aud": None}, {}),
    ({"exp": None}, {}),
    ({"exp": 1}, {}),
    ({"nbf": 4_000_000_000}, {}),
    ({"sub": None}, {}),
    ({"sub": ""}, {}),
    ({"sub": "a\x00b"}, {}),
    ({"sub": "x" * 201}, {}),
    ({}, {"jwt_tenant_claim": "org"}),
    ({"org": ["acme"]}, {"jwt_tenant_claim": "org"}),
    ({"org": "x" * 65}, {"jwt_tenant_claim": "org"}),
    ({"role": "OWNER"}, {"jwt_role_claim": "role"}),
    ({"role": "adm\u0131n"}, {"jwt_role_claim": "role"}),
    ({"role": ["ADMIN"]}, {"jwt_role_claim": "role"}),
    ({}, {"jwt_algorithms": ("RS256",)}),
]


@pytest.mark.parametrize(("claims", "settings"), REFUSED)
async def test_one_with_a_claim_that_is_wrong_or_missing_is_refused(
    claims: dict[str, Any], settings: dict[str, Any]
) -> None:
    issuer = Issuer(extra=[Issuer("two", "RS256").public])
    with pytest.raises(Unauthenticated):
        await read(issuer, issuer.sign(**claims), **settings)


async def test_the_leeway_is_for_clocks_that_differ() -> None:
    issuer, now = Issuer(), int(time.time())
    off: list[dict[str, Any]] = [{"exp": now - 10}, {"nbf": now + 10}, {"iat": now + 10}]
    for claims in off:
        await read(issuer, issuer.sign(**claims), jwt_leeway=300)
        with pytest.raises(Unauthenticated):
            await read(issuer, issuer.sign(**claims), jwt_leeway=0)


async def test_one_that_nobody_signed_is_refused() -> None:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": 4_000_000_000}
    for algorithm in ("none", "None", "NONE", "", None, 1, ["ES256"]):
        with pytest.raises(Unauthenticated):
            await read(Issuer(), by_hand({"alg": algorithm, "kid": "one", "typ": "JWT"}, claims))


async def test_a_public_key_is_no_secret_to_sign_with() -> None:
    issuer = Issuer(algorithm="RS256")
    pem = issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": 4_000_000_000}
    signed, _, _ = by_hand({"alg": "HS256", "kid": "one"}, claims).rpartition(".")
    signature = hmac.new(pem, signed.encode(), hashlib.sha256).digest()
    forged = f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    with pytest.raises(Unauthenticated):
        await read(issuer, forged)


async def test_a_shared_secret_in_a_key_set_verifies_nothing() -> None:
    secret = b"x" * 32
    shared = {"kty": "oct", "kid": "shared", "alg": "HS256", "k": base64.urlsafe_b64encode(secret).decode()}
    forged = jwt.encode(
        {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": 4_000_000_000},
        secret,
        "HS256",
        headers={"kid": "shared"},
    )
    with pytest.raises(Unauthenticated):
        await read(Issuer(extra=[shared]), forged)


async def test_another_key_of_the_same_name_is_not_taken_for_it() -> None:
    with pytest.raises(Unauthenticated):
        await read(Issuer(), Issuer().sign())


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # of the one who signs
async def test_a_key_that_is_too_short_verifies_nothing() -> None:
    issuer = Issuer(algorithm="RS256", bits=1_024)
    with pytest.raises(Unauthenticated):
        await read(issuer, issuer.sign())


async def test_a_changed_one_is_refused() -> None:
    issuer = Issuer()
    header, _, signature = issuer.sign().split(".")
    claims = by_hand({}, {"iss": ISSUER, "aud": AUDIENCE, "sub": "bob", "exp": 4_000_000_000}).split(".")[1]
    with pytest.raises(Unauthenticated):
        await read(issuer, f"{header}.{claims}.{signature}")


NESTED = base64.urlsafe_b64encode(b"[" * 4_000).decode()


@pytest.mark.parametrize("text", ["a", "a.b", "a.b.c", "\N{SNOWMAN}.a.b", f"{NESTED}.{NESTED}.a", "e30.e30."])
async def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(Unauthenticated):
        await read(Issuer(), text)


async def test_a_key_need_not_be_named_where_there_is_but_one() -> None:
    issuer = Issuer()
    unnamed = issuer.sign(header={"kid": None})
    assert (await read(issuer, unnamed)).caller.owner == "alice"
    issuer.extra.append(Issuer("two").public)
    with pytest.raises(Unauthenticated):
        await read(issuer, unnamed)


async def test_without_any_keys_it_is_tried_again_later() -> None:
    async def away() -> bytes:
        raise OSError("gone")

    settings, clock = jwt_settings(), SystemClock()
    keys = KeySet(away, settings.jwt_algorithms)
    with pytest.raises(Unavailable):
        await JwtReader(keys, settings, clock, RefusedJwts(clock, CollectorRegistry())).read(Issuer().sign())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"authentication": "none"}, "needs CARILLON_AUTHENTICATION"),
        ({"jwt_issuer": None}, "needs CARILLON_JWT_ISSUER"),
        ({"jwt_audience": None}, "CARILLON_JWT_AUDIENCE"),
        ({"jwt_issuer": ""}, "at least 1 character"),
        ({"jwt_algorithms": "HS256"}, "jwt_algorithms"),
        ({"jwt_algorithms": "none"}, "jwt_algorithms"),
        ({"jwt_algorithms": ""}, "one at least"),
        ({"jwt_key_set": "http://id.example.com/keys"}, "start with https"),
        ({"jwt_key_set": "ftp://127.0.0.1/keys", "http_allow_insecure": True}, "start with https"),
    ],
)
def test_settings_that_would_take_too_much_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        jwt_settings(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"jwt_key_set": "https://id.example.com/keys"},
        {"jwt_key_set": "http://127.0.0.1:8080/keys"},
        {"jwt_key_set": "http://[::1]/keys"},
        {"jwt_key_set": "http://id/keys", "http_allow_insecure": True},
        {"jwt_algorithms": "PS256, ES384"},
    ],
)
def test_settings_that_are_safe_are_taken(settings: dict[str, Any]) -> None:
    assert jwt_settings(**settings).jwt_key_set is not None
    assert timedelta(seconds=jwt_settings().jwt_leeway) < STANDS
