"""The server of a home: started after any that a killed owner left, and stopped with its owner."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from infra.embedded_postgres.account import client_account
from infra.embedded_postgres.binaries import Binaries
from infra.embedded_postgres.cluster import last_words, spawn
from infra.embedded_postgres.errors import CannotStart
from infra.embedded_postgres.home import ServerLock

_START_LIMIT = 120.0  # seconds; long enough to replay a gigabyte of log after a kill
_STOP_LIMIT = 20.0
_PORT = 5432  # only a part of the socket's name: no TCP port is opened
_SOCKET_PATH_LIMIT = 103  # bytes, on macOS; Linux has 107
_log = logging.getLogger(__name__)


@asynccontextmanager
async def running(binaries: Binaries, account: pwd.struct_passwd, home: Path, data: Path) -> AsyncIterator[str]:
    """Yield the URL of the home's server. On leaving it is stopped, and the data stays."""
    lock, log = ServerLock(home), home / "postgres.log"
    await _stop_orphan(lock)
    _forget_dead_server(data)
    with _socket_folder(account, data) as sockets:
        settings = _settings(sockets, *_write_access(home))
        temporary = None if sockets == data else sockets
        with lock.taken() as inherited:
            lock.record(inherited, temporary)
            process = spawn((binaries / "postgres", "-D", data, *settings), account, log, inherit=(inherited,))
            lock.record(inherited, temporary, process.pid)
        try:
            await _ready(process, data, log)
            yield _url(sockets)
        finally:
            if await _stop(lock, process.pid):
                process.wait()


def running_url(home: Path) -> str:
    """That of the server which the home's owner runs. Raises CannotStart when it does not run, or not yet."""
    lock, data = ServerLock(home), home / "postgres"
    pid, sockets = lock.recorded()
    if pid is None or not lock.alive() or not _says_ready(pid, data):
        raise CannotStart(
            f"the PostgreSQL of {home} is not ready: try again shortly, or see {home}/postgres.log"
        )
    return _url(sockets or data)


def _url(sockets: Path) -> str:
    return f"postgresql://postgres@/postgres?host={quote(str(sockets))}&port={_PORT}"


def _settings(sockets: Path, access: Path, identities: Path) -> list[str]:
    given = {
        "listen_addresses": "",
        "port": _PORT,
        "unix_socket_directories": sockets,
        "unix_socket_permissions": "0700",
        "hba_file": access,
        "ident_file": identities,
        "max_connections": 50,
        "timezone": "UTC",
        "log_timezone": "UTC",
        # What clients do wrong is theirs to log, and their statements may carry secrets.
        "log_min_messages": "log",
        "log_min_error_statement": "panic",
        "log_checkpoints": "off",
    }
    return [word for name, value in given.items() for word in ("-c", f"{name}={value}")]


def _write_access(home: Path) -> tuple[Path, Path]:
    """Who may connect: our own account, vouched for by the kernel, and nobody else. No password to leak."""
    access, identities = home / "postgres.hba.conf", home / "postgres.ident.conf"
    access.write_text("local all all peer map=carillon\n")
    identities.write_text(f'carillon "{client_account().pw_name}" postgres\n')
    for file in (access, identities):
        file.chmod(0o644)  # the server may be another user; they hold no secret
    return access, identities


@contextmanager
def _socket_folder(account: pwd.struct_passwd, data: Path) -> Iterator[Path]:
    """The data directory, or a private short folder where a socket's path or a URL cannot hold its name."""
    length = len(os.fsencode(data / f".s.PGSQL.{_PORT}"))
    if length <= _SOCKET_PATH_LIMIT and re.fullmatch(r"[\w ./+@-]+", str(data)):
        yield data
        return
    folder = Path(tempfile.mkdtemp(prefix="carillon-", dir="/tmp"))  # short on every system, and made 0700
    try:
        os.chown(folder, account.pw_uid, account.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _forget_dead_server(data: Path) -> None:
    """Drop what names a killed server's pid if now a zombie's or another program's: it stops PostgreSQL.

    Usual in containers, where pids are few. A server started by hand is left, and stops us.
    """
    for stale in (data / "postmaster.pid", data / f".s.PGSQL.{_PORT}.lock"):
        if stale.exists() and not _may_run_postgres(stale.read_text().split(maxsplit=1)[0]):
            stale.unlink()


def _may_run_postgres(pid: str) -> bool:
    if not Path("/proc/self").exists():
        return True  # nothing here tells
    try:
        return Path("/proc", pid, "exe").readlink().name.startswith("postgres")
    except OSError:  # nobody's, a zombie's, or another user's
        return False


async def _ready(process: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    try:
        async with asyncio.timeout(_START_LIMIT):
            while not _says_ready(process.pid, data):
                if process.poll() is not None:
                    raise CannotStart(f"PostgreSQL did not start; {log} ends:\n{last_words(log)}")
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        raise CannotStart(f"PostgreSQL is not ready after {_START_LIMIT:.0f} s; see {log}") from error


def _says_ready(pid: int, data: Path) -> bool:
    """Its pid file has a line for each step of the start; the eighth is its status."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004  that line


async def _stop_orphan(lock: ServerLock) -> None:
    """Stop the server that a killed owner left running, if there is one."""
    if lock.alive():
        pid, sockets = lock.recorded()
        await _stop(lock, pid)
        if sockets is not None:
            shutil.rmtree(sockets, ignore_errors=True)


async def _stop(lock: ServerLock, pid: int | None) -> bool:
    """Ask the server to stop: first in order, at last as in a crash, which the next start recovers from."""
    for request in (signal.SIGINT, signal.SIGQUIT):
        if pid is not None and lock.alive():
            with suppress(ProcessLookupError):  # it has died, and its backends follow
                os.kill(pid, request)
        if await _gone(lock):
            return True
        _log.warning("PostgreSQL (process %s) did not stop within %.0f s of %s", pid, _STOP_LIMIT, request.name)
    return False


async def _gone(lock: ServerLock) -> bool:
    try:
        async with asyncio.timeout(_STOP_LIMIT):
            while lock.alive():  # noqa: ASYNC110  nobody tells of the end of another process's lock
                await asyncio.sleep(0.005)
    except TimeoutError:
        return False
    return True
