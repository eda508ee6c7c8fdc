"""Names that lead inside are refused by what a name server really answers, however it answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from domain.actions.model import Failed, Http
from infra.http.client import HttpWebhooks
from infra.http.destination import Rules
from tests.support.dns_server import PUBLIC_4, PUBLIC_6, SILENT, StubResolver, open_name_server
from tests.support.resolving import Noted, Outcomes, outcomes
from tests.support.webhook_receiver import CALL, PLAIN

ROOT = Path(__file__).parents[2]
NAME_SERVER = "127.83.17.53"
BLOCKED = [
    "six-inside.test",
    "six-loopback.test",
    "six-mapped.test",
    "six-nat64.test",
    "mixed.test",
    "mixed-families.test",
    "alias.test",
    "aliased-twice.test",
    "metadata.test",
    "carrier.test",
    "zero.test",
]


def check(found: Outcomes) -> None:
    for name in BLOCKED:
        assert found.pop(name) == ["Blocked", "Blocked"], name
    for name in ("public.test", "alias-to-public.test"):
        first, second = found.pop(name)
        assert first == second
        assert first in (PUBLIC_4, PUBLIC_6)
    assert found.pop("rebinding.test") == [PUBLIC_4, "Blocked"]
    assert found.pop("rebinding6.test") == [PUBLIC_6, "Blocked"]
    assert found.pop(SILENT) == found.pop("unknown.test") == ["Unresolved", "Unresolved"]
    assert not found


async def test_names_are_judged_by_the_answers_of_a_name_server() -> None:
    async with open_name_server() as server:
        check(await outcomes(StubResolver(server.port)))
    assert server.asked["rebinding.test", 1] == 2, "it is asked anew for each connection"


async def test_a_name_that_turns_to_metadata_is_blocked_and_never_tried_again() -> None:
    network = Noted()
    async with open_name_server() as server:
        webhooks = HttpWebhooks(Rules(), StubResolver(server.port), network, **PLAIN, timeout=5)
        outcome = await webhooks.send(Http(url="https://alias.test/latest/meta-data/"), CALL)
    assert outcome == Failed(
        type="ForbiddenUrl",
        message="alias.test leads to an address or port webhooks may not be sent to",
        retryable=False,
    )
    assert network.dialled == []


def test_the_systems_own_resolver_is_judged_by_them_too(tmp_path: Path) -> None:
    """In a mount namespace of its own, where /etc/resolv.conf names our server; root alone may make one."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or not _may_unshare():
        pytest.skip("needs root, and leave to make a mount namespace")
    resolv = tmp_path / "resolv.conf"
    resolv.write_text(f"nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n")
    inside = f'mount --bind {resolv} /etc/resolv.conf && exec "$0" -m tests.support.resolving {NAME_SERVER}'
    done = subprocess.run(
        ("unshare", "-m", "sh", "-c", inside, sys.executable),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout))


def _may_unshare() -> bool:
    tried = subprocess.run(("unshare", "-m", "true"), capture_output=True, check=False)
    return tried.returncode == 0
