"""The data directory: made whole or not at all, and only opened by the version and account that made it."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from infra.embedded_postgres.binaries import Binaries
from infra.embedded_postgres.errors import CannotStart

_LOG_LIMIT = 1024 * 1024


async def ensure_cluster(binaries: Binaries, account: pwd.struct_passwd, home: Path) -> Path:
    """The home's data directory, made if it is missing. A start killed half-way leaves none."""
    data = home / "postgres"
    if not data.exists():
        await _make(binaries, account, home, data)
    made_by = (data / "PG_VERSION").read_text().strip()
    if made_by != str(binaries.major):
        raise CannotStart(
            f"{data} was made by PostgreSQL {made_by} and this is PostgreSQL {binaries.major}: dump it with "
            f"PostgreSQL {made_by} and restore it here, or choose another CARILLON_HOME"
        )
    owner = data.stat().st_uid
    if owner != account.pw_uid:
        raise CannotStart(
            f"{data} belongs to user id {owner} and PostgreSQL would run as {account.pw_name}: start Carillon "
            "as the user who made this home, or choose another CARILLON_HOME"
        )
    return data


def spawn(
    command: tuple[str | Path, ...], account: pwd.struct_passwd, log: Path, inherit: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Run a program of PostgreSQL's as the account, out of reach of the terminal's Ctrl-C.

    Not through asyncio: uvloop cannot start a process as another user.
    """
    as_other = account.pw_uid != os.geteuid()
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as output:
        if os.fstat(output.fileno()).st_size > _LOG_LIMIT:
            output.truncate(0)
        return subprocess.Popen(  # noqa: S603  our own binary with arguments made here
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"LC_ALL": "C", "PATH": os.defpath},  # none of the caller's PG* variables
            start_new_session=True,
            pass_fds=inherit,
            user=account.pw_uid if as_other else None,
            group=account.pw_gid if as_other else None,
            extra_groups=[] if as_other else None,
        )


def last_words(log: Path) -> str:
    """The end of the log, for the message of an error."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:])


async def _make(binaries: Binaries, account: pwd.struct_passwd, home: Path, data: Path) -> None:
    unfinished = home / "postgres.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if account.pw_uid != os.geteuid():
        os.chown(unfinished, account.pw_uid, account.pw_gid)
    log = home / "postgres.log"
    process = spawn((binaries / "initdb", *_MADE_WITH, "-D", unfinished), account, log)
    try:
        await asyncio.to_thread(process.wait)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise CannotStart(f"PostgreSQL could not make {data}; {log} ends:\n{last_words(log)}")
    unfinished.rename(data)


# A locale of PostgreSQL's own: the same order and the same lower case on every machine.
_MADE_WITH = (
    "--username=postgres",
    "--auth=peer",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)
