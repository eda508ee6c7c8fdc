"""The commands for tokens: made and shown once, listed without their secrets, revoked."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from domain.errors import Unauthenticated
from domain.tenancy.model import Caller, Role
from tests.support.callers import Tokens
from tests.support.storage import Storage

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.postgres


async def carillon(storage: Storage, *arguments: str) -> tuple[int | None, str, str]:
    """Its exit code, and what it says to the standard output and the standard error."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CARILLON_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "api.cli", "tokens", *arguments),
        cwd=ROOT,
        env=kept | {"CARILLON_DATABASE_URL": storage.url, "CARILLON_TENANT": "acme"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    return process.returncode, said.decode(), complained.decode()


async def test_a_token_is_made_listed_and_revoked(storage: Storage) -> None:
    code, text, told = await carillon(
        storage, "create", "--name", "Alice's app", "--role", "EDITOR", "--owner", "alice", "--expires", "12h"
    )
    assert code == 0, told
    token = text.removesuffix("\n")
    [kept] = await storage.access_tokens.all("acme")
    assert kept.expires_at == kept.created_at + timedelta(hours=12)
    assert kept.prefix in told
    assert token not in told
    tokens = Tokens(storage, remembered=timedelta(0))
    identified = await tokens.known.identify(token)
    assert identified.caller == Caller(tenant="acme", role=Role.EDITOR, owner="alice")

    code, listed, _ = await carillon(storage, "list")
    assert code == 0
    row = listed.splitlines()[1].split("\t")
    assert row[:4] == [kept.prefix, "Alice's app", "EDITOR", "alice"]
    assert token.rpartition("_")[2] not in listed

    assert (await carillon(storage, "revoke", kept.prefix))[0] == 0
    with pytest.raises(Unauthenticated):
        await tokens.known.identify(token)


async def test_tokens_belong_to_a_tenant(storage: Storage) -> None:
    arguments = ("--name", "x", "--role", "viewer", "--expires", "never")
    code, _, _ = await carillon(storage, "create", *arguments, "--tenant", "other")
    assert code == 0
    [kept] = await storage.access_tokens.all("other")
    assert kept.expires_at is None
    _, listed, _ = await carillon(storage, "list")
    assert kept.prefix not in listed
    code, _, told = await carillon(storage, "revoke", kept.prefix)
    assert (code, told) == (1, "There is no such token.\n")


async def test_what_is_wrong_with_a_token_is_told_by_its_option(storage: Storage) -> None:
    code, said, told = await carillon(storage, "create", "--name", "", "--role", "viewer", "--expires", "9999w")
    assert (code, said) == (1, "")
    assert [line.split(":")[0] for line in told.splitlines()] == ["--name", "--expires"]
