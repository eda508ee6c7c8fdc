"""A webhook arrives signed and whole, once per attempt, and whatever answers it is bounded and understood."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import httpcore2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from domain.actions.model import Call, Failed, Http, Outcome, Succeeded
from domain.errors import ForbiddenUrl, Invalid, Refusal
from infra.http.answers import LONGEST_WAIT, wait
from infra.http.client import READ, HttpWebhooks, open_webhooks
from infra.http.destination import Rules
from infra.http.headers import check_headers
from infra.http.signing import Signer
from infra.settings import Settings

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CALL = Call(
    task_id=UUID("0192d3a0-0000-7000-8000-0000000000ff"),
    tenant="default",
    attempt=2,
    fence=7,
    due_at=NOW,
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)

Write = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Told:
    """The clock of these tests: the signature's own verifier reads the real one."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self.at


@dataclass
class Received:
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return dict(self.headers)[name]


@dataclass
class Receiver:
    """A server on loopback that keeps what it is sent and answers as it is told."""

    write: Write
    port: int = 0
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
            headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
            body = await reader.readexactly(int(dict(headers)["content-length"]))
            self.received.append(Received(first.split()[1], headers, body))
            await self.write(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller has hung up, which is what some of these tests are about
        finally:
            writer.close()


@asynccontextmanager
async def receiving(
    answer: bytes | Write = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
) -> AsyncIterator[Receiver]:
    async def write(writer: asyncio.StreamWriter) -> None:
        assert isinstance(answer, bytes)
        writer.write(answer)
        await writer.drain()

    receiver = Receiver(write if isinstance(answer, bytes) else answer)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver


def settings(**changes: Any) -> Settings:
    defaults: dict[str, Any] = {
        "http_allow_insecure": True,
        "http_allowed_networks": (ip_network("127.0.0.1/32"),),
        "http_timeout": 5,
        "webhook_secret": SecretStr(SECRET),
    }
    return Settings(**{**defaults, **changes})


async def send(url: str, *, clock: Told | None = None, call: Call = CALL, **http: Any) -> Outcome:
    async with open_webhooks(settings(), clock or Told()) as webhooks:
        return await webhooks.send(Http(url=url, **http), call)


def status(line: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {line}", "Content-Length: 0", *headers, "", ""]).encode("latin-1")


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
    async with receiving() as receiver, open_webhooks(settings(), clock) as webhooks:
        await webhooks.send(Http(url=receiver.url), CALL)
        clock.at += timedelta(minutes=1)
        await webhooks.send(Http(url=receiver.url), replace(CALL, attempt=3, fence=8))
    first, second = receiver.received
    assert first.header("webhook-id") == second.header("webhook-id")
    assert int(second.header("webhook-timestamp")) - int(first.header("webhook-timestamp")) == 60
    assert receiver.connections == 2, "a kept connection would skip the check of where the name leads"


async def test_without_a_secret_nothing_is_signed() -> None:
    async with receiving() as receiver, open_webhooks(settings(webhook_secret=None), Told()) as webhooks:
        await webhooks.send(Http(url=receiver.url), CALL)
    names = dict(receiver.received[0].headers)
    assert "webhook-signature" not in names
    assert names["webhook-id"] == str(CALL.task_id)


@pytest.mark.parametrize("secret", ["", "whsec_", "secret", "whsec_not base64!", "whsec_c2hvcnQ=", SECRET[6:]])
def test_a_secret_that_cannot_sign_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="webhook secret must be") as refusal:
        Signer(SecretStr(secret))
    assert len(secret) <= 6 or secret not in str(refusal.value)


@pytest.mark.parametrize(
    ("line", "retryable"),
    [
        ("300 Multiple Choices", False), ("301 Moved", False), ("302 Found", False), ("307 Temporary", False),
        ("308 Permanent", False), ("400 Bad Request", False), ("401 Unauthorized", False),
        ("404 Not Found", False),
        ("408 Request Timeout", True), ("409 Conflict", False), ("410 Gone", False),
        ("422 Unprocessable", False),
        ("429 Too Many", True), ("500 Internal", True), ("502 Bad Gateway", True), ("503 Unavailable", True),
        ("504 Gateway Timeout", True), ("599 Odd", True),
    ],
)  # fmt: skip
async def test_a_status_says_whether_trying_again_may_help(line: str, retryable: bool) -> None:
    async with receiving(status(line)) as receiver:
        outcome = await send(receiver.url)
    assert isinstance(outcome, Failed)
    assert outcome.type == "HttpStatus"
    assert outcome.message.startswith(f"127.0.0.1 answered {line[:3]}")
    assert (outcome.retryable, outcome.after) == (retryable, None)


@pytest.mark.parametrize("line", ["200 OK", "201 Created", "202 Accepted", "204 No Content"])
async def test_any_2xx_is_success(line: str) -> None:
    async with receiving(status(line)) as receiver:
        assert await send(receiver.url) == Succeeded({"status": int(line[:3]), "body": ""})


@pytest.mark.parametrize("line", ["408 Request Timeout", "429 Too Many", "503 Unavailable"])
async def test_retry_after_is_honoured(line: str) -> None:
    async with receiving(status(line, "Retry-After: 120")) as receiver:
        outcome = await send(receiver.url)
    assert isinstance(outcome, Failed)
    assert (outcome.retryable, outcome.after) == (True, 120)


@pytest.mark.parametrize("line", ["500 Internal", "404 Not Found", "302 Found"])
async def test_retry_after_means_nothing_elsewhere(line: str) -> None:
    async with receiving(status(line, "Retry-After: 120")) as receiver:
        outcome = await send(receiver.url)
    assert isinstance(outcome, Failed)
    assert outcome.after is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0), ("1", 1), (" 30 ", 30), ("86400", 86_400), ("86401", LONGEST_WAIT),
        ("9" * 5_000, LONGEST_WAIT),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), LONGEST_WAIT),
        ("Thu, 01 Jan 2026 12:01:00 -0000", 60), ("Thursday, 01-Jan-26 12:01:00 GMT", 60),
        ("", None), ("-1", None), ("1.5", None), ("1e3", None), ("nan", None), ("soon", None), ("\u0661", None),
        ("Thu, 99 Jan 2026 12:01:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_of_at_most_a_day(header: str, seconds: float | None) -> None:
    assert wait(header, NOW) == seconds


@given(st.text(max_size=40))
def test_any_retry_after_is_bounded(header: str) -> None:
    seconds = wait(header, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST_WAIT


async def test_a_redirect_is_not_followed() -> None:
    async with receiving() as target:
        for line in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"):
            async with receiving(status(line, f"Location: {target.url}")) as receiver:
                outcome = await send(receiver.url)
            assert isinstance(outcome, Failed)
            assert "redirects are not followed" in outcome.message
    assert target.connections == 0


async def test_an_answer_that_drips_is_cut_at_the_deadline() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    await _is_cut_at_the_deadline(drip)


async def test_headers_that_drip_are_cut_at_the_deadline() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    await _is_cut_at_the_deadline(drip)


async def test_informational_answers_without_end_are_cut_at_the_deadline() -> None:
    async def inform(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    await _is_cut_at_the_deadline(inform)


async def test_silence_is_cut_at_the_deadline() -> None:
    async def hang(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    await _is_cut_at_the_deadline(hang)


async def _is_cut_at_the_deadline(write: Write) -> None:
    loop = asyncio.get_running_loop()
    async with receiving(write) as receiver, open_webhooks(settings(http_timeout=0.3), Told()) as webhooks:
        began = loop.time()
        outcome = await webhooks.send(Http(url=receiver.url), CALL)
        took = loop.time() - began
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task() and "serve" in repr(task.get_coro()):
                task.cancel()
    assert outcome == Failed(type="Timeout", message="127.0.0.1 did not answer in time")
    assert 0.25 <= took < 2


async def test_a_huge_answer_is_read_no_further_than_needed() -> None:
    sent = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        while sent < 64 * 1024 * 1024:
            writer.write(b"x" * READ)
            await writer.drain()
            sent += READ

    async with receiving(flood) as receiver:
        outcome = await send(receiver.url)
    assert outcome == Succeeded({"status": 200, "body": "x" * 4096})
    assert sent < 64 * 1024 * 1024, "the connection was closed long before"


async def test_headers_without_end_are_refused() -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(100_000):
            writer.write(b"X-%d: %s\r\n" % (number, b"x" * 1_000))
            await writer.drain()

    async with receiving(flood) as receiver:
        outcome = await send(receiver.url)
    assert outcome == Failed(type="NetworkError", message="127.0.0.1 did not answer in HTTP")


async def test_a_compressed_answer_is_kept_as_it_is() -> None:
    bomb = b"\x1f\x8b\x00\xff" * 10
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 40\r\n\r\n" + bomb
    async with receiving(answer) as receiver:
        outcome = await send(receiver.url)
    assert isinstance(outcome, Succeeded)
    assert "\x00" not in outcome.result["body"], "PostgreSQL cannot keep it"


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"", "did not answer in HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "did not answer in HTTP"),
    ],
)
async def test_a_broken_answer_is_worth_another_try(answer: bytes, what: str) -> None:
    async with receiving(answer) as receiver:
        assert await send(receiver.url) == Failed(type="NetworkError", message=f"127.0.0.1 {what}")


async def test_a_closed_port_is_worth_another_try() -> None:
    async with receiving() as receiver:
        url = receiver.url
    assert await send(url) == Failed(type="NetworkError", message="127.0.0.1 could not be reached")


async def test_a_blocked_webhook_is_not_tried_again_and_dials_nothing() -> None:
    async with receiving() as receiver, open_webhooks(settings(http_allowed_networks=()), Told()) as webhooks:
        for url in (receiver.url, f"http://localhost:{receiver.port}/", "http://169.254.169.254/latest/"):
            outcome = await webhooks.send(Http(url=url), CALL)
            assert isinstance(outcome, Failed)
            assert (outcome.type, outcome.retryable) == ("ForbiddenUrl", False)
    assert receiver.connections == 0


async def test_a_name_that_leads_inside_is_not_tried_again() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.1"]

    webhooks = HttpWebhooks(
        Rules(), resolve, httpcore2.AsyncMockBackend([]), signer=Signer(None), clock=Told(), timeout=1
    )
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
        webhooks = HttpWebhooks(
            rules, resolve, httpcore2.AnyIOBackend(), signer=Signer(None), clock=Told(), timeout=5
        )
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
    async with server, open_webhooks(settings(http_timeout=0.2), Told()) as webhooks:
        port = server.sockets[0].getsockname()[1]
        outcome = await webhooks.send(Http(url=f"https://127.0.0.1:{port}/"), CALL)
        assert outcome == Failed(type="Timeout", message="127.0.0.1 did not answer in time")
        async with asyncio.timeout(5):
            await closed.wait()


async def test_an_unresolved_name_is_worth_another_try() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError

    webhooks = HttpWebhooks(
        Rules(), resolve, httpcore2.AsyncMockBackend([]), signer=Signer(None), clock=Told(), timeout=1
    )
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
        with pytest.raises(ConnectionError):
            while True:
                writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

    async with receiving(hang) as receiver, open_webhooks(settings(), Told()) as webhooks:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await webhooks.send(Http(url=receiver.url), CALL)


async def test_what_is_wrong_is_said_when_the_task_is_made() -> None:
    async with open_webhooks(settings(http_allow_insecure=False, http_allowed_networks=()), Told()) as webhooks:
        await webhooks.check(Http(url="https://example.com/hook", headers={"Authorization": "Bearer x"}))
        with pytest.raises(ForbiddenUrl) as forbidden:
            await webhooks.check(Http(url="https://10.0.0.1/"))
        assert forbidden.value.path == ("url",)
        with pytest.raises(Invalid) as invalid:
            await webhooks.check(Http(url="https://example.com/", headers={"Host": "x"}))
        assert invalid.value.path == ("headers", "Host")


@pytest.mark.parametrize(
    "name",
    ["Host", "content-length", "Transfer-Encoding", "CONNECTION", "Keep-Alive", "TE", "Trailer", "Upgrade",
     "Proxy-Authorization", "proxy-x", "webhook-id", "Webhook-Signature", "traceparent", "TraceState",
     "Carillon-Fence", "Accept-Encoding", "Expect"],
)  # fmt: skip
def test_headers_that_carillon_sets_are_refused(name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_headers({name: "x"})
    assert refusal.value.path == ("headers", name)


@pytest.mark.parametrize("name", ["", " ", "a b", "a:b", "a\r\nb", "a\x00", "\u00e9", "x" * 101, "a\n"])
def test_the_name_of_a_header_is_a_token(name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_headers({name: "x"})
    assert refusal.value.path == ("headers",)


@pytest.mark.parametrize(
    "value", ["a\r\nb", "a\n", "a\rb", "a\x00", " a", "a ", "\t", "\u00e9", "\x7f", 1, None]
)
def test_the_value_of_a_header_is_printable(value: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        check_headers({"X-Kind": value})
    assert refusal.value.path == ("headers", "X-Kind")


def test_headers_are_few_small_and_each_given_once() -> None:
    check_headers({f"X-{number}": "" for number in range(32)})
    check_headers({"X": "v" * 8_191})
    for headers in ({f"X-{number}": "" for number in range(33)}, {"X": "v" * 8_192}, {"X-A": "1", "x-a": "2"}):
        with pytest.raises(Invalid):
            check_headers(headers)


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=4))
async def test_every_header_that_is_accepted_can_be_sent(headers: dict[str, str]) -> None:
    try:
        check_headers(headers)
    except Refusal:
        return
    backend = httpcore2.AsyncMockBackend([b"HTTP/1.1 204 No Content\r\n\r\n"])

    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34"]

    rules = Rules(allow_insecure=True)
    webhooks = HttpWebhooks(rules, resolve, backend, signer=Signer(None), clock=Told(), timeout=5)
    outcome = await webhooks.send(Http(url="http://example.com/", headers=headers), CALL)
    assert outcome == Succeeded({"status": 204, "body": ""})
