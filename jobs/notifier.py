"""The notifier: writes what people are told of the facts, once each, and says that there is something."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from domain.contracts.events import Event
from domain.live.ports import Signal
from domain.notifications.model import draft_for
from infra.bootstrap import Services
from infra.telemetry.spans import span_for_all
from infra.telemetry.trace import in_trace
from jobs.metrics import JobMetrics
from jobs.outage import Outage
from jobs.stop import Stop

log = logging.getLogger(__name__)

CONSUMER = "notifier"


async def notify(services: Services, events: Sequence[Event], metrics: JobMetrics) -> int:
    """How many drafts these events made; storage drops those it has. Raises Unavailable."""
    drafts = [draft for event in events if (draft := draft_for(event, services.ids.next())) is not None]
    if not drafts:
        return 0
    traces = {draft.traceparent for draft in drafts}
    notes = {"messaging.batch.message_count": len(drafts)}
    with span_for_all("notify", traces, "consumer", notes) as notifying:
        if len(traces) == 1:  # how it is told goes on from here
            drafts = [replace(draft, traceparent=notifying.traceparent or "") for draft in drafts]
        tenants = await services.notifications.add(drafts)
    metrics.notified.inc(len(drafts))
    for tenant in sorted(tenants):
        services.signals.send(Signal.NOTIFICATIONS, tenant)
    for draft in drafts:
        with in_trace(draft.traceparent):
            log.debug("notified", extra={"event_id": draft.event_id, "kind": draft.kind.value})
    return len(drafts)


async def run_notifier(services: Services, stop: Stop, metrics: JobMetrics) -> None:
    """Until asked to stop; what is being handled then is handled to its end."""

    async def handle(events: Sequence[Event]) -> None:
        await notify(services, events, metrics)

    outage = Outage("notifier", stop, metrics)
    while not stop.asked:
        async with (
            outage.survived(),
            services.events.consume(CONSUMER, handle, services.settings.notifier_batch),
        ):
            outage.over()
            await stop.wait()
