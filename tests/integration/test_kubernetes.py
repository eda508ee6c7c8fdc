"""The manifests hold what the API of Kubernetes takes, for what exists, with settings that are read."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has none
import pytest
import yaml

from infra.settings import Settings

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.30", "1.37")
"""The oldest and the newest they are checked against."""
PROCESSES = {"api", "scheduler", "worker", "relay", "notifier"}
COMPONENT = "app.kubernetes.io/component"

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here, which builds them")


@cache
def built(folder: str) -> tuple[dict[str, Any], ...]:
    said = subprocess.run(
        ("kubectl", "kustomize", str(MANIFESTS / folder)), capture_output=True, text=True, check=True
    ).stdout
    return tuple(yaml.safe_load_all(said))


def kind(name: str, folder: str = "example") -> dict[str, dict[str, Any]]:
    """By the process they are for."""
    found = [each for each in built(folder) if each["kind"] == name]
    return {each["metadata"]["labels"][COMPONENT]: each for each in found}


def pods() -> dict[str, dict[str, Any]]:
    return {name: each["spec"]["template"] for name, each in (kind("Deployment") | kind("Job")).items()}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", ["base", "example"])
def test_kubernetes_takes_every_manifest(folder: str, version: str) -> None:
    for manifest in built(folder):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_every_process_is_there_twice_and_one_of_each_may_go_at_a_time() -> None:
    deployments, budgets = kind("Deployment"), kind("PodDisruptionBudget")
    assert deployments.keys() == budgets.keys() == PROCESSES
    assert all(each["spec"]["replicas"] >= 2 for each in deployments.values())
    for name, budget in budgets.items():
        labels = deployments[name]["spec"]["template"]["metadata"]["labels"]
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert budget["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("name", [*sorted(PROCESSES), "migrate"])
def test_every_command_is_one_of_ours_with_its_options(name: str) -> None:
    (container,) = pods()[name]["spec"]["containers"]
    command, *arguments = container["args"]
    assert command == name
    said = subprocess.run(
        (sys.executable, "-m", "api.cli", command, "--help"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [each for each in arguments if each.startswith("--") and each not in said] == []


def test_no_process_is_root_or_writes_to_its_image_or_takes_services_for_settings() -> None:
    for name, pod in pods().items():
        (container,) = pod["spec"]["containers"]
        assert pod["spec"]["securityContext"]["runAsNonRoot"], name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert pod["spec"]["enableServiceLinks"] is False, name


def test_every_process_is_watched_where_it_listens_and_may_use_so_much_memory() -> None:
    for name in PROCESSES:
        (container,) = pods()[name]["spec"]["containers"]
        (port,) = container["ports"]
        probes = [container[each] for each in container if each.endswith("Probe")]
        assert {each["httpGet"]["port"] for each in probes} == {port["name"]}
        assert ("readinessProbe" in container) == (name == "api")
        assert pods()[name]["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])
        assert container["resources"]["limits"].keys() == {"memory"}


def test_a_stop_is_given_the_time_that_it_may_take() -> None:
    for name in PROCESSES:
        spec = pods()[name]["spec"]
        pause = (
            spec["containers"][0]
            .get("lifecycle", {})
            .get("preStop", {})
            .get("exec", {})
            .get("command", ["", 0])
        )
        grace: float = Settings.model_fields["stop_grace"].default
        assert spec["terminationGracePeriodSeconds"] >= grace + int(pause[1]) + 15, name


def test_every_setting_is_one_that_is_read() -> None:
    (told,) = (each["data"] for each in built("example") if each["kind"] == "ConfigMap")
    secrets = re.findall(r"^(\w+)=", (MANIFESTS / "example" / "secrets.env.example").read_text(), re.MULTILINE)
    assert not told.keys() & set(secrets)
    known = {f"CARILLON_{name.upper()}" for name in Settings.model_fields}
    assert {*told, *secrets} <= known
    assert {"CARILLON_DATABASE_URL", "CARILLON_REDIS_URL", "CARILLON_AMQP_URL"} <= set(secrets)
    assert told["CARILLON_METRICS_PORT"] == pods()["worker"]["metadata"]["annotations"]["prometheus.io/port"]


def test_workers_follow_a_figure_that_is_told() -> None:
    figures = (ROOT / "infra" / "postgres" / "gauges.py").read_text()
    (metric,) = kind("HorizontalPodAutoscaler")["worker"]["spec"]["metrics"]
    name = metric["external"]["metric"]["name"]
    adapter = yaml.safe_load((MANIFESTS / "autoscaling" / "prometheus-adapter.yaml").read_text())
    assert f'"{name}"' in figures
    assert [each["name"]["as"] for each in adapter["rules"]["external"]] == [name]


def test_strangers_reach_graphql_alone() -> None:
    (ingress,) = (each for each in built("example") if each["kind"] == "Ingress")
    paths = [path["path"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
    assert paths == ["/graphql"]
