"""Acting as another user of the machine, for the tests that keep one out."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """What the process does meanwhile, it does with this user's rights. For root only; never await inside."""
    account, groups = pwd.getpwnam(name), os.getgroups()
    os.setgroups([])
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
