"""The keys of a home: made there the first time, so that `carillon dev` encrypts without being set up."""

from __future__ import annotations

import os
from pathlib import Path

from infra.encryption.keys import KeyRing, new_key, read_keys

NAME = "encryption.keys"


def home_keys(home: Path) -> KeyRing:
    """Readable by its owner alone. The home is held by this process. Raises OSError or ValueError."""
    path = home / NAME
    if not path.exists():
        _write(path, f"{new_key('home')}\n")
    return read_keys(path.read_text())


def _write(path: Path, text: str) -> None:
    """Whole or not at all: with half a key, what it encrypted would be lost."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
