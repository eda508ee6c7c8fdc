"""What Redis is owed after an outage: the newest version of each key, and no more than may be remembered."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from infra.cache.metrics import CacheMetrics
from infra.cache.ports import Entry
from infra.redis import outage as module
from infra.redis.outage import Outage


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def outage(registry: CollectorRegistry) -> Outage:
    return Outage(CacheMetrics(registry).dropped)


def test_the_newest_version_of_each_key_is_owed_once_and_without_bytes(outage: Outage) -> None:
    outage.owe([Entry("a", 3, b"a"), Entry("b", 1, None), Entry("a", 2, None)])
    assert sorted(outage.owed(10), key=lambda entry: entry.key) == [Entry("a", 3, None), Entry("b", 1, None)]
    assert outage.owed(10) == []


def test_what_could_not_be_told_is_owed_again_but_not_before_what_came_since(outage: Outage) -> None:
    outage.owe([Entry("a", 1, None)])
    taken = outage.owed(1)
    outage.owe([Entry("a", 2, None)])
    outage.owe(taken)
    assert outage.owed(10) == [Entry("a", 2, None)]


def test_the_oldest_is_forgotten_and_counted_when_there_is_too_much(
    outage: Outage, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_OWED", 2)
    outage.owe([Entry("a", 1, None), Entry("b", 1, None), Entry("c", 1, None)])
    assert [entry.key for entry in outage.owed(10)] == ["b", "c"]
    assert registry.get_sample_value("carillon_cache_dropped_total") == 1


def test_an_outage_is_logged_once_however_many_calls_fail(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        outage.begin(ConnectionError("refused"))
    assert outage.on
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    outage.end()
    assert not outage.on
