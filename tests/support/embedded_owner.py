"""A process that owns a home, to be killed: prints the URL, then stays until its input ends.

python -m tests.support.embedded_owner HOME [USER]
"""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
from pathlib import Path

from infra.embedded_postgres import open_embedded_postgres
from infra.embedded_postgres.binaries import find_binaries


async def own(home: Path, user: str | None = None) -> None:
    if user is not None:
        await asyncio.to_thread(find_binaries)  # all that is imported late, the user may be unable to read
        become(user)
    async with open_embedded_postgres(home) as url:
        print(url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def become(name: str) -> None:
    """Turn into that user for good."""
    account = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


if __name__ == "__main__":
    asyncio.run(own(Path(sys.argv[1]), *sys.argv[2:]))
