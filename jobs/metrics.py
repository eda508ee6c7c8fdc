"""What the acting processes count."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LATENESS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_DURATION = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1_800, 3_600)


class JobMetrics:
    """One for each process: a registry takes a name once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter(
            "carillon_attempts", "Attempts that ended, by outcome", ["outcome"], registry=registry
        )
        self.lateness = Histogram(
            "carillon_task_lateness_seconds",
            "From the instant a task was due to the start of its attempt, by the database's clock",
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
