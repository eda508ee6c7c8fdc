"""The operations every transport runs: who runs them, for how long, and how they are counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

from api.admission import Admission
from api.answers import Answer, Room, answer_within
from api.bounds.allowance import Allowance
from api.bounds.subscribed import Subscribed
from api.bounds.turns import Turns
from api.deliveries import Deliveries
from api.metrics import ApiMetrics
from api.payloads import SOON, SentOperation, error_entry
from api.responses import Responses, encoded
from api.shared_streams import Sameness, SharedStreams
from domain.budgets.ports import BudgetExceeded, Budgets
from domain.clock import Clock, Ids
from domain.errors import Refusal, Unavailable
from domain.live.ports import Resync
from domain.tenancy.model import Caller
from domain.tenancy.ports import Callers
from infra.telemetry.spans import span
from schema.balances import told
from schema.context import Context
from schema.error_codes import FAULTS, LIMITS
from schema.errors import present
from schema.operations import Kind, OperationRequest, Operations, Result


class Graph:
    def __init__(
        self,
        *,
        operations: Operations,
        admission: Admission,
        callers: Callers,
        new_context: Callable[[Caller], Context],
        metrics: ApiMetrics,
        clock: Clock,
        ids: Ids,
        timeout: float,
        most_bytes: int,
        rates: Budgets | None = None,
        tenant_subscriptions: int = 10_000,
    ) -> None:
        """`timeout` is how many seconds a query or mutation may take, `most_bytes` how large what one request,
        or an event, is answered with may be. `rates` has a point for each operation. `tenant_subscriptions` are
        executed for one tenant.
        """
        self._operations = operations
        self._admission = admission
        self._new_context = new_context
        self.callers = callers
        self.clock = clock
        self._ids = ids
        self._timeout = timeout
        self._most_bytes = most_bytes
        self._rates = rates
        self.metrics = metrics
        self._shared = SharedStreams(metrics, ids)
        self._subscribed = Subscribed(tenant_subscriptions)
        self._turns = Turns(metrics.event_waits.inc)

    async def admit(self, sent: SentOperation, caller: Caller) -> OperationRequest | Result:
        """What is to be executed, without variables it does not declare.

        A Result when the tenant sends too many, or its document is not executed, or not known.
        """
        try:
            if self._rates is not None:
                await self._rates.spend(caller.tenant, 1)
            return self._operations.declared(await self._admission.admit(sent, caller))
        except (BudgetExceeded, Refusal, Unavailable) as refusal:
            result = Result({"errors": present([refusal], self._ids)}, valid=False)
            self._count("unknown", result)
            return result

    def takes_any_document(self, caller: Caller) -> bool:
        return self._admission.takes_any(caller)

    def kind(self, request: OperationRequest) -> Kind | None:
        """None for what cannot be executed: `execute` says why."""
        return self._operations.kind(request)

    def room(self) -> Room:
        """For the answers to one request."""
        return Room(self._most_bytes)

    async def execute(
        self, kind: Kind | None, request: OperationRequest, caller: Caller, room: Room | None = None
    ) -> Answer:
        """`room` is what it shares with others, if any."""
        with span(kind or "unknown") as operation:
            began = perf_counter()
            try:
                async with asyncio.timeout(self._timeout):
                    result = await self._operations.execute(request, self._new_context(caller))
            except TimeoutError:
                self.metrics.limits.labels("operation_time").inc()
                result = Result({"data": None, "errors": [timed_out(self._timeout)]}, valid=True)
            if self._rates is not None and result.valid:
                rate = told(await self._rates.balance(caller.tenant))
                result.body.setdefault("extensions", {})["rate"] = rate
            answer = await answer_within(room or self.room(), kind, result)
            word = self._measure(request, caller, kind or "unknown", answer.result, perf_counter() - began)
            operation.note("carillon.outcome", word)
            if word == "failed":
                operation.fail(word)
        self._count_points(caller, result.body)
        return answer

    async def subscribe(
        self,
        request: OperationRequest,
        caller: Callable[[], Caller],
        resume_after: str | None = None,
        allowance: Allowance | None = None,
    ) -> Responses | Result:
        """Each event sees fresh data. Whoever subscribes pays; those who do so to the same from now on share
        one execution.

        `caller` is asked again for each of them; what it raises ends the stream, and so does RESYNC when their
        rights are others now. `resume_after` is a cursor that the client remembers of an earlier connection,
        beside the operation: it shares with nobody. `allowance` is that of its connection, if that has others.
        """
        known, began = caller(), perf_counter()

        def new_context() -> Context:
            if caller() != known:
                raise Resync
            context = self._new_context(known)
            return context if resume_after is None else replace(context, resume_after=resume_after)

        stream: Responses | Result
        paid = await self._operations.pay(request, new_context())
        if isinstance(paid, Result):
            stream = paid
        elif resume_after is None and self._operations.begins_now(request):
            begin = partial(self._begin, request, known.tenant, lambda: self._new_context(known))
            same = Sameness.of(request, known)
            stream = await self._shared.join(same, caller, begin, allowance or Allowance())
        else:
            stream = await self._begin(request, known.tenant, new_context)
        self._measure(request, known, "subscription", stream, perf_counter() - began)
        if not isinstance(paid, Result):
            self._count_points(known, paid)
        return stream

    async def _begin(
        self, request: OperationRequest, tenant: str, new_context: Callable[[], Context]
    ) -> Responses | Result:
        if not self._subscribed.has_room(tenant):
            return Result({"errors": [too_many_subscriptions(self._subscribed.most)]}, valid=False)
        deliveries, turn = Deliveries(), partial(self._turns.one, tenant)
        stream = await self._operations.subscribe(request, new_context, deliveries.begin, turn)
        if isinstance(stream, Result):
            return stream
        held = self._subscribed.hold(tenant, request)
        return deliveries.told(encoded(stream, self._of_event), held)

    async def _of_event(self, body: dict[str, Any]) -> Answer:
        result = Result(body, valid=True)
        answer = await answer_within(self.room(), "subscription", result)
        if answer.result is not result:
            self.metrics.limits.labels("answer_too_large").inc()
        self.metrics.told(answer.result.body.get("errors", ()))
        return answer

    def present(self, fault: Exception) -> dict[str, Any]:
        """What a client is told of a fault of the transport; it is logged under the id told, and counted."""
        self.metrics.faults.inc()
        self.count_failed()
        return present([fault], self._ids)[0]

    def count_failed(self) -> None:
        """What was asked for came to nothing, for a reason of ours, before it was known what it was."""
        self.metrics.operations.labels("unknown", "failed").inc()

    def _measure(
        self, request: OperationRequest, caller: Caller, kind: str, outcome: object, seconds: float
    ) -> str:
        word = self._count(kind, outcome)
        name = self._operations.published_name(request)
        self.metrics.took(seconds, caller.tenant, operation=name, kind=kind, outcome=word)
        return word

    def _count_points(self, caller: Caller, told: dict[str, Any]) -> None:
        if (cost := told.get("extensions", {}).get("cost")) is not None:
            self.metrics.spent(caller.tenant, cost["requested"])

    def _count(self, kind: str, outcome: object) -> str:
        body = outcome.body if isinstance(outcome, Result) else {}
        errors = body.get("errors", ())
        self.metrics.told(errors)
        codes = {error["extensions"]["code"] for error in errors}
        if codes & FAULTS:
            word = "failed"
        elif isinstance(outcome, Result) and not outcome.valid:
            word = "refused"
        else:
            word = "errors" if codes else "ok"
        self.metrics.operations.labels(kind, word).inc()
        for code in codes & LIMITS:
            self.metrics.limits.labels(code.lower()).inc()
        return word


def too_many_subscriptions(most: int) -> dict[str, Any]:
    message = (
        f"The tenant follows as much as {most} different subscriptions already:"
        " let some end, ask for the same, or publish long documents."
    )
    return error_entry("TENANT_SUBSCRIPTIONS", message, SOON)


def timed_out(after: float) -> dict[str, Any]:
    return error_entry("TIMEOUT", f"Stopped after {after:g} seconds: it may or may not have taken effect")
