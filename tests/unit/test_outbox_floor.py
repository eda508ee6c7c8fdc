"""Nothing that may still appear is passed over, whatever the order in which transactions end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.postgres.outbox_floor import FLOORS, KEEP_FLOORS, LAST_PLACE, TRANSACTIONS, OutboxFloor


class Table:
    """An outbox, the transactions that write to it, and the server's answers about both."""

    def __init__(self) -> None:
        self.transactions = 0
        self.places = 0
        self.open: dict[int, list[int]] = {}
        """The places taken by each transaction that has not ended."""
        self.rows: set[int] = set()
        self.kept = 0

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        match statement:
            case s if s == LAST_PLACE:
                return [(self.places,)]
            case s if s == TRANSACTIONS:
                return [(min(self.open, default=self.transactions + 1), self.transactions + 1)]
            case s if s == FLOORS:
                return [{"seq": self.kept}]
            case s if s == KEEP_FLOORS:
                self.kept = arguments[1]
                return []
        raise AssertionError(statement)

    def begin(self) -> None:
        self.transactions += 1
        self.open[self.transactions] = []

    def write(self, choice: int) -> None:
        if self.open:
            self.places += 1
            self._chosen(choice).append(self.places)

    def end(self, choice: int, *, commits: bool) -> None:
        if self.open:
            places = self._chosen(choice)
            self.open = {id: taken for id, taken in self.open.items() if taken is not places}
            self.rows |= set(places) if commits else set()

    def _chosen(self, choice: int) -> list[int]:
        return list(self.open.values())[choice % len(self.open)]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "write", "commit", "roll back", "read", "take over"]), st.integers(0, 9)
    ),
    max_size=60,
)


async def replay(steps: Sequence[tuple[str, int]]) -> None:
    table = Table()
    floor = OutboxFloor(table.fetch, look_seconds=0)
    await floor.lead([0], more=False)
    for step, choice in steps:
        match step:
            case "begin":
                table.begin()
            case "write":
                table.write(choice)
            case "commit" | "roll back":
                table.end(choice, commits=step == "commit")
            case "take over":
                floor = OutboxFloor(table.fetch, look_seconds=0)
                await floor.lead([0], more=False)
            case "read":
                await read(table, floor, choice)
    while table.open:
        table.end(0, commits=True)
    for _ in range(5):
        await read(table, floor, 100)
    assert not table.rows, "an event was passed over"
    assert floor.at >= table.places > 0 or table.places == 0, "the floor rises once all has ended"


async def read(table: Table, floor: OutboxFloor, limit: int) -> None:
    """As a relay does: some are published and removed."""
    await floor.look([0])
    assert all(row > floor.at for row in table.rows)
    found = sorted(row for row in table.rows if row > floor.at)
    floor.seen(found[0] if found else None)
    table.rows -= set(found[:limit])


@given(STEPS)
def test_every_event_is_found_and_the_floor_rises(steps: list[tuple[str, int]]) -> None:
    asyncio.run(replay(steps))
