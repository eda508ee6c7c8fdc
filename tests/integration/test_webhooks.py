"""Webhooks as they are sent: what they carry, and where they are not sent."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from ipaddress import ip_network

import httpcore2
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from domain.actions.model import Failed, Http, Succeeded
from infra.http.client import HttpWebhooks, build_webhooks
from infra.http.destination import Rules
from infra.http.signing import Signer
from tests.support.webhook_receiver import (
    CALL,
    PLAIN,
    SECRET,
    Told,
    receiving,
    send,
    settings,
)


async def test_a_webhook_carries_its_body_its_id_its_trace_and_its_fence() -> None:
    async with receiving() as receiver:
        outcome = await send(
            receiver.url + "?a=1", headers={"Authorization": "Bearer x", "X-Kind": "t"}, body={"a": [1, "é"]}
        )
    assert outcome == Succeeded({"status": 200, "body": "ok"})
    (request,) = receiver.received
    assert request.target == "/hook?a=1"
    assert json.loads(request.body) == {"a": [1, "é"]}
    assert request.header("host") == f"127.0.0.1:{receiver.port}"
    assert request.header("content-type") == "application/json"
    assert request.header("user-agent") == "Carillon"
    assert request.header("accept-encoding") == "identity"
    assert request.header("authorization") == "Bearer x"
    assert request.header("x-kind") == "t"
    assert request.header("webhook-id") == str(CALL.task_id)
    assert request.header("traceparent") == CALL.traceparent
    assert request.header("carillon-attempt") == "2"
    assert request.header("carillon-fence") == "7"
    assert len(request.headers) == len(dict(request.headers)), "each header once"


async def test_a_webhook_of_a_schedule_says_for_which_fire_time_it_is() -> None:
    fire_time = datetime(2030, 1, 31, 9, 0, 0, 500_000, timezone(timedelta(hours=1)))
    async with receiving() as receiver:
        await send(receiver.url, call=replace(CALL, fire_time=fire_time))
        await send(receiver.url)
    ours, none = receiver.received
    assert ours.header("carillon-fire-time") == "2030-01-31T08:00:00.500000Z"
    assert "carillon-fire-time" not in dict(none.headers)


async def test_an_action_may_say_what_its_body_is_and_who_sends_it() -> None:
    async with receiving() as receiver:
        await send(receiver.url, headers={"Content-Type": "application/cloudevents+json", "User-Agent": "Shop"})
    (request,) = receiver.received
    assert request.header("content-type") == "application/cloudevents+json"
    assert request.header("user-agent") == "Shop"
    assert len(request.headers) == len(dict(request.headers))


async def test_the_signature_satisfies_the_verifier_of_standard_webhooks() -> None:
    async with receiving() as receiver:
        await send(receiver.url, body={"hello": "wörld"})
    (request,) = receiver.received
    assert Webhook(SECRET).verify(request.body, dict(request.headers)) == {"hello": "wörld"}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(bytes(32)).decode()).verify(request.body, dict(request.headers))


async def test_every_try_has_the_same_id_and_its_own_time() -> None:
    clock = Told()
    async with receiving() as receiver:
        webhooks = build_webhooks(settings(), clock)
        await webhooks.send(Http(url=receiver.url), CALL)
        clock.at += timedelta(minutes=1)
        await webhooks.send(Http(url=receiver.url), replace(CALL, attempt=3, fence=8))
    first, second = receiver.received
    assert first.header("webhook-id") == second.header("webhook-id")
    assert int(second.header("webhook-timestamp")) - int(first.header("webhook-timestamp")) == 60
    assert receiver.connections == 2, "a kept connection would skip the check of where the name leads"


async def test_without_a_secret_nothing_is_signed() -> None:
    async with receiving() as receiver:
        webhooks = build_webhooks(settings(webhook_secret=None), Told())
        await webhooks.send(Http(url=receiver.url), CALL)
    names = dict(receiver.received[0].headers)
    assert "webhook-signature" not in names
    assert names["webhook-id"] == str(CALL.task_id)


@pytest.mark.parametrize("secret", ["", "whsec_", "secret", "whsec_not base64!", "whsec_c2hvcnQ=", SECRET[6:]])
def test_a_secret_that_cannot_sign_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="webhook secret must be") as refusal:
        Signer(SecretStr(secret))
    assert len(secret) <= 6 or secret not in str(refusal.value)


async def test_a_blocked_webhook_is_not_tried_again_and_dials_nothing() -> None:
    async with receiving() as receiver:
        webhooks = build_webhooks(settings(http_allowed_networks=()), Told())
        for url in (receiver.url, f"http://localhost:{receiver.port}/", "http://169.254.169.254/latest/"):
            outcome = await webhooks.send(Http(url=url), CALL)
            assert isinstance(outcome, Failed)
            assert (outcome.type, outcome.retryable) == ("ForbiddenUrl", False)
    assert receiver.connections == 0


async def test_a_name_that_leads_inside_is_not_tried_again() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.1"]

    webhooks = HttpWebhooks(Rules(), resolve, httpcore2.AsyncMockBackend([]), **PLAIN, timeout=1)
    outcome = await webhooks.send(Http(url="https://hooks.example.com/secret-path"), CALL)
    assert outcome == Failed(
        type="ForbiddenUrl",
        message="hooks.example.com leads to an address or port webhooks may not be sent to",
        retryable=False,
    )


async def test_tls_is_asked_for_by_name_though_an_address_is_dialled() -> None:
    hello = b""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hello
        hello = await reader.read(4_096)
        writer.close()

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        rules = Rules(networks=(ip_network("127.0.0.1/32"),))
        webhooks = HttpWebhooks(rules, resolve, httpcore2.AnyIOBackend(), **PLAIN, timeout=5)
        port = server.sockets[0].getsockname()[1]
        outcome = await webhooks.send(Http(url=f"https://hooks.example.com:{port}/"), CALL)
    assert b"hooks.example.com" in hello
    assert isinstance(outcome, Failed)
    assert (outcome.type, outcome.retryable) == ("NetworkError", True)


async def test_a_handshake_that_hangs_is_cut_and_its_connection_closed() -> None:
    closed = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        closed.set()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        webhooks = build_webhooks(settings(http_timeout=0.2), Told())
        port = server.sockets[0].getsockname()[1]
        outcome = await webhooks.send(Http(url=f"https://127.0.0.1:{port}/"), CALL)
        assert outcome == Failed(type="Timeout", message="127.0.0.1 did not answer in time")
        async with asyncio.timeout(5):
            await closed.wait()


async def test_an_unresolved_name_is_worth_another_try() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError

    webhooks = HttpWebhooks(Rules(), resolve, httpcore2.AsyncMockBackend([]), **PLAIN, timeout=1)
    outcome = await webhooks.send(Http(url="https://gone.example.com/"), CALL)
    assert outcome == Failed(type="NetworkError", message="the name gone.example.com could not be resolved")


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setitem(os.environ, name, f"http://127.0.0.1:{proxy.port}")
        await send(receiver.url)
    assert (proxy.connections, receiver.connections) == (0, 1)


async def test_nothing_of_a_webhook_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with receiving(
        b"HTTP/1.1 200 OK\r\nX-Token: their-secret\r\nContent-Length: 4\r\n\r\nbody"
    ) as receiver:
        await send(receiver.url + "?key=url-secret", headers={"Authorization": "my-secret"}, body="body-secret")
    assert "secret" not in caplog.text
    assert "/hook" not in caplog.text
    assert SECRET not in caplog.text


async def test_a_webhook_can_be_cancelled_at_any_time() -> None:
    async def hang(writer: asyncio.StreamWriter) -> None:
        with pytest.raises((ConnectionError, RuntimeError)):  # uvloop has its own for what is closed already
            while True:
                writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

    async with receiving(hang) as receiver:
        webhooks = build_webhooks(settings(), Told())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await webhooks.send(Http(url=receiver.url), CALL)
