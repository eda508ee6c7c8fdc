"""A socket's session: its caller until the credential ends, asked again in time, and patient in an outage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from api.auth import Session, begin_session, credential_of
from domain.errors import Unauthenticated, Unavailable
from domain.tenancy.model import Caller
from domain.tenancy.ports import Identified
from tests.support.face import NOW, StillClock

ALICE = Identified(
    caller=Caller(tenant="acme", owner="alice"),
    expires_at=NOW + timedelta(seconds=60),
    ask_again_at=NOW + timedelta(seconds=10),
)


class Answering:
    """Answers what it is told to, or raises it."""

    def __init__(self) -> None:
        self.answer: Identified | Callable[[], Exception] = ALICE

    async def identify(self, credential: str | None) -> Identified:
        if not isinstance(self.answer, Identified):
            raise self.answer()
        return self.answer


@pytest.fixture
def callers() -> Answering:
    return Answering()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


async def begin(callers: Answering, clock: StillClock) -> Session:
    return await begin_session(callers, clock, "a credential")


async def test_it_is_its_caller_until_the_instant_the_credential_expires(
    callers: Answering, clock: StillClock
) -> None:
    session = await begin(callers, clock)
    clock.time = NOW + timedelta(seconds=59.999)
    assert session.caller() == ALICE.caller
    clock.time = NOW + timedelta(seconds=60)
    with pytest.raises(Unauthenticated):
        session.caller()


async def test_it_says_when_it_is_to_be_renewed(callers: Answering, clock: StillClock) -> None:
    session = await begin(callers, clock)
    clock.time = NOW + timedelta(seconds=4)
    assert session.stands_for == 6
    callers.answer = Identified(caller=ALICE.caller)
    await session.renew()
    assert session.stands_for is None


async def test_one_that_was_found_revoked_has_no_caller_any_more(callers: Answering, clock: StillClock) -> None:
    session = await begin(callers, clock)
    callers.answer = Unauthenticated
    with pytest.raises(Unauthenticated):
        await session.renew()
    with pytest.raises(Unauthenticated):
        session.caller()


async def test_an_outage_lengthens_it_to_its_expiry_at_most(callers: Answering, clock: StillClock) -> None:
    session = await begin(callers, clock)
    callers.answer = lambda: Unavailable("PostgreSQL")
    clock.time = NOW + timedelta(seconds=10)
    await session.renew()
    assert session.caller() == ALICE.caller
    assert session.stands_for == 1, "not at once: it would ask without end"
    clock.time = NOW + timedelta(seconds=60)
    with pytest.raises(Unauthenticated):
        await session.renew()


async def test_none_begins_in_an_outage(callers: Answering, clock: StillClock) -> None:
    callers.answer = lambda: Unavailable("PostgreSQL")
    with pytest.raises(Unavailable):
        await begin(callers, clock)


@pytest.mark.parametrize(
    ("payload", "credential"),
    [
        (None, None),
        ({}, None),
        ({"authorization": "Bearer a"}, "a"),
        ({"Authorization": "bearer  a "}, "a"),
        ({"authorization": "a"}, None),
        ({"authorization": ["Bearer a"]}, None),
        ({"token": "a"}, "a"),
        ({"other": "a"}, None),
    ],
)
def test_a_first_message_may_hold_a_credential(
    payload: dict[str, object] | None, credential: str | None
) -> None:
    assert credential_of(payload) == credential
