"""Which secrets sign a webhook: verified as receivers do it, with the library of Standard Webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from domain.actions.model import Failed, Http, Snoozed, Succeeded
from domain.errors import Unavailable
from domain.webhooks.model import SigningKey
from domain.webhooks.ports import Unreadable
from infra.http import signing
from infra.http.client import build_webhooks
from infra.http.signing import Signer, signed
from tests.support.storage import Storage, ids
from tests.support.webhook_receiver import CALL, SECRET, Received, Receiver, Told, receiving, settings

DAY = timedelta(days=1)


def verified(request: Received, secret: str) -> bool:
    try:
        Webhook(secret).verify(request.body, dict(request.headers))
    except WebhookVerificationError:
        return False
    return True


@dataclass
class Sender:
    """Sends for the tenant "acme" from the secrets of this storage, remembering none of them."""

    storage: Storage

    async def to(self, receiver: Receiver, tenant: str = "acme") -> Received:
        webhooks = build_webhooks(settings(), Told(), secrets=self.storage.webhook_secrets)
        outcome = await webhooks.send(Http(url=receiver.url, body={"a": 1}), replace(CALL, tenant=tenant))
        assert isinstance(outcome, Succeeded)
        return receiver.received[-1]

    async def make(self, origin: str | None, tenant: str = "acme") -> str:
        return (await self.storage.webhook_secrets.add(tenant, ids.next(), origin, 9)).secret


def test_the_published_example_is_signed_as_published() -> None:
    """Of the specification's own libraries (standard-webhooks/standard-webhooks)."""
    webhooks = [Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    at = datetime.fromtimestamp(1_614_265_330, UTC)
    assert signed(webhooks, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, '{"test": 2432232314}') == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.postgres
async def test_both_secrets_sign_while_one_is_rotated(storage: Storage) -> None:
    async with receiving() as receiver:
        origin = f"http://127.0.0.1:{receiver.port}"
        old = await storage.webhook_secrets.add("acme", ids.next(), origin, 9)
        new = await storage.webhook_secrets.rotate("acme", old.record.id, ids.next(), DAY)
        sender = Sender(storage)
        both = await sender.to(receiver)
        assert len(both.header("webhook-signature").split(" ")) == 2
        assert (verified(both, old.secret), verified(both, new.secret), verified(both, SECRET)) == (
            True,
            True,
            False,
        )
        await storage.execute("update webhook_secrets set retires_at = now() where retires_at is not null")
        alone = await sender.to(receiver)
    assert (verified(alone, old.secret), verified(alone, new.secret)) == (False, True)


@pytest.mark.postgres
async def test_the_origins_own_signs_else_the_tenants_else_the_installations(storage: Storage) -> None:
    sender = Sender(storage)
    async with receiving() as receiver, receiving() as elsewhere:
        assert verified(await sender.to(receiver), SECRET)
        every = await sender.make(None)
        own = await sender.make(f"http://127.0.0.1:{receiver.port}")
        for place, secret in ((receiver, own), (elsewhere, every)):
            request = await sender.to(place)
            assert [verified(request, each) for each in (own, every, SECRET)] == [
                each == secret for each in (own, every, SECRET)
            ]
        assert verified(await sender.to(receiver, "other"), SECRET), "another tenant has none"


@dataclass
class Asked:
    """Secrets that can be changed, and how often they were looked up."""

    keys: list[SigningKey] = field(default_factory=list)
    times: int = 0
    fault: Exception | None = None

    async def signing(self, tenant: str, origin: str) -> Sequence[SigningKey]:
        self.times += 1
        if self.fault is not None:
            raise self.fault
        return list(self.keys)


def key(byte: int, retires_in: timedelta | None = None) -> SigningKey:
    retires_at = None if retires_in is None else Told().now() + retires_in
    return SigningKey(key=bytes([byte]) * 32, retires_at=retires_at)


async def test_secrets_are_looked_up_once_in_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked([key(1)])
    signer = Signer(None, asked)
    now = Told().now()
    for _ in range(3):
        assert len(await signer.webhooks("acme", "https://a", now)) == 1
    assert asked.times == 1
    await signer.webhooks("acme", "https://b", now)
    await signer.webhooks("other", "https://a", now)
    assert asked.times == 3
    monkeypatch.setattr(signing, "REMEMBERED", 0)
    later = Signer(None, asked)
    await later.webhooks("acme", "https://a", now)
    asked.keys.append(key(2))
    assert len(await later.webhooks("acme", "https://a", now)) == 2, "a rotation is acted on"


async def test_a_secret_retires_in_time_though_it_is_remembered() -> None:
    signer = Signer(None, Asked([key(2), key(1, timedelta(seconds=1))]))
    now = Told().now()
    assert len(await signer.webhooks("acme", "https://a", now)) == 2
    assert len(await signer.webhooks("acme", "https://a", now + timedelta(seconds=2))) == 1


async def test_only_so_many_origins_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "MOST", 3)
    asked = Asked()
    signer = Signer(None, asked)
    for number in range(10):
        await signer.webhooks("acme", f"https://{number}", Told().now())
    assert len(signer._remembered) == 3
    await signer.webhooks("acme", "https://9", Told().now())
    assert asked.times == 10


async def test_while_the_secrets_cannot_be_read_nothing_is_sent_and_no_attempt_used() -> None:
    asked = Asked(fault=Unavailable("PostgreSQL"))
    clock = Told()
    async with receiving() as receiver:
        webhooks = build_webhooks(settings(), clock, secrets=asked)
        outcome = await webhooks.send(Http(url=receiver.url), CALL)
    assert isinstance(outcome, Snoozed)
    assert timedelta(seconds=5) <= outcome.until - clock.now() <= timedelta(seconds=10)
    assert receiver.connections == 0


async def test_a_secret_that_cannot_be_decrypted_sends_nothing_unsigned() -> None:
    asked = Asked(fault=Unreadable("the key old is not among CARILLON_ENCRYPTION_KEYS"))
    async with receiving() as receiver:
        webhooks = build_webhooks(settings(), Told(), secrets=asked)
        outcome = await webhooks.send(Http(url=receiver.url), CALL)
    assert isinstance(outcome, Failed)
    assert (outcome.type, outcome.retryable) == ("Undecryptable", True)
    assert receiver.connections == 0
