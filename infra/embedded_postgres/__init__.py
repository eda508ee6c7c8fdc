"""A private PostgreSQL in a folder, from a Python package: for a machine on which no server is set up.

<home>/postgres              the data, readable by the account the server runs as
<home>/postgres.log          what the server says
<home>/postgres.*.conf       who may connect; written anew at each start
<home>/entry.lock            held while a process starts on this home, or a command has a server of its own
<home>/owner.lock            held by the one process that runs on this home; tells its pid
<home>/postgres.lock         held by the server's processes; tells its pid and where its socket is
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from infra.embedded_postgres.account import open_tree, open_way, server_account
from infra.embedded_postgres.binaries import find_binaries
from infra.embedded_postgres.cluster import ensure_cluster
from infra.embedded_postgres.errors import CannotStart, HomeInUse
from infra.embedded_postgres.home import entered, has_owner, make_home, owned
from infra.embedded_postgres.server import running, running_url

__all__ = ["CannotStart", "HomeInUse", "open_embedded_postgres", "runs_on", "share_embedded_postgres"]

Use = Callable[[str], Awaitable[None]]
"""What is done with the server of a URL before anyone else comes to it."""


async def _nothing(_: str) -> None:
    """As it is will do."""


@asynccontextmanager
async def open_embedded_postgres(home: Path, prepare: Use = _nothing) -> AsyncIterator[str]:
    """Yield the URL of a PostgreSQL that lives in `home` and stops with this block; the data stays.

    Only the account we run as can connect (peer authentication over a private socket), and no other user of the
    machine can read its files. One that a killed owner left running is stopped first, and recovers. Raises
    HomeInUse when another process runs on this home, and CannotStart when it cannot run for another reason.
    """
    home = make_home(home, server_account())
    async with AsyncExitStack() as stack:
        async with entered(home):
            url = await stack.enter_async_context(_own(home))
            await prepare(url)
        yield url


@asynccontextmanager
async def share_embedded_postgres(home: Path, prepare: Use, check: Use) -> AsyncIterator[str]:
    """For a command: the server that another process runs on this home, else one for this block alone.

    One that runs is left as it is: `check` may raise, `prepare` is for our own. Raises as the other does.
    """
    home = make_home(home, server_account())
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(entered(home))
        if has_owner(home):
            url = running_url(home)
            await check(url)
            await stack.aclose()  # whatever this command takes, others need not wait for it
        else:
            url = await stack.enter_async_context(_own(home))
            await prepare(url)
        yield url


async def runs_on(home: Path) -> bool:
    """Whether a process runs on this home. Raises as the others do."""
    home = make_home(home, server_account())
    async with entered(home):
        return has_owner(home)


@asynccontextmanager
async def _own(home: Path) -> AsyncIterator[str]:
    binaries, account = find_binaries(), server_account()
    with owned(home):
        if account.pw_uid != os.geteuid():
            open_way(account, home / "postgres")
            for tree in binaries.trees:
                open_tree(account, tree)
        data = await ensure_cluster(binaries, account, home)
        async with running(binaries, account, home, data) as url:
            yield url
