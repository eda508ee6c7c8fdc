"""Sends webhooks: one POST each, signed, through the guard, within one deadline."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from contextlib import aclosing

import httpcore2

from domain.actions.model import Call, Failed, Http, Outcome
from domain.clock import Clock
from domain.errors import Refusal
from infra.http.answers import outcome
from infra.http.destination import Destination, Rules
from infra.http.guard import Blocked, Guard, Resolve, Unresolved, system_resolver
from infra.http.headers import check_headers
from infra.http.signing import Signer
from infra.settings import Settings

READ = 64 * 1024
"""Bytes of an answer that are read; the rest is not waited for."""


def build_webhooks(settings: Settings, clock: Clock) -> HttpWebhooks:
    """Webhooks as the settings have them. Raises ValueError for a secret that cannot sign."""
    # At DEBUG the library logs every header, secrets among them.
    logging.getLogger("httpcore2").setLevel(logging.INFO)
    return HttpWebhooks(
        Rules(settings.http_allow_insecure, settings.http_allowed_networks),
        system_resolver(),
        httpcore2.AnyIOBackend(),
        signer=Signer(settings.webhook_secret),
        clock=clock,
        timeout=settings.http_timeout,
    )


class HttpWebhooks:
    """Implements Webhooks."""

    def __init__(
        self,
        rules: Rules,
        resolve: Resolve,
        network: httpcore2.AsyncNetworkBackend,
        *,
        signer: Signer,
        clock: Clock,
        timeout: float,
    ) -> None:
        self._rules = rules
        self._resolve = resolve
        self._network = network
        self._signer = signer
        self._clock = clock
        self._timeout = timeout
        self._tls = httpcore2.default_ssl_context()

    async def check(self, http: Http) -> None:
        self._rules.read(http.url)
        check_headers(http.headers)

    async def send(self, http: Http, call: Call) -> Outcome:
        try:
            # Again: what was allowed when the task was made may not be allowed any more.
            destination = self._rules.read(http.url)
            check_headers(http.headers)
        except Refusal as refusal:
            return Failed(type=type(refusal).__name__, message=refusal.message, retryable=False)
        host = destination.host
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(destination, http, call)
        except Blocked:
            message = f"{host} leads to an address or port webhooks may not be sent to"
            return Failed(type="ForbiddenUrl", message=message, retryable=False)
        except (TimeoutError, httpcore2.TimeoutException):
            return Failed(type="Timeout", message=f"{host} did not answer in time")
        except Unresolved:
            return Failed(type="NetworkError", message=f"the name {host} could not be resolved")
        except (httpcore2.NetworkError, httpcore2.ProtocolError, ssl.SSLError) as error:
            return Failed(type="NetworkError", message=f"{host} {_what_happened(error)}")

    async def _post(self, destination: Destination, http: Http, call: Call) -> Outcome:
        body = json.dumps(http.body, separators=(",", ":"))
        headers = self._headers(destination, http, call, body)
        # A connection for each webhook: one kept open would skip the check of where the name leads now.
        async with (
            Guard(self._rules, self._resolve, self._network) as guard,
            httpcore2.AsyncHTTPConnection(
                destination.url.origin, ssl_context=self._tls, network_backend=guard
            ) as connection,
            connection.stream("POST", destination.url, headers=headers, content=body.encode()) as response,
        ):
            read = bytearray()
            async with aclosing(response.aiter_stream()) as chunks:
                async for chunk in chunks:
                    read += chunk
                    if len(read) >= READ:
                        break
        retry_after = next((value for name, value in response.headers if name.lower() == b"retry-after"), None)
        return outcome(
            destination.host,
            response.status,
            None if retry_after is None else retry_after.decode("latin-1"),
            bytes(read),
            self._clock.now(),
        )

    def _headers(
        self, destination: Destination, http: Http, call: Call, body: str
    ) -> list[tuple[bytes | str, bytes | str]]:
        headers = {
            "host": destination.authority,
            "content-type": "application/json",
            "user-agent": "Carillon",
            **{name.lower(): value for name, value in http.headers.items()},
            "accept-encoding": "identity",
            "traceparent": call.traceparent,
            "carillon-attempt": str(call.attempt),
            "carillon-fence": str(call.fence),
            **self._signer.headers(str(call.task_id), self._clock.now(), body),
        }
        return list(headers.items())


def _what_happened(error: Exception) -> str:
    """Which kind of fault it was; never the library's own words, which may quote what was sent."""
    cause = error.__cause__
    if isinstance(error, ssl.SSLError) or isinstance(cause, ssl.SSLError):
        return "could not be trusted: TLS failed"
    if isinstance(error, httpcore2.ConnectError):
        return "could not be reached"
    if isinstance(error, httpcore2.ProtocolError):
        return "did not answer in HTTP"
    return "broke the connection"
