"""A private PostgreSQL in a folder, from a Python package: for a machine on which no server is set up.

<home>/postgres              the data, readable by the account the server runs as
<home>/postgres.log          what the server says
<home>/postgres.*.conf       who may connect; written anew at each start
<home>/owner.lock            held by the one process that runs on this home; tells its pid
<home>/postgres.lock         held by the server's processes; tells its pid and where its socket is
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from infra.embedded_postgres.account import open_tree, open_way, server_account
from infra.embedded_postgres.binaries import find_binaries
from infra.embedded_postgres.cluster import ensure_cluster
from infra.embedded_postgres.errors import CannotStart, HomeInUse
from infra.embedded_postgres.home import make_home, owned
from infra.embedded_postgres.server import running

__all__ = ["CannotStart", "HomeInUse", "open_embedded_postgres"]


@asynccontextmanager
async def open_embedded_postgres(home: Path) -> AsyncIterator[str]:
    """Yield the URL of a PostgreSQL that lives in `home` and stops with this block; the data stays.

    Only the account we run as can connect (peer authentication over a private socket), and no other user of the
    machine can read its files. One that a killed owner left running is stopped first, and recovers. Raises
    HomeInUse when another process runs on this home, and CannotStart when it cannot run for another reason.
    """
    binaries, account = find_binaries(), server_account()
    home = make_home(home, account)
    with owned(home):
        if account.pw_uid != os.geteuid():
            open_way(account, home / "postgres")
            for tree in binaries.trees:
                open_tree(account, tree)
        data = await ensure_cluster(binaries, account, home)
        async with running(binaries, account, home, data) as url:
            yield url
