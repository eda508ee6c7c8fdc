"""The commands for documents: published from manifests, listed with their uses, retired."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from domain.documents.model import hash_of
from tests.support.storage import Storage

ROOT = Path(__file__).parents[2]
TEXT = "query List { tasks { totalCount } }"
pytestmark = pytest.mark.postgres


async def carillon(storage: Storage, *arguments: str, **settings: str) -> tuple[int | None, str, str]:
    """Its exit code, and what it says to the standard output and the standard error."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CARILLON_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "api.cli", "documents", *arguments),
        cwd=ROOT,
        env=kept | {"CARILLON_DATABASE_URL": storage.url} | settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    return process.returncode, said.decode(), complained.decode()


async def test_a_manifest_is_published_listed_and_retired(storage: Storage, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({hash_of(TEXT): TEXT}))
    code, said, told = await carillon(storage, "publish", str(manifest))
    assert (code, said) == (0, "Published: 1 of 1; the others were before.\n"), told
    assert await storage.documents.texts() == {hash_of(TEXT): TEXT}
    await storage.documents.note_uses({hash_of(TEXT): 7})

    _, listed, _ = await carillon(storage, "list")
    row = listed.splitlines()[1].split("\t")
    assert (row[:3], row[5]) == ([f"sha256:{hash_of(TEXT)}", "query", "List"], "7")

    assert (await carillon(storage, "retire", row[0]))[0] == 0
    assert await storage.documents.texts() == {}
    assert (await carillon(storage, "retire", "nonsense"))[0::2] == (1, "There is no such document.\n")


async def test_one_bad_document_keeps_the_manifest_out(storage: Storage, tmp_path: Path) -> None:
    wrong, manifest = "{ taskz }", tmp_path / "manifest.json"
    manifest.write_text(json.dumps({hash_of(TEXT): TEXT, hash_of(wrong): wrong}))
    code, _, told = await carillon(storage, "publish", str(manifest))
    assert code == 1
    assert told.startswith(f"{hash_of(wrong)}: Cannot query field 'taskz'")
    manifest.write_text("{")
    assert (await carillon(storage, "publish", str(manifest)))[0] == 1
    assert await storage.documents.texts() == {}


async def test_the_limits_of_the_installation_are_those_a_document_is_held_to(
    storage: Storage, tmp_path: Path
) -> None:
    paged = "query Paged($first: Int = 1) { tasks(first: $first) { nodes { id } } }"
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({hash_of(paged): paged}))
    code, _, told = await carillon(storage, "publish", str(manifest), CARILLON_MAX_COST="100")
    assert code == 1
    assert told.startswith(f"{hash_of(paged)}: ")
    assert "may cost 101 points; 100 are allowed" in told
    assert await storage.documents.texts() == {}
    assert (await carillon(storage, "publish", str(manifest), CARILLON_MAX_COST="101"))[0] == 0
