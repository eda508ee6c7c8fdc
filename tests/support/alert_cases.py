"""What makes each alert fire, and what comes close to it and does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Series = Mapping[str, str | float]
"""What is scraped each minute: a counter that grows by so much, or promtool's text (`1+2x9` is 1, 3 ... 19)."""

Rates = Mapping[str, float]
"""Counters alone."""
LONG = 120
PARTS = ("api", "worker", "scheduler", "relay", "notifier")
REQUESTS = 'carillon_http_request_duration_seconds_{}{{job="carillon-api",route="/graphql",status="200"{}}}'
OPERATIONS = 'carillon_graphql_operations_total{{job="carillon-api",kind="query",outcome="{}"}}'
TURNED_AWAY = REQUESTS.replace("200", "503")
SHED = 'carillon_api_shed_total{job="carillon-api",reason="concurrency"}'
DURATIONS = 'carillon_graphql_operation_duration_seconds_{{}}{{{{job="carillon-api",kind="{}"{{}}}}}}'
WAIT = 'carillon_task_wait_seconds_{}{{job="carillon-worker"{}}}'
LATENESS = 'carillon_task_lateness_seconds_{}{{job="carillon-worker"{}}}'
SQL = 'carillon_sql_seconds_{}{{job="carillon-api",work="find_tasks"{}}}'
SQL_FAILURES = 'carillon_sql_failures_total{job="carillon-api",work="find_tasks"}'
SQL_REFUSALS = 'carillon_sql_refusals_total{job="carillon-api",work="find_tasks"}'
LAG = 'carillon_loop_lag_seconds_{}{{job="carillon-worker",instance="w:9100"{}}}'
CACHE = 'carillon_cache_operations_total{{job="carillon-api",outcome="{}"}}'
IN_USE = 'carillon_sql_connections_in_use{job="carillon-api",instance="a:8000",pool="main"}'
ALLOWED = 'carillon_sql_connections_allowed{job="carillon-api",instance="a:8000",pool="main"}'
RESCUED = 'carillon_rescued_total{job="carillon-scheduler",reason="lost_attempt"}'
LEASES = 'carillon_leases_lost_total{job="carillon-worker"}'
BREAKER = 'carillon_breaker_open{{job="carillon-api",instance="{}:8000",name="{}"}}'
POSTGRES, REDIS, RABBITMQ = (BREAKER.format("a", name) for name in ("postgres", "redis", "rabbitmq"))
OVERLOADED_TENANTS = 'carillon_overloaded_tenants{job="carillon-api"}'
SPANS = 'carillon_spans_total{{job="carillon-api",outcome="{}"}}'
PUT_OFF = 'carillon_webhook_breakers_open{job="carillon-worker",instance="w:9100"}'
UP = 'up{{job="carillon-{0}",instance="{0}:1"}}'
SECOND = 'up{job="carillon-worker",instance="worker:2"}'
DEAD = 'carillon_dead_letters{job="carillon-api",of="notifier"}'
UNPUBLISHED = 'carillon_dead_letters{job="carillon-api",of="outbox"}'


def steady(value: float) -> str:
    return f"{value:g}+0x{LONG}"


def written(series: Series) -> list[dict[str, str]]:
    """As promtool reads it."""
    return [
        {"series": name, "values": value if isinstance(value, str) else f"0+{value:.3f}x{LONG}"}
        for name, value in series.items()
    ]


def histogram(name: str, each_minute: float, shares: Mapping[str, float]) -> Rates:
    """`shares` are the parts of all that are at most so many seconds."""
    buckets = {name.format("bucket", f',le="{most}"'): each_minute * part for most, part in shares.items()}
    return {
        **buckets,
        name.format("bucket", ',le="+Inf"'): each_minute,
        name.format("count", ""): each_minute,
    }


def requests(half: float, long: float = 1) -> Rates:
    """`half` of them take half a second at most, `long` of them two and a half."""
    return histogram(REQUESTS, 6000, {"0.25": half / 2, "0.5": half, "2.5": long, "5.0": 1})


def turned_away(each_minute: float) -> Rates:
    return histogram(TURNED_AWAY, each_minute, {"0.25": 1, "0.5": 1, "2.5": 1, "5.0": 1})


def durations(kind: str, half: float, each_minute: float = 600) -> Rates:
    """`half` of the operations of that kind take half a second at most."""
    return histogram(DURATIONS.format(kind), each_minute, {"0.25": half / 2, "0.5": half, "1.0": 1})


def operations(failed: float) -> Rates:
    return {OPERATIONS.format("ok"): 6000 * (1 - failed), OPERATIONS.format("failed"): 6000 * failed}


def attempts(second: float, five: float = 1) -> Rates:
    """`second` of them begin within a second, `five` of them within five."""
    return histogram(LATENESS, 6000, {"0.5": second, "1.0": second, "5.0": five, "10.0": 1})


def starts(second: float) -> Rates:
    """`second` of them come within a second of their hand-over."""
    return histogram(WAIT, 6000, {"0.5": second / 2, "1.0": second, "2.5": 1})


def spans(lost: float) -> Rates:
    shares = {"exported": 1 - lost, "failed": lost / 2, "dropped": lost / 2}
    return {SPANS.format(outcome): 6000 * part for outcome, part in shares.items()}


def sql(quarter: float, second: float = 1) -> Rates:
    return histogram(SQL, 6000, {"0.1": quarter / 2, "0.25": quarter, "1.0": second, "2.0": 1})


def notifier_sql(failed: float) -> Rates:
    """Of a hundred pieces of work each minute, while the API has sixty times as many."""
    figures = {"failures_total": failed, "refusals_total": 0, "seconds_count": 100 - failed}
    return {f'carillon_sql_{name}{{job="carillon-notifier",work="notify"}}': n for name, n in figures.items()}


def lag(quarter: float) -> Rates:
    return histogram(LAG, 120, {"0.1": quarter / 2, "0.25": quarter, "1.0": 1})


def cache(hits: float, bypassed: float = 0, each_minute: float = 600) -> Rates:
    asked = {"hit": hits, "bypass": bypassed, "miss": 1 - hits - bypassed}
    return {CACHE.format(outcome): each_minute * part for outcome, part in asked.items()}


def resyncs(each_minute: float) -> Rates:
    feeds = ("task_feed", "notification_feed", "activity_feed", "shared")
    return {f'carillon_{feed}_resyncs_total{{job="carillon-api"}}': each_minute / 4 for feed in feeds}


def of_api(name: str, value: float) -> Series:
    """A gauge that the API reads; in every other process it stays at 0."""
    return {f'{name}{{job="carillon-api"}}': steady(value), f'{name}{{job="carillon-relay"}}': steady(0)}


HEALTHY: Series = {
    **{UP.format(part): steady(1) for part in PARTS},
    **requests(half=1),
    **operations(failed=0),
    **durations("query", half=1, each_minute=6000),
    **durations("mutation", half=1),
    **attempts(second=1),
    **starts(second=1),
    **spans(lost=0),
    **sql(quarter=1),
    **lag(quarter=1),
    **cache(hits=0.9),
    **resyncs(0),
    **of_api("carillon_tasks_due", 0),
    **of_api("carillon_tasks_due_paused", 0),
    **of_api("carillon_oldest_due_seconds", 0),
    **of_api("carillon_outbox_oldest_seconds", 0),
    **of_api("carillon_oldest_snapshot_seconds", 0),
    SQL_FAILURES: steady(0),
    SQL_REFUSALS: steady(0),
    IN_USE: steady(1),
    ALLOWED: steady(10),
    RESCUED: steady(0),
    LEASES: steady(0),
    **{BREAKER.format("a", name): steady(0) for name in ("postgres", "redis", "rabbitmq", "webhooks")},
    **of_api("carillon_overloaded", 0),
    **of_api("carillon_overloaded_tenants", 0),
    SHED: steady(0),
    PUT_OFF: steady(0),
    DEAD: steady(0),
    UNPUBLISHED: steady(0),
}


@dataclass(frozen=True, slots=True)
class Case:
    """Both over what is healthy."""

    fires: Series
    silent: Series
    pending: int
    """The minute at which it does not fire yet."""
    at: int
    """The minute at which it fires, or is silent all the same."""


def changed(before: Rates, minutes: int, after: Rates, until: int) -> Series:
    """What grew by `before` for so many minutes, and has grown by `after` since."""
    return {
        name: f"0+{rate:.3f}x{minutes} {rate * minutes + after[name]:.3f}+{after[name]:.3f}x{until - minutes}"
        for name, rate in before.items()
    }


def budget(share: Callable[[float], Rates], allowed: float) -> dict[str, list[Case]]:
    """Of an objective that allows this part to be bad: by severity, for each pair of windows."""
    much, good = share(20 * allowed), share(0)
    return {
        "critical": [
            Case(share(14.5 * allowed), share(5.9 * allowed), 1, 5),
            Case(share(6.1 * allowed), changed(much, 60, good, until=100), 1, 95),
        ],
        "warning": [
            Case(share(1.1 * allowed), share(0.9 * allowed), 14, 20),
            Case(changed(good, 600, much, until=1020), changed(much, 600, good, until=1020), 14, 1015),
        ],
    }


BUDGETS = {
    "CarillonApiAvailabilityBudget": budget(operations, 0.001),
    "CarillonApiLatencyBudget": budget(lambda slow: requests(half=1 - slow), 0.01),
    "CarillonOnTimeBudget": budget(lambda late: attempts(second=1 - late), 0.01),
}
CASES: dict[str, list[Case]] = {
    "CarillonApiSlow warning": [
        Case(requests(half=0.94), requests(half=0.96), 9, 14),
        Case({**requests(half=0.94), **turned_away(6000)}, turned_away(6000), 9, 14),
    ],
    "CarillonApiSlow critical": [Case(requests(half=0.9, long=0.985), requests(half=0.9, long=0.995), 4, 9)],
    "CarillonApiErrors warning": [Case(operations(failed=0.003), operations(failed=0.002), 14, 20)],
    "CarillonApiErrors critical": [Case(operations(failed=0.011), operations(failed=0.009), 4, 9)],
    "CarillonOperationsSlow warning": [
        Case(durations("mutation", half=0.94), durations("mutation", half=0.96), 9, 14),
        Case(durations("mutation", half=0.94), durations("mutation", half=0, each_minute=5), 9, 14),
    ],
    "CarillonRequestsShed warning": [Case({SHED: 66}, {SHED: 54}, 4, 9)],
    "CarillonRequestsShed critical": [Case({SHED: 660}, {SHED: 540}, 4, 9)],
    "CarillonSubscribersResync warning": [Case(resyncs(7), resyncs(5), 9, 18)],
    "CarillonDueBacklog warning": [
        Case(of_api("carillon_tasks_due", 1001), of_api("carillon_tasks_due", 1000), 4, 6),
        Case(of_api("carillon_tasks_due", 1001), of_api("carillon_tasks_due_paused", 9000), 4, 6),
    ],
    "CarillonDueBacklog critical": [
        Case(of_api("carillon_tasks_due", 5001), of_api("carillon_tasks_due", 5000), 1, 3)
    ],
    "CarillonOverloaded warning": [
        Case(of_api("carillon_overloaded_tenants", 1), {OVERLOADED_TENANTS: "1x4 0+0x100"}, 4, 6)
    ],
    "CarillonOverloaded critical": [
        Case(of_api("carillon_overloaded", 1), of_api("carillon_overloaded_tenants", 9), 0, 2)
    ],
    "CarillonStartsSlow warning": [Case(starts(second=0.94), starts(second=0.96), 9, 14)],
    "CarillonTasksLate warning": [Case(attempts(0.9, five=0.98), attempts(0.9, five=0.995), 9, 14)],
    "CarillonTasksWait critical": [
        Case(of_api("carillon_oldest_due_seconds", 61), of_api("carillon_oldest_due_seconds", 60), 1, 3),
        Case(of_api("carillon_oldest_due_seconds", 61), of_api("carillon_tasks_due_paused", 9000), 1, 3),
    ],
    "CarillonLeasesLost warning": [
        Case({LEASES: "0x5 1+0x100"}, {LEASES: steady(3)}, 6, 8),
        Case({RESCUED: "0x5 2+0x100"}, {RESCUED: steady(5)}, 6, 8),
    ],
    "CarillonOutboxStuck critical": [
        Case(of_api("carillon_outbox_oldest_seconds", 31), of_api("carillon_outbox_oldest_seconds", 30), 1, 3)
    ],
    "CarillonDeadLetters warning": [
        Case({DEAD: steady(1)}, {DEAD: "1 1 1 0+0x100"}, 4, 6),
        Case({UNPUBLISHED: steady(1)}, {UNPUBLISHED: "1 1 1 0+0x100"}, 4, 6),
    ],
    "CarillonWebhooksPutOff warning": [Case({PUT_OFF: steady(1)}, {PUT_OFF: "1x5 0+0x100"}, 9, 11)],
    "CarillonBreakerOpen critical": [
        Case({POSTGRES: steady(1)}, {POSTGRES: "1 0+0x100"}, 1, 3),
        Case({BREAKER.format("b", "postgres"): steady(1)}, {REDIS: steady(1)}, 1, 3),
    ],
    "CarillonBreakerOpen warning": [
        Case({REDIS: steady(1)}, {REDIS: "1x3 0+0x100"}, 4, 6),
        Case({RABBITMQ: steady(1)}, {RABBITMQ: "1x3 0+0x100"}, 4, 6),
        Case({REDIS: steady(1)}, {BREAKER.format("a", "webhooks"): steady(1)}, 4, 6),
    ],
    "CarillonDatabaseSlow warning": [Case(sql(0.94), sql(0.96), 9, 14)],
    "CarillonDatabaseSlow critical": [Case(sql(0.9, second=0.94), sql(0.9, second=0.96), 4, 9)],
    "CarillonDatabaseFails critical": [
        Case({SQL_FAILURES: 330}, {SQL_FAILURES: 300}, 1, 6),
        Case({SQL_REFUSALS: 330}, {SQL_REFUSALS: 300}, 1, 6),
        Case(notifier_sql(failed=6), notifier_sql(failed=5), 1, 6),
    ],
    "CarillonConnectionsUsedUp warning": [Case({IN_USE: steady(10)}, {IN_USE: steady(9)}, 9, 11)],
    "CarillonOldSnapshot warning": [
        Case(
            of_api("carillon_oldest_snapshot_seconds", 301),
            of_api("carillon_oldest_snapshot_seconds", 300),
            4,
            6,
        )
    ],
    "CarillonCacheMisses warning": [
        Case(cache(hits=0.45), cache(hits=0.55), 29, 35),
        Case(cache(hits=0.1, bypassed=0.9), cache(hits=0.1, each_minute=50), 29, 35),
    ],
    "CarillonProcessNotScraped warning": [Case({SECOND: steady(0)}, {SECOND: "0 1+0x100"}, 1, 3)],
    "CarillonPartMissing critical": [
        Case({UP.format("relay"): "_x100"}, {UP.format("relay"): "_ 1+0x100"}, 0, 2),
        Case({UP.format("worker"): steady(0)}, {UP.format("worker"): steady(0), SECOND: steady(1)}, 0, 2),
    ],
    "CarillonSpansLost warning": [Case(spans(lost=0.06), spans(lost=0.04), 29, 35)],
    "CarillonLoopLags warning": [Case(lag(quarter=0.94), lag(quarter=0.96), 9, 14)],
    **{
        f"{alert} {severity}": cases
        for alert, objective in BUDGETS.items()
        for severity, cases in objective.items()
    },
}
"""By `alert severity`."""
