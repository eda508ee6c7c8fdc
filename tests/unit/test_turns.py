"""Of each tenant some events are executed at once, and the others wait."""

from __future__ import annotations

import asyncio

from api.bounds.turns import MOST, Turns


async def test_so_many_of_a_tenant_at_once_in_order_while_another_need_not_wait() -> None:
    waited: list[None] = []
    turns, begun, release = Turns(lambda: waited.append(None)), list[str](), asyncio.Event()

    async def execute(tenant: str, name: str) -> None:
        async with turns.one(tenant):
            begun.append(name)
            await release.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(MOST + 2):
            group.create_task(execute("greedy", str(number)))
        group.create_task(execute("modest", "modest"))
        await asyncio.sleep(0)
        assert begun == [*map(str, range(MOST)), "modest"]
        assert len(waited) == 2
        release.set()
    assert begun[MOST + 1 :] == [str(MOST), str(MOST + 1)]
    assert len(turns) == 0, "nothing is kept of those who are done"


async def test_who_gives_up_waiting_takes_no_turn() -> None:
    turns = Turns(lambda: None)

    async def execute() -> None:
        async with turns.one("acme"):
            await asyncio.Event().wait()

    running = [asyncio.ensure_future(execute()) for _ in range(MOST + 1)]
    await asyncio.sleep(0)
    for task in reversed(running):
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert len(turns) == 0
