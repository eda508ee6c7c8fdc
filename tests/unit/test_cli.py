"""The command line says plainly what it needs, and loads no more than a command uses."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from api.cli.banner import banner
from api.listening import CannotListen, address_of, listen, listens_to_strangers, where
from infra.encryption.keys import read_keys
from schema.export import SDL

ROOT = Path(__file__).parents[2]
URLS = {
    "CARILLON_DATABASE_URL": "postgresql://postgres:hunter2@127.0.0.1/nowhere",
    "CARILLON_REDIS_URL": "redis://127.0.0.1:6379",
    "CARILLON_AMQP_URL": "amqp://guest:hunter2@127.0.0.1/",
}


def carillon(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARILLON_")}
    return subprocess.run(
        [sys.executable, "-m", "api.cli", *arguments],
        cwd=ROOT,
        env=environment | settings,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("command", ["api", "worker", "scheduler", "relay", "notifier"])
def test_a_process_names_the_settings_it_lacks(command: str) -> None:
    ended = carillon(command, CARILLON_DATABASE_URL=URLS["CARILLON_DATABASE_URL"])
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "CARILLON_REDIS_URL, CARILLON_AMQP_URL" in ended.stderr
    assert "CARILLON_DATABASE_URL" not in ended.stderr


def test_a_migration_needs_the_database_alone() -> None:
    ended = carillon("migrate")
    assert ended.returncode == 2
    assert ended.stderr.startswith("Not set: CARILLON_DATABASE_URL. ")


def test_wrong_settings_are_named_one_a_line_without_their_values() -> None:
    ended = carillon(
        "worker",
        CARILLON_DATABASE_URL="postgresql://postgres:hunter2@:5432/x",
        CARILLON_WORKER_SLOTS="a hunter2",
        CARILLON_HTTP_ALLOWED_NETWORKS="10.0.0.0/8, hunter2",
    )
    assert ended.returncode == 2
    assert [line.split(":")[0] for line in ended.stderr.splitlines()] == [
        "CARILLON_DATABASE_URL",
        "CARILLON_WORKER_SLOTS",
        "CARILLON_HTTP_ALLOWED_NETWORKS",
    ]
    assert "hunter2" not in ended.stderr


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"CARILLON_DOCUMENTS": "trusted"},
            "CARILLON_DOCUMENTS=trusted needs CARILLON_AUTHENTICATION=required",
        ),
        (
            {"CARILLON_JWT_KEY_SET": "keys.json", "CARILLON_AUTHENTICATION": "required"},
            "CARILLON_JWT_KEY_SET needs CARILLON_JWT_ISSUER and CARILLON_JWT_AUDIENCE",
        ),
        ({"CARILLON_BUDGET": "1000"}, "CARILLON_MAX_COST must be at most CARILLON_BUDGET"),
    ],
)
def test_settings_that_do_not_go_together_are_told_in_one_line(settings: dict[str, str], told: str) -> None:
    ended = carillon("worker", **settings)
    assert (ended.returncode, ended.stderr) == (2, f"{told}\n")


def test_dev_does_not_pretend_to_use_services_that_are_set() -> None:
    ended = carillon("dev", **URLS)
    assert ended.returncode == 2
    assert "CARILLON_DATABASE_URL" in ended.stderr
    assert "hunter2" not in ended.stderr


@pytest.mark.parametrize("command", ["dev", "api"])
def test_a_taken_port_is_told_in_one_line(command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = carillon(command, "--port", port, **(URLS if command == "api" else {}))
    assert ended.returncode == 1
    assert ended.stderr == f"Cannot listen on 127.0.0.1, port {port}: it is in use. See --host and --port.\n"


def test_the_schema_is_printed_or_written_to_a_file(tmp_path: Path) -> None:
    printed = carillon("schema", "export")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout == SDL.read_text(encoding="utf-8")

    written = carillon("schema", "export", "--output", str(tmp_path / "carillon.graphql"))
    assert (written.returncode, written.stdout, written.stderr) == (0, "", "")
    assert (tmp_path / "carillon.graphql").read_text(encoding="utf-8") == printed.stdout


def test_a_file_that_the_schema_cannot_be_written_to_is_told_in_one_line(tmp_path: Path) -> None:
    ended = carillon("schema", "export", "--output", str(tmp_path / "nowhere" / "carillon.graphql"))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "carillon.graphql cannot be written" in ended.stderr


def test_a_manifest_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    ended = carillon("documents", "publish", str(manifest))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"{manifest} cannot be read: No such file or directory\n"


def test_the_help_says_how_long_tokens_last() -> None:
    assert "90 days unless given" in " ".join(carillon("tokens", "create", "--help").stdout.split())


def test_help_loads_no_server_and_no_schema() -> None:
    program = """
import sys, api.cli.main
print([name for name in ("strawberry", "uvicorn", "dramatiq", "sqlalchemy") if name in sys.modules])
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"


def test_an_address_is_written_as_a_browser_takes_it() -> None:
    with listen("0.0.0.0", 0) as listener:
        assert address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    with listen("::1", 0) as listener:
        assert address_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"


def test_what_is_listened_at_is_told_as_it_is() -> None:
    with listen("0.0.0.0", 0) as listener:
        assert where(listener) == f"0.0.0.0, port {listener.getsockname()[1]}"


def test_a_host_that_does_not_exist_is_refused_plainly() -> None:
    with pytest.raises(CannotListen, match="on no-such-host"):
        listen("no-such-host.invalid", 0)


def test_the_banner_says_where_things_are_and_has_a_command_that_works_as_it_stands() -> None:
    text = banner("http://127.0.0.1:8000", Path("/somewhere/.carillon"))
    assert "http://127.0.0.1:8000/graphql" in text
    assert "/somewhere/.carillon" in text
    command = next(line for line in text.splitlines() if line.strip().startswith("curl"))
    arguments = shlex.split(command)
    assert arguments[1] == "http://127.0.0.1:8000/graphql"
    assert "createTask" in json.loads(arguments[-1])["query"]


def test_a_new_key_can_be_put_into_the_settings() -> None:
    first, second = carillon("keys", "new", "k1"), carillon("keys", "new", "k1")
    assert read_keys(f"{first.stdout.strip()},{carillon('keys', 'new', 'k2').stdout}").newest == "k1"
    assert first.stdout != second.stdout
    refused = carillon("keys", "new", "k 1")
    assert (refused.returncode, refused.stdout) == (2, "")


def test_a_key_without_its_id_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="it is id:key") as refused:
        read_keys("hunter2")
    assert "hunter2" not in str(refused.value)


def test_an_id_that_is_none_is_refused_by_what_it_may_be() -> None:
    ended = carillon("keys", "new", "k 1")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "letters, digits" in ended.stderr


def test_keys_that_cannot_be_used_are_not_repeated() -> None:
    ended = carillon("keys", "rotate", **URLS, CARILLON_ENCRYPTION_KEYS="k1:hunter2")
    assert ended.returncode == 1
    assert ended.stderr == "CARILLON_ENCRYPTION_KEYS cannot encrypt: the key k1 is not 32 bytes as base64\n"
    ended = carillon("keys", "rotate", **URLS)
    assert ended.returncode == 1
    assert "CARILLON_ENCRYPTION_KEYS is not set" in ended.stderr


@pytest.mark.parametrize("command", ["dev", "api"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com"])
def test_without_authentication_only_this_machine_is_served(command: str, host: str) -> None:
    ended = carillon(command, "--host", host, "--port", "0", **(URLS if command == "api" else {}))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "CARILLON_AUTHENTICATION=required" in ended.stderr


@pytest.mark.parametrize(
    ("host", "others"),
    [("127.0.0.1", False), ("127.9.9.9", False), ("::1", False), ("localhost", False), ("192.168.0.1", True)],
)
def test_the_loopback_addresses_are_of_this_machine(host: str, *, others: bool) -> None:
    assert listens_to_strangers(host) is others


@pytest.mark.parametrize("expires", ["", "90", "1y", "-1d", "9999999d"])
def test_a_lifetime_that_is_none_is_refused(expires: str) -> None:
    ended = carillon("tokens", "create", "--name", "x", "--role", "viewer", "--expires", expires, **URLS)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "90d" in ended.stderr
