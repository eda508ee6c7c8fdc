"""Schedules fire exactly once while the connections of those who fire them are being cut."""

from __future__ import annotations

import pytest

from tests.support.many_schedules import ZONES, fire_together

pytestmark = pytest.mark.postgres


@pytest.mark.fault(5, "10,000 schedules of one second, three schedulers, connections cut every so many seconds")
@pytest.mark.long
@pytest.mark.parametrize("cut_every", [None, 0.03])
async def test_ten_thousand_schedules_of_one_second_fire_once_each(
    database_url: str, cut_every: float | None
) -> None:
    count = 10_000 // len(ZONES) * len(ZONES)
    fires = await fire_together(database_url, schedules=count, schedulers=3, cut_every=cut_every)
    assert (fires.tasks, fires.distinct, fires.at_their_time) == (count, count, count)
    assert fires.events == count
    assert cut_every is None or fires.killed > 0
