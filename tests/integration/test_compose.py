"""docker-compose.yml starts what exists, in order, watched and with settings that are read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.settings import Settings
from tests.support import compose

ROOT = Path(__file__).parents[2]
COMPOSE = compose.read(compose.BASE)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
EXPORTERS = {name: service for name, service in SERVICES.items() if name.endswith("-exporter")}
SERVERS = SERVICES.keys() - OURS.keys() - EXPORTERS.keys()
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_every_process_and_every_server_is_there() -> None:
    assert set(OURS) == {"api", "worker", "scheduler", "relay", "notifier", "migrate"}
    assert {"postgres", "redis", "rabbitmq"} == SERVERS
    assert set(EXPORTERS) == {"postgres-exporter", "redis-exporter", "node-exporter"}


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_of_ours_with_its_options(name: str) -> None:
    command, *arguments = OURS[name]["command"]
    options = [argument for argument in arguments if argument.startswith("--")]
    entry = json.loads(re.findall(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE)[0])
    assert entry == ["python", "-m", "api.cli"]
    said = subprocess.run(
        (sys.executable, *entry[1:], command, "--help"), cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert [option for option in options if option not in said] == []


def test_everything_that_is_waited_for_exists_and_can_say_that_it_is_there() -> None:
    for name, service in SERVICES.items():
        for awaited, how in service.get("depends_on", {}).items():
            done = how["condition"] == "service_completed_successfully"
            assert awaited in SERVICES, name
            assert done is (awaited == "migrate")
            assert done or "test" in SERVICES[awaited]["healthcheck"]


def test_every_process_waits_for_the_servers_and_the_tables() -> None:
    for name in OURS.keys() - {"migrate"}:
        assert set(OURS[name]["depends_on"]) == {*SERVERS, "migrate"}


def test_everything_that_stays_is_watched_restarted_and_given_time_to_stop() -> None:
    for name in SERVICES.keys() - {"migrate"}:
        service = SERVICES[name]
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name
        assert "stop_grace_period" in service, name
    assert SERVICES["migrate"]["restart"] == "no"


def test_running_tasks_have_the_time_that_the_worker_gives_them() -> None:
    grace = int(re.fullmatch(r"(\d+)s", OURS["worker"]["stop_grace_period"])[1])  # type: ignore[index]  # or it fails
    assert grace > Settings.model_fields["stop_grace"].default


def test_where_the_servers_are_is_decided_here_and_how_the_processes_are_reached() -> None:
    servers = {"CARILLON_DATABASE_URL", "CARILLON_REDIS_URL", "CARILLON_AMQP_URL"}
    reached = {"CARILLON_METRICS_HOST", "CARILLON_METRICS_PORT", "CARILLON_AUTHENTICATION"}
    for name, service in OURS.items():
        assert set(service["environment"]) == servers | reached, name
        assert None not in service["environment"].values(), "that would hide what the file of settings says"


def test_every_other_setting_is_taken_from_a_file_that_need_not_be_there() -> None:
    for name, service in OURS.items():
        assert service["env_file"] == [{"path": ".env", "required": False}], name
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_health_is_asked_where_it_is_served() -> None:
    port = OURS["api"]["command"][-1]
    assert f"http://127.0.0.1:{port}/health/readiness" in OURS["api"]["healthcheck"]["test"][-1]
    metrics = OURS["worker"]["environment"]["CARILLON_METRICS_PORT"]
    for name in ("worker", "scheduler", "relay", "notifier"):
        assert OURS[name]["environment"]["CARILLON_METRICS_HOST"] == "0.0.0.0"
        assert f"http://127.0.0.1:{metrics}/" in OURS[name]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", ["api", "worker"])
def test_what_asks_for_health_is_python(name: str) -> None:
    compile(OURS[name]["healthcheck"]["test"][-1], name, "exec")


def test_nothing_but_the_api_can_be_reached_and_that_only_from_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:8000:8000"]}


def test_nobody_is_served_without_a_token() -> None:
    assert OURS["api"]["environment"]["CARILLON_AUTHENTICATION"] == "required"


def test_volumes_that_are_used_are_declared() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used - {"/"} == set(COMPOSE["volumes"])


def test_the_image_holds_the_whole_product_and_runs_as_an_ordinary_user() -> None:
    product = {"api", "carillon", "domain", "examples", "graphql_plans", "infra", "jobs", "schema"}
    assert set(re.findall(r"^COPY (\w+) \./\1$", DOCKERFILE, re.MULTILINE)) == product
    assert product <= set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert "\nCOPY pyproject.toml ./\n" in DOCKERFILE, "which says its version"
    [uid] = re.findall(r"useradd .*--uid (\d+)", DOCKERFILE)
    assert f"\nUSER {uid}\n" in DOCKERFILE
    assert "pip install" not in DOCKERFILE.rpartition("\nFROM ")[2], "what builds it stays behind"


@pytest.mark.parametrize("over", [None, compose.DEV, compose.PROD])
def test_docker_compose_understands_it(over: str | None) -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run((docker, "compose", "version"), capture_output=True, check=False).returncode
    ):
        pytest.skip("needs the client `docker compose`")
    files = [word for name in (compose.BASE, over) if name for word in ("--file", name)]
    subprocess.run((docker, "compose", *files, "config", "--quiet"), cwd=ROOT, check=True)
