"""Why a JWT was refused is told to the operator alone, in a word, and not as often as somebody pleases."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from domain.errors import Unauthenticated
from infra.authentication.refused import QUIET, Reason, RefusedJwts
from tests.support.face import StillClock
from tests.support.jwts import AUDIENCE, ISSUER, Issuer, by_hand, reader_of


def counted(registry: CollectorRegistry) -> dict[str, float]:
    found = {
        reason: registry.get_sample_value("carillon_jwts_refused_total", {"reason": reason})
        for reason in Reason
    }
    return {reason: value for reason, value in found.items() if value}


async def refused(issuer: Issuer, text: str, **settings: Any) -> dict[str, float]:
    registry = CollectorRegistry()
    with pytest.raises(Unauthenticated) as refusal:
        await reader_of(issuer, registry, **settings).read(text)
    assert str(refusal.value) == str(Unauthenticated()), "the one who sent it is told nothing more"
    return counted(registry)


CLAIMS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("issuer", {"iss": "https://evil.example.com/"}, {}),
    ("audience", {"aud": "another"}, {}),
    ("missing_claim", {"exp": None}, {}),
    ("missing_claim", {"aud": None}, {}),
    ("missing_claim", {"iss": None}, {}),
    ("expired", {"exp": 1}, {}),
    ("not_yet_valid", {"nbf": 4_000_000_000}, {}),
    ("not_yet_valid", {"iat": 4_000_000_000}, {}),
    ("owner_claim", {"sub": None}, {}),
    ("tenant_claim", {}, {"jwt_tenant_claim": "org"}),
    ("role_claim", {"role": "OWNER"}, {"jwt_role_claim": "role"}),
    ("malformed", {"exp": "soon"}, {}),
]


@pytest.mark.parametrize(("reason", "claims", "settings"), CLAIMS)
async def test_a_claim_that_is_wrong_is_counted_by_its_reason(
    reason: str, claims: dict[str, Any], settings: dict[str, Any]
) -> None:
    issuer = Issuer()
    assert await refused(issuer, issuer.sign(**claims), **settings) == {reason: 1}


async def test_who_signed_and_how_is_counted_by_its_reason() -> None:
    issuer = Issuer()
    assert await refused(issuer, Issuer("two").sign()) == {"unknown_key": 1}
    assert await refused(issuer, Issuer().sign()) == {"signature": 1}
    unsigned = by_hand({"alg": "none", "kid": "one"}, {"iss": ISSUER, "aud": AUDIENCE, "exp": 4_000_000_000})
    assert await refused(issuer, unsigned) == {"algorithm": 1}
    assert await refused(issuer, "a.b.c") == {"malformed": 1}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # of the one who signs
async def test_a_key_of_the_set_that_is_too_short_is_counted_as_such() -> None:
    issuer = Issuer(algorithm="RS256", bits=1_024)
    assert await refused(issuer, issuer.sign()) == {"weak_key": 1}


async def test_a_good_one_counts_for_nothing() -> None:
    issuer, registry = Issuer(), CollectorRegistry()
    await reader_of(issuer, registry).read(issuer.sign())
    assert counted(registry) == {}


async def test_the_log_names_the_reason_and_nothing_of_the_jwt(caplog: pytest.LogCaptureFixture) -> None:
    issuer = Issuer()
    text = issuer.sign(exp=1, sub="somebody")
    with caplog.at_level(logging.WARNING):
        await refused(issuer, text)
    assert "expired" in caplog.text
    assert not [part for part in (*text.split("."), "somebody") if part in caplog.text]


def test_a_reason_is_logged_once_a_minute_with_how_many_were_left_out(caplog: pytest.LogCaptureFixture) -> None:
    clock, registry = StillClock(), CollectorRegistry()
    refusals = RefusedJwts(clock, registry)
    for _ in range(3):
        refusals.note(Reason.EXPIRED)
    refusals.note(Reason.AUDIENCE)
    assert [record.args for record in caplog.records] == [("expired", 0), ("audience", 0)]
    clock.time += QUIET - timedelta(seconds=1)
    refusals.note(Reason.EXPIRED)
    clock.time += timedelta(seconds=1)
    refusals.note(Reason.EXPIRED)
    assert [record.args for record in caplog.records[2:]] == [("expired", 3)]
    assert counted(registry) == {"expired": 5, "audience": 1}
