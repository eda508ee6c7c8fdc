"""Does what an attempt is for: remind, call a webhook, or run a handler."""

from __future__ import annotations

from domain.actions.model import Call, Http, Notify, Outcome, Run, Succeeded
from domain.actions.ports import HandlerRunner, Reporter, Webhooks
from domain.attempts.model import Started


async def run_action(
    started: Started, handler_runner: HandlerRunner, webhooks: Webhooks, reporter: Reporter
) -> Outcome:
    match started.action:
        case Notify():
            return Succeeded()  # a reminder succeeds by being due
        case Http() as http:
            return await webhooks.send(http, _call(started))
        case Run() as run:
            return await handler_runner.run(run, _call(started), reporter)


def _call(started: Started) -> Call:
    return Call(
        task_id=started.task_id,
        tenant=started.tenant,
        attempt=started.number,
        fence=started.fence,
        due_at=started.due_at,
        traceparent=started.traceparent,
        fire_time=started.fire_time,
        put_off=started.number - started.counted,
    )
