"""Whom the server runs as: us, or for root, as whom PostgreSQL refuses to run, a system user of its own."""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import stat
import struct
import subprocess
from pathlib import Path

from infra.embedded_postgres.errors import CannotStart

SYSTEM_USER = "carillon-postgres"
_log = logging.getLogger(__name__)


def server_account() -> pwd.struct_passwd:
    """The account to run the server as, made on first use when we are root."""
    if os.geteuid() == 0:
        return _system_user()
    return client_account()


def client_account() -> pwd.struct_passwd:
    """The account we run as: the only one the server lets in."""
    try:
        return pwd.getpwuid(os.geteuid())
    except KeyError as error:
        raise CannotStart(
            f"user id {os.geteuid()} has no name on this machine, which PostgreSQL insists on: run as a user "
            "that has one, or set CARILLON_DATABASE_URL"
        ) from error


def open_way(account: pwd.struct_passwd, path: Path) -> None:
    """Let the account pass through the folders above `path`: it, and no other user, and not list them."""
    for folder in path.parents:
        if not folder.stat().st_mode & stat.S_IXOTH:
            _grant(account, folder, os.X_OK)


def open_tree(account: pwd.struct_passwd, root: Path) -> None:
    """Let the account read and run what is under `root`, where a strict umask closed it to others."""
    open_way(account, root)
    if root.stat().st_mode & stat.S_IROTH:
        return
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            _grant(account, path, os.R_OK | os.X_OK)


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _make_system_user()
    return pwd.getpwnam(SYSTEM_USER)


def _make_system_user() -> None:
    command = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin")
    if command is None:
        raise CannotStart(
            "PostgreSQL never runs as root, and without `useradd` no system user can be made for it: "
            "run as an ordinary user, or set CARILLON_DATABASE_URL"
        )
    arguments = ("--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER)
    made = subprocess.run((command, *arguments), capture_output=True, text=True, check=False)  # noqa: S603  fixed words
    if made.returncode and not _exists(SYSTEM_USER):  # another process may have been quicker
        raise CannotStart(f"no system user could be made for PostgreSQL: {made.stderr.strip()}")
    _log.warning("made the system user %s: PostgreSQL never runs as root, so it runs as that one", SYSTEM_USER)


def _exists(name: str) -> bool:
    return any(account.pw_name == name for account in pwd.getpwall())


# A POSIX access list as Linux stores it: a version, then entries of (tag, permissions, id) ordered by tag.
_ACL = "system.posix_acl_access"
_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
_OWNER, _USER, _GROUP, _MASK, _OTHERS, _NOBODY = 0x01, 0x02, 0x04, 0x10, 0x20, 0xFFFFFFFF


def _grant(account: pwd.struct_passwd, path: Path, rights: int) -> None:
    """Add to the path's access list: opening it by `chmod` would open it to every user."""
    try:
        entries = _access_list(path)
        mask = entries.get((_MASK, _NOBODY), entries[_GROUP, _NOBODY])
        entries[_MASK, _NOBODY] = mask | rights
        entries[_USER, account.pw_uid] = entries.get((_USER, account.pw_uid), 0) | rights
        packed = (_ENTRY.pack(tag, right, who) for (tag, who), right in sorted(entries.items()))
        os.setxattr(path, _ACL, _VERSION + b"".join(packed))
    except OSError as error:
        raise CannotStart(
            f"PostgreSQL, which runs as the system user {account.pw_name}, cannot pass {path}: choose another "
            "CARILLON_HOME or place for the program, open that folder (chmod o+x), or run as an ordinary user"
        ) from error


def _access_list(path: Path) -> dict[tuple[int, int], int]:
    mode = path.stat().st_mode
    plain = {(_OWNER, _NOBODY): mode >> 6 & 7, (_GROUP, _NOBODY): mode >> 3 & 7, (_OTHERS, _NOBODY): mode & 7}
    if _ACL not in os.listxattr(path):
        return plain
    stored = os.getxattr(path, _ACL).removeprefix(_VERSION)
    return {(tag, who): right for tag, right, who in _ENTRY.iter_unpack(stored)}
