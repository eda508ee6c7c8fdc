"""Keys that wait for a watcher are bounded, and taken once."""

from __future__ import annotations

from infra.live.signal_watch import MAX_KEYS, KeyWatch


async def test_keys_beyond_the_bound_are_dropped_and_told() -> None:
    watch = KeyWatch()
    keys = [str(number) for number in range(MAX_KEYS + 5)]
    assert watch.hear(keys) == 5
    assert watch.hear(["0", "1"]) == 0
    assert len(await watch.wait(0)) == MAX_KEYS
    assert await watch.wait(0) == frozenset()
    assert watch.hear(["new"]) == 0
    assert await watch.wait(0) == {"new"}
