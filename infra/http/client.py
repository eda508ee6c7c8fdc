"""Sends webhooks: one POST each, signed, through the guard, within one deadline."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpcore2
from prometheus_client import CollectorRegistry, Counter

from domain.actions.credentials import is_credential
from domain.actions.model import Call, Failed, Http, Outcome, Snoozed, Succeeded
from domain.clock import Clock
from domain.errors import ForbiddenUrl, Refusal, Unavailable
from domain.resilience.breaker import Verdict
from domain.webhooks.ports import SigningKeys, Unreadable
from infra.breakers import BreakerBoard, policy_of
from infra.encryption.headers import HeaderSeals
from infra.encryption.keys import KeyRing, Undecryptable
from infra.http.answers import outcome, without
from infra.http.breaking import HostBreakers
from infra.http.destination import Destination, Rules
from infra.http.exchange import FAULTS, Exchange, Headers, fault_message
from infra.http.guard import Blocked, Resolve, system_resolver
from infra.http.headers import check_credentials, check_headers
from infra.http.signing import Signer, signed
from infra.settings import Settings
from infra.system import draw
from infra.telemetry.spans import span

SECRETS_PAUSE = 5.0
"""Seconds, and up to twice as many, until a webhook is tried again whose secrets could not be read."""
MOST_PAUSES = 10
"""A host that stays down is tried after longer and longer pauses, up to this many times the first."""
CLIENT_ERROR = 400
SERVER_ERROR = 500


def build_webhooks(
    settings: Settings,
    clock: Clock,
    *,
    keys: KeyRing | None = None,
    secrets: SigningKeys | None = None,
    registry: CollectorRegistry | None = None,
    board: BreakerBoard | None = None,
) -> HttpWebhooks:
    """Webhooks as the settings have them. Raises ValueError for a secret that cannot sign."""
    # At DEBUG the library logs every header, secrets among them.
    logging.getLogger("httpcore2").setLevel(logging.INFO)
    registry = registry or CollectorRegistry()
    board = board or BreakerBoard(settings, registry)
    return HttpWebhooks(
        Rules(settings.http_allow_insecure, settings.http_allowed_networks),
        system_resolver(),
        httpcore2.AnyIOBackend(),
        signer=Signer(settings.webhook_secret, secrets),
        seals=HeaderSeals(keys or KeyRing()),
        breakers=HostBreakers(clock, draw, registry, policy_of(settings, MOST_PAUSES), board),
        clock=clock,
        timeout=settings.http_timeout,
        registry=registry,
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
        seals: HeaderSeals,
        breakers: HostBreakers,
        clock: Clock,
        timeout: float,
        draw: Callable[[], float] = draw,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._rules = rules
        self._exchange = Exchange(rules, resolve, network)
        self._signer = signer
        self._seals = seals
        self._breakers = breakers
        self._clock = clock
        self._timeout = timeout
        self._draw = draw
        self._sent = Counter(
            "carillon_webhooks", "Webhooks by what came of them", ["outcome"], registry=registry
        )

    async def check(self, http: Http) -> None:
        self._rules.read(http.url)
        check_headers(http.headers)
        check_credentials(http.headers, encrypts=self._seals.usable)

    async def send(self, http: Http, call: Call) -> Outcome:
        outcome = await self._send(http, call)
        self._sent.labels(_kind(outcome)).inc()
        return outcome

    async def _send(self, http: Http, call: Call) -> Outcome:
        try:
            # Again: what was allowed when the task was made may not be allowed any more.
            destination = self._rules.read(http.url)
            http = replace(http, headers=self._seals.opened(call.tenant, http))
            check_headers(http.headers)
        except Refusal as refusal:
            return Failed(type=type(refusal).__name__, message=refusal.message, retryable=False)
        except Undecryptable as error:
            return Failed(type="Undecryptable", message=f"a header cannot be decrypted: {error}")
        if (put_off := self._breakers.put_off(destination, call)) is not None:
            return put_off
        verdict = Verdict.UNKNOWN
        try:
            outcome, verdict = await self._try(destination, http, call)
        finally:
            self._breakers.tell(destination, call, verdict)
        return outcome

    async def _try(self, destination: Destination, http: Http, call: Call) -> tuple[Outcome, Verdict]:
        host = destination.host
        body = json.dumps(http.body, separators=(",", ":"))
        notes = {"http.request.method": "POST", "server.address": host}
        try:
            async with asyncio.timeout(self._timeout):
                with span("POST", "client", notes=notes) as sent:
                    call = replace(call, traceparent=sent.traceparent or call.traceparent)
                    headers = await self._headers(destination, http, call, body)
                    answer = await self._exchange.post(destination, headers, body)
                    sent.note("http.response.status_code", answer.status)
                    if answer.status >= CLIENT_ERROR:
                        sent.fail(str(answer.status))
        except Unavailable:
            pause = timedelta(seconds=SECRETS_PAUSE * (1 + self._draw()))
            return Snoozed(self._clock.now() + pause), Verdict.UNKNOWN
        except Unreadable as error:
            return Failed(type="Undecryptable", message=str(error)), Verdict.UNKNOWN
        except Blocked:
            message = f"{host} leads to an address or port webhooks may not be sent to"
            return Failed(type=ForbiddenUrl.__name__, message=message, retryable=False), Verdict.UNKNOWN
        except FAULTS as fault:
            late = isinstance(fault, TimeoutError | httpcore2.TimeoutException)
            failed = Failed(type="Timeout" if late else "NetworkError", message=fault_message(host, fault))
            return failed, Verdict.FAILS
        credentials = [str(value) for name, value in http.headers.items() if is_credential(name)]
        answer = replace(answer, body=without(answer.body, credentials))
        return outcome(
            host, answer, self._clock.now()
        ), Verdict.WORKS if answer.status < SERVER_ERROR else Verdict.FAILS

    async def _headers(self, destination: Destination, http: Http, call: Call, body: str) -> Headers:
        now = self._clock.now()
        webhooks = await self._signer.webhooks(call.tenant, destination.origin, now)
        headers = {
            "host": destination.authority,
            "content-type": "application/json",
            "user-agent": "Carillon",
            **{name.lower(): str(value) for name, value in http.headers.items()},
            "accept-encoding": "identity",
            "traceparent": call.traceparent,
            "carillon-attempt": str(call.attempt),
            "carillon-fence": str(call.fence),
            **({} if call.fire_time is None else {"carillon-fire-time": _written(call.fire_time)}),
            **signed(webhooks, str(call.task_id), now, body),
        }
        return list(headers.items())


def _written(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _kind(outcome: Outcome) -> str:
    match outcome:
        case Succeeded():
            return "succeeded"
        case Failed(type=type) if type == ForbiddenUrl.__name__:
            return "blocked"
        case Snoozed() | Failed(type="HostDown"):
            return "put_off"
        case _:
            return "failed"
