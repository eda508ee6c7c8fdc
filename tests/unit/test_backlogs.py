"""Nothing is made while too much is due and late: of a tenant for that tenant, of all for everyone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.resilience.backlogs import LONGEST_WAIT, Backlog, BacklogLimits, Backlogs, Overloaded
from domain.tenancy.model import Caller, Role
from tests.support.asking import CREATE, CREATE_MANY
from tests.support.face import TENANT, Face

LIMITS = BacklogLimits(tenant_tasks=10, tasks=30, seconds=5)
MUCH = {TENANT: Backlog(1_000, 12.5)}


def refused(backlogs: Backlogs, tenant: str) -> float | None:
    """The seconds after which to try again."""
    try:
        backlogs.check(tenant)
    except Overloaded as overloaded:
        return overloaded.retry_after
    return None


@pytest.mark.parametrize(
    ("backlog", "wait"),
    [
        (Backlog(11, 5.5), 5.5),
        (Backlog(10, 500), None),
        (Backlog(11, 5), None),
        (Backlog(11, 3_600), LONGEST_WAIT),
    ],
)
def test_much_alone_or_late_alone_is_no_reason(backlog: Backlog, wait: float | None) -> None:
    backlogs = Backlogs(LIMITS)
    backlogs.tell({"acme": backlog, "other": Backlog(3, 1)})
    assert refused(backlogs, "acme") == wait
    assert refused(backlogs, "other") is None


def test_too_much_of_all_tenants_together_is_refused_to_each() -> None:
    backlogs = Backlogs(LIMITS)
    backlogs.tell({str(number): Backlog(8, number) for number in range(4, 8)})
    assert (refused(backlogs, "4"), refused(backlogs, "nobody")) == (7, 7)
    backlogs.tell({})
    assert refused(backlogs, "4") is None


def test_much_of_one_tenant_is_refused_to_no_other() -> None:
    backlogs = Backlogs(LIMITS)
    backlogs.tell({"greedy": Backlog(1_000, 100), "modest": Backlog(8, 1)})
    assert refused(backlogs, "greedy") == LONGEST_WAIT
    assert (refused(backlogs, "modest"), refused(backlogs, "nobody")) == (None, None)


TENANTS = st.dictionaries(
    st.sampled_from("abcde"), st.builds(Backlog, st.integers(1, 40), st.floats(0, 100)), max_size=5
)


@given(TENANTS)
def test_a_wait_is_told_exactly_while_there_is_too_much(tenants: dict[str, Backlog]) -> None:
    backlogs = Backlogs(LIMITS)
    backlogs.tell(tenants)
    in_all = sum(min(each.tasks, 11) for each in tenants.values()) > LIMITS.tasks and any(
        each.oldest_seconds > LIMITS.seconds for each in tenants.values()
    )
    for tenant in "abcde":
        own = tenants.get(tenant, Backlog(0, 0))
        wait = refused(backlogs, tenant)
        assert (wait is not None) == (in_all or (own.tasks > 10 and own.oldest_seconds > 5))
        assert wait is None or 1 <= wait <= LONGEST_WAIT


async def test_making_tasks_is_refused_with_the_time_to_try_again_and_reading_goes_on() -> None:
    face = Face()
    await face.ask(CREATE, input={"title": "Before"})
    face.backpressure.tell(MUCH)
    for mutation in (
        'mutation { createTask(input: {title: "Now"}) { created } }',
        'mutation { createTasks(input: {tasks: [{title: "Now"}]}) { createdCount } }',
        "mutation { replayTasks(input: {filter: {}}) { count } }",
    ):
        error = await face.error(mutation)
        assert error["extensions"] == {"code": "OVERLOADED", "retryable": True, "retryAfter": 12.5}
    listed = await face.ask("{ tasks(first: 5) { nodes { title } } }")
    assert [task["title"] for task in listed["tasks"]["nodes"]] == ["Before"]
    assert (await face.ask("mutation { replayTasks(input: {filter: {}, dryRun: true}) { count } }")) is not None
    face.backpressure.tell({})
    await face.ask(CREATE_MANY, tasks=[{"title": "After"}])


async def test_what_a_key_names_already_is_answered_all_the_same() -> None:
    face = Face()
    first = await face.ask(CREATE, input={"title": "Once", "key": "order-1"})
    face.backpressure.tell(MUCH)
    again = await face.ask(CREATE, input={"title": "Once", "key": "order-1"})
    assert again["createTask"]["created"] is False
    assert again["createTask"]["task"]["id"] == first["createTask"]["task"]["id"]
    other = await face.error(CREATE, input={"title": "Twice", "key": "order-2"})
    assert other["extensions"]["code"] == "OVERLOADED"


async def test_who_may_not_make_tasks_is_told_that() -> None:
    face = Face()
    face.backpressure.tell(MUCH)
    error = await face.error(CREATE, Caller(tenant=TENANT, role=Role.VIEWER), input={"title": "Now"})
    assert error["extensions"]["code"] == "FORBIDDEN"
    assert len(face.audit_log.rows) == 1
