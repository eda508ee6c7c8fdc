"""What the acting processes count."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from domain.attempts.model import AttemptState, Started
from infra.telemetry.tenants import naming

ABANDONED = "abandoned"
HANDED_BACK = "handed_back"
_OUTCOMES = [
    state.value.lower() for state in AttemptState if state not in {AttemptState.RUNNING, AttemptState.LOST}
]
_LATENESS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_TENANT_LATENESS = (0.1, 0.5, 1, 5, 30, 300)
_DURATION = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1_800, 3_600)


class JobMetrics:
    """One for each process: a registry takes a name once."""

    def __init__(self, registry: CollectorRegistry, tenants: Iterable[str] = ()) -> None:
        """`tenants` have figures of their own."""
        self._tenant = naming(tenants)
        self._attempts = Counter(
            "carillon_attempts",
            "Attempts that ended, by outcome (handed_back: the worker stopped; abandoned: it lost its lease;"
            " those lost with their worker are rescued)",
            ["outcome"],
            registry=registry,
        )
        for outcome in (*_OUTCOMES, ABANDONED, HANDED_BACK):
            self._attempts.labels(outcome)
        self._tenant_attempts = Counter(
            "carillon_tenant_attempts",
            "Attempts of a tenant that ended, by outcome",
            ["tenant", "outcome"],
            registry=registry,
        )
        self._lateness = Histogram(
            "carillon_task_lateness_seconds",
            "From the instant a task was due to the start of its attempt, by the database's clock",
            buckets=_LATENESS,
            registry=registry,
        )
        self._tenant_lateness = Histogram(
            "carillon_tenant_task_lateness_seconds",
            "From the instant a task was due to the start of its attempt, by tenant",
            ["tenant"],
            buckets=_TENANT_LATENESS,
            registry=registry,
        )
        self._wait = Histogram(
            "carillon_task_wait_seconds",
            "From the hand-over of a task to the start of its attempt, by the database's clock",
            buckets=_LATENESS,
            registry=registry,
        )
        self.duration = Histogram(
            "carillon_attempt_duration_seconds",
            "From the start of an attempt to its end, before it is recorded",
            buckets=_DURATION,
            registry=registry,
        )
        self.running = Gauge("carillon_attempts_running", "Attempts that run here now", registry=registry)
        self.deaf = Gauge(
            "carillon_handlers_deaf",
            "Handlers that run on though their attempt was given up; each holds a slot",
            registry=registry,
        )
        self.fenced = Counter(
            "carillon_fenced", "Results refused because the task was no longer this worker's", registry=registry
        )
        self.lines = Counter("carillon_log_lines", "Log lines of handlers stored", registry=registry)
        self.lines_dropped = Counter(
            "carillon_log_lines_dropped",
            "Log lines of handlers that were not stored, by reason",
            ["reason"],
            registry=registry,
        )
        self.leases_lost = Counter(
            "carillon_leases_lost",
            "Times this worker stopped everything for want of a lease",
            registry=registry,
        )
        self.handed_over = Counter("carillon_handed_over", "Tasks given to the workers", registry=registry)
        self.taken_back = Counter(
            "carillon_taken_back", "Hand-overs undone, by reason", ["reason"], registry=registry
        )
        self.rescued = Counter(
            "carillon_rescued", "Tasks put back, by what was lost", ["reason"], registry=registry
        )
        self.fire_times = Counter(
            "carillon_fire_times",
            "Fire times that were settled: a task was made, or none by the overlap policy (skipped) or by the"
            " misfire policy (dropped)",
            ["outcome"],
            registry=registry,
        )
        self.replaced = Counter(
            "carillon_tasks_replaced",
            "Unfinished tasks cancelled because their schedule fired again",
            registry=registry,
        )
        self.schedules_set_aside = Counter(
            "carillon_schedules_set_aside",
            "Schedules paused because they could not be read",
            registry=registry,
        )
        self.pruned = Counter(
            "carillon_pruned",
            "What was removed for its age: rows of tasks and notifications, whole days of attempts",
            ["table"],
            registry=registry,
        )
        self.pruned_at = Gauge(
            "carillon_pruned_at_seconds",
            "When the old of a table was last looked for, in seconds since 1970",
            ["table"],
            registry=registry,
        )
        self.attempt_days_put_off = Counter(
            "carillon_attempt_days_put_off",
            "Times a day of attempts could not be made or removed at once, because it was being read",
            registry=registry,
        )
        self.attempts_kept_aside = Counter(
            "carillon_attempts_kept_aside",
            "Attempts that ended before their day was made, and were moved to it later",
            registry=registry,
        )
        self.notified = Counter(
            "carillon_notifications_written",
            "Notifications given to storage, which drops those it has",
            registry=registry,
        )
        self.loop_errors = Counter(
            "carillon_loop_errors", "Rounds of a loop that failed, by loop", ["loop"], registry=registry
        )

    def started(self, started: Started) -> None:
        late = _seconds(started.started_at - started.due_at)
        self._lateness.observe(late)
        self._tenant_lateness.labels(self._tenant(started.tenant)).observe(late)
        if started.queued_at is not None:
            self._wait.observe(_seconds(started.started_at - started.queued_at))

    def recorded(self, tenant: str, outcome: AttemptState) -> None:
        word = outcome.value.lower()
        self._attempts.labels(word).inc()
        self._tenant_attempts.labels(self._tenant(tenant), word).inc()

    def left(self, how: str, attempts: int) -> None:
        """Without an outcome of their own: ABANDONED or HANDED_BACK."""
        self._attempts.labels(how).inc(attempts)


def _seconds(span: timedelta) -> float:
    """Instants of two of the database's clock, which may be set back."""
    return max(0.0, span.total_seconds())
