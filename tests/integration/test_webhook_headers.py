"""Which webhooks are refused when their task is made."""

from __future__ import annotations

from typing import Any

import httpcore2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.actions.model import Http, Succeeded
from domain.errors import ForbiddenUrl, Invalid, Refusal
from infra.http.client import HttpWebhooks, build_webhooks
from infra.http.destination import Rules
from infra.http.headers import check_headers
from tests.support.webhook_receiver import (
    CALL,
    KEYS,
    PLAIN,
    Told,
    settings,
)


async def test_what_is_wrong_is_said_when_the_task_is_made() -> None:
    closed = settings(http_allow_insecure=False, http_allowed_networks=())
    webhooks = build_webhooks(closed, Told(), keys=KEYS)
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
    webhooks = HttpWebhooks(rules, resolve, backend, **PLAIN, timeout=5)
    outcome = await webhooks.send(Http(url="http://example.com/", headers=headers), CALL)
    assert outcome == Succeeded({"status": 204, "body": ""})
