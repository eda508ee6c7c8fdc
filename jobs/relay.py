"""The relay: publishes the events of the outbox, the facts of a task in order, and forgets what is safe."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from domain.live.outbox import OutboxLead
from domain.live.ports import Signal, SignalWatch
from infra.bootstrap import Services
from infra.telemetry.spans import span_for_all
from infra.telemetry.trace import in_trace
from jobs.metrics import JobMetrics
from jobs.outage import Outage
from jobs.stop import Stop

log = logging.getLogger(__name__)


GATHERING = 0.005
"""Seconds after a round that did not fill a batch: what comes meanwhile is published together."""


async def relay_once(services: Services, lead: OutboxLead, confirmed: Sequence[int] = ()) -> list[int]:
    """The places of the events that were published, up to a batch: to be removed, at the latest by the next
    call, which is given them as `confirmed`. Raises Unavailable; then any of them are published again."""
    pending = await lead.oldest(services.settings.relay_batch, confirmed)
    if not pending:
        return []
    facts = [one.event for one in pending]
    waited = services.clock.now() - facts[0].at
    notes = {"messaging.batch.message_count": len(facts), "carillon.outbox.seconds": waited.total_seconds()}
    with span_for_all("publish events", (fact.traceparent for fact in facts), "producer", notes):
        # First: who hears of a change must not then read an older row.
        await services.forget(facts)
        await services.events.publish(pending)
    for fact in facts if log.isEnabledFor(logging.DEBUG) else ():
        with in_trace(fact.traceparent):
            log.debug("published", extra={"event_id": fact.event_id, "type": fact.type})
    return [one.seq for one in pending]


async def run_relay(services: Services, stop: Stop, metrics: JobMetrics) -> None:
    """Until asked to stop. After any fault the lead is given up: another relay may be better off."""
    outage = Outage("relay", stop, metrics)
    while not stop.asked:
        async with outage.survived(), services.outbox.lead() as lead:
            await _stand_by(services, lead, stop, outage)
            async with services.signals.watch(Signal.OUTBOX) as watch:
                await _publish(services, lead, watch, stop, outage)


async def _stand_by(services: Services, lead: OutboxLead, stop: Stop, outage: Outage) -> None:
    """Until there is a partition to lead. Hears no signals: they are for the relay that leads it."""
    while not stop.asked and not await lead.acquire():
        outage.over()
        async with stop.interrupts():
            await asyncio.sleep(services.settings.poll_interval)


async def _publish(
    services: Services, lead: OutboxLead, watch: SignalWatch, stop: Stop, outage: Outage
) -> None:
    clock, settings = asyncio.get_running_loop().time, services.settings
    look_again = clock() + settings.poll_interval
    confirmed: list[int] = []
    while not stop.asked:
        if clock() >= look_again:
            await lead.acquire()
            look_again = clock() + settings.poll_interval
        confirmed = await relay_once(services, lead, confirmed)
        outage.over()
        async with stop.interrupts():
            if not confirmed:
                await watch.wait(settings.poll_interval)
            elif len(confirmed) < settings.relay_batch:
                # Whatever was heard meanwhile: it has to look again, to remove what is confirmed.
                await asyncio.sleep(GATHERING)
    if confirmed:
        await lead.remove(confirmed)
