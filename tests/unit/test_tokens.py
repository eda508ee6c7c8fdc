"""Access tokens: their texts, when they are valid, and how they are made."""

from __future__ import annotations

import os
from datetime import timedelta
from uuid import UUID

import pytest

from domain.errors import Refusals
from domain.tenancy.model import Caller, Role
from domain.tenancy.service import TokenService
from domain.tenancy.tokens import AccessToken, Kept, digest, new_text, prefix_of
from tests.support.face import NOW, CountedIds, StillClock


class KeptTokens:
    """Takes them, and gives nothing back."""

    def __init__(self) -> None:
        self.added: list[Kept] = []

    async def add(self, kept: Kept) -> None:
        self.added.append(kept)

    async def find(self, prefix: str) -> Kept | None:
        raise NotImplementedError

    async def all(self, tenant: str) -> list[AccessToken]:
        raise NotImplementedError

    async def revoke(self, tenant: str, prefix: str) -> AccessToken:
        raise NotImplementedError

    async def note_use(self, tenant: str, id: UUID) -> None:
        raise NotImplementedError


def test_a_text_is_known_by_its_shape_and_its_checksum() -> None:
    text = new_text(os.urandom)
    prefix = prefix_of(text)
    assert prefix == text[:12]
    assert len(text) == 72
    wrong = "b" if text[-20] == "a" else "a"
    for other in (
        "",
        text[:-1],
        text + "a",
        text.upper(),
        f" {text}",
        f"{text}\n",
        text[:-20] + wrong + text[-19:],
        text.replace("crl_", "crx_"),
        "crl_aaaaaaaa_" + "a" * 59,
    ):
        assert prefix_of(other) is None, other


def test_no_two_texts_are_the_same() -> None:
    assert len({new_text(os.urandom) for _ in range(100)}) == 100


def test_a_token_is_valid_until_it_expires_or_is_revoked() -> None:
    token = AccessToken(
        id=UUID(int=1),
        tenant="acme",
        name="shop",
        prefix="crl_aaaaaaaa",
        role=Role.VIEWER,
        owner="alice",
        created_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )
    assert token.is_valid(NOW)
    assert not token.is_valid(NOW + timedelta(hours=1))
    assert token.caller == Caller(tenant="acme", role=Role.VIEWER, owner="alice")


async def test_a_token_is_made_as_asked_and_only_its_hash_is_kept() -> None:
    kept = KeptTokens()
    service = TokenService(kept, StillClock(), CountedIds(), os.urandom)
    issued = await service.create(
        tenant="acme", name="shop", role=Role.EDITOR, owner=None, lifetime=timedelta(days=90)
    )
    [stored] = kept.added
    assert stored.token == issued.token
    assert stored.digest == digest(issued.text)
    assert issued.token.expires_at == NOW + timedelta(days=90)
    assert issued.token.prefix == prefix_of(issued.text)
    assert issued.text not in repr((issued, stored))


async def test_all_that_is_wrong_with_one_is_told() -> None:
    kept = KeptTokens()
    service = TokenService(kept, StillClock(), CountedIds(), os.urandom)
    with pytest.raises(Refusals) as refused:
        await service.create(
            tenant="t" * 65, name="\x00", role=Role.VIEWER, owner="", lifetime=timedelta(days=4_000)
        )
    assert [each.path for each in refused.value.refusals] == [("tenant",), ("name",), ("owner",), ("expires",)]
    assert kept.added == []
