"""Who has a token is known by it, cheaply, and within ten seconds not any more once it is revoked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from domain.errors import Unauthenticated, Unavailable
from domain.tenancy.model import Caller, Role
from domain.tenancy.tokens import new_text
from infra.authentication.callers import LONGEST_CREDENTIAL, Everyone
from infra.system import random_bytes
from tests.support.callers import Tokens
from tests.support.face import StillClock
from tests.support.storage import Storage

pytestmark = pytest.mark.postgres
BOUND = timedelta(seconds=10)


async def test_a_token_says_the_tenant_the_role_and_the_owner(storage: Storage) -> None:
    tokens = Tokens(storage)
    issued = await tokens.issue(Role.VIEWER, owner="alice")
    identified = await tokens.known.identify(issued.text)
    assert identified.caller == Caller(tenant="acme", role=Role.VIEWER, owner="alice")
    assert identified.expires_at == issued.token.expires_at


@pytest.mark.parametrize(
    "credential",
    [None, "", "nonsense", new_text(random_bytes), "\ud800", "x" * (LONGEST_CREDENTIAL + 1), "a.b.c"],
    ids=["none", "empty", "nonsense", "unknown", "surrogate", "long", "a JWT where none are taken"],
)
async def test_nobody_is_known_by_anything_else(storage: Storage, credential: str | None) -> None:
    with pytest.raises(Unauthenticated):
        await Tokens(storage).known.identify(credential)


async def test_a_token_with_the_prefix_of_another_is_not_taken_for_it(storage: Storage) -> None:
    tokens = Tokens(storage)
    issued, other = await tokens.issue(), await tokens.issue()
    stolen = replace(other.token, id=issued.token.id)
    await storage.execute("update access_tokens set prefix = 'gone' where id = $1", issued.token.id)
    await storage.execute(
        "update access_tokens set prefix = $2 where id = $1", other.token.id, issued.token.prefix
    )
    assert stolen.prefix != issued.token.prefix
    with pytest.raises(Unauthenticated):
        await tokens.known.identify(issued.text)


async def test_an_expired_token_is_not_taken_at_its_instant_also_if_it_was_just_used(storage: Storage) -> None:
    clock = StillClock()
    tokens = Tokens(storage, clock)
    issued = await tokens.issue(lifetime=timedelta(seconds=3))
    identified = await tokens.known.identify(issued.text)
    assert identified.ask_again_at == issued.token.expires_at
    clock.time += timedelta(seconds=3)
    with pytest.raises(Unauthenticated):
        await tokens.known.identify(issued.text)


async def test_a_revoked_token_is_good_for_ten_seconds_more_at_most(storage: Storage) -> None:
    clock = StillClock()
    tokens = Tokens(storage, clock)
    issued = await tokens.issue(lifetime=None)
    identified = await tokens.known.identify(issued.text)
    assert identified.ask_again_at == clock.time + BOUND
    await tokens.revoke(issued)
    assert await tokens.known.identify(issued.text) == identified
    clock.time += BOUND
    with pytest.raises(Unauthenticated):
        await tokens.known.identify(issued.text)


async def test_a_token_is_looked_up_once_in_ten_seconds_however_many_ask(storage: Storage) -> None:
    tokens = Tokens(storage)
    issued = await tokens.issue()
    answers = await asyncio.gather(*(tokens.known.identify(issued.text) for _ in range(50)))
    await storage.execute("drop table access_tokens")
    answers.append(await tokens.known.identify(issued.text))
    assert len({id(answer) for answer in answers}) == 1


async def test_while_it_cannot_be_looked_up_nobody_is_refused_for_good(storage: Storage) -> None:
    tokens = Tokens(storage)
    issued = await tokens.issue()
    await storage.execute("drop table access_tokens")
    with pytest.raises(Unavailable):
        await tokens.known.identify(issued.text)


async def test_that_a_token_is_used_is_noted(storage: Storage) -> None:
    tokens = Tokens(storage)
    issued = await tokens.issue()
    await tokens.known.identify(issued.text)
    [listed] = await storage.access_tokens.all("acme")
    assert listed.last_used_at is not None


async def test_without_authentication_everyone_is_an_administrator_of_the_one_tenant() -> None:
    identified = await Everyone("default").identify("whatever")
    assert identified.caller == Caller(tenant="default", role=Role.ADMIN)
    assert (identified.expires_at, identified.ask_again_at) == (None, None)
