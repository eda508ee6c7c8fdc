"""The receiver among the examples says what it takes, and tells what was signed from what was not."""

from __future__ import annotations

import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from standardwebhooks import Webhook

ROOT = Path(__file__).parents[2]
SECRET = "whsec_" + "c2VjcmV0" * 4
RECEIVER = (sys.executable, "-m", "examples.receiver")


def receiver(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*RECEIVER, *words), cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )


def test_its_help_says_what_it_takes() -> None:
    ended = receiver("--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "--port" in ended.stdout
    assert "whsec_" in ended.stdout


@pytest.mark.parametrize("secret", ["hunter2hunter2", "whsec_hunter2!", "whsec_aHVudGVyMg==", SECRET[6:]])
def test_what_is_no_secret_is_refused_and_not_repeated(secret: str) -> None:
    ended = receiver(SECRET, secret)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "a secret is whsec_ and base64 of 24 to 64 bytes" in ended.stderr
    assert secret not in ended.stderr


def test_without_a_secret_it_says_how_it_is_used() -> None:
    ended = receiver()
    assert ended.returncode == 2
    assert "Usage" in ended.stderr


def test_a_taken_port_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = receiver(SECRET, "--port", port)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert f"port {port}" in ended.stderr


def test_what_was_signed_is_told_from_what_was_not() -> None:
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", now, "hello"),
    }
    with subprocess.Popen(
        (*RECEIVER, SECRET, "--port", "0"), cwd=ROOT, text=True, stdout=subprocess.PIPE
    ) as running:
        try:
            assert running.stdout
            address = running.stdout.readline().split()[-1]
            assert httpx2.post(address, content="hello", headers=headers).status_code == 204
            assert running.stdout.readline() == "signed msg_1 hello\n"
            assert httpx2.post(address, content="other", headers=headers).status_code == 401
            assert running.stdout.readline() == "NOT SIGNED msg_1 other\n"
        finally:
            running.terminate()
