"""The manifests hold what the API of Kubernetes takes, for what exists, with settings that are read."""

from __future__ import annotations

import json
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
from tests.support.promtool import FOLDER, RULES, promtool

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
    assert told["CARILLON_METRICS_HOST"] == "0.0.0.0"
    for name in PROCESSES - {"api"}:
        [port] = pods()[name]["spec"]["containers"][0]["ports"]
        assert port == {"name": "metrics", "containerPort": int(told["CARILLON_METRICS_PORT"])}


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


# Prometheus


def discovered(job: dict[str, Any], folder: Path) -> dict[str, str]:
    """The jobs that its rules make of the pods of the example, by the address; it keeps no stranger."""
    targets = [found("stranger", {COMPONENT: "api"}, "http", 80)]
    for name, pod in pods().items():
        labels = pod["metadata"]["labels"]
        [container] = pod["spec"]["containers"]
        for port in container.get("ports", [{"name": "", "containerPort": 0}]):
            targets.append(found(name, labels, port["name"], port["containerPort"]))
    static = {key: value for key, value in job.items() if key != "kubernetes_sd_configs"}
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": [static | {"static_configs": targets}]}))
    promtool("check", "config", file)
    said = promtool("check", "service-discovery", "--timeout", "1s", file, job["job_name"])
    kept = [each["labels"] for each in json.loads(said) if each["labels"]]
    return {each["__address__"]: each["job"] for each in kept}


def found(name: str, labels: dict[str, str], port: str, number: int) -> dict[str, Any]:
    """A pod as Prometheus finds it: with labels that only what relabels sees."""
    seen = {f"__meta_kubernetes_pod_label_{re.sub(r'[^a-z]', '_', label)}": of for label, of in labels.items()}
    seen |= {"__meta_kubernetes_pod_container_port_name": port, "__meta_kubernetes_pod_phase": "Running"}
    return {"targets": [f"{name}:{number}"], "labels": seen}


EXPECTED = {"api:8000": "carillon-api"} | {f"{name}:9100": f"carillon-{name}" for name in PROCESSES - {"api"}}


@pytest.mark.promtool
def test_prometheus_finds_every_process_by_the_name_that_the_rules_go_by(tmp_path: Path) -> None:
    [job] = yaml.safe_load((FOLDER / "kubernetes.yml").read_text())["scrape_configs"]
    assert discovered(job, tmp_path) == EXPECTED
    rules = "".join(file.read_text() for file in RULES)
    assert set(re.findall('job="([^"]+)"', rules)) == set(EXPECTED.values())
    [where] = job["kubernetes_sd_configs"]
    [namespace] = where["namespaces"]["names"]
    assert where["role"] == "pod"
    assert {each["metadata"]["namespace"] for each in built("example")} == {namespace}


@pytest.mark.promtool
def test_so_does_the_operator(tmp_path: Path) -> None:
    monitor = yaml.safe_load((MANIFESTS / "podmonitor" / "podmonitor.yaml").read_text())["spec"]
    kept = monitor["selector"]["matchExpressions"][0]
    assert kept == {"key": COMPONENT, "operator": "In", "values": kept["values"]}
    assert set(kept["values"]) == PROCESSES
    assert monitor["selector"]["matchLabels"].items() <= pods()["api"]["metadata"]["labels"].items()
    jobs: dict[str, str] = {}
    for number, endpoint in enumerate(monitor["podMetricsEndpoints"]):
        names = [{snake(key): value for key, value in each.items()} for each in endpoint["relabelings"]]
        here = {"source_labels": ["__meta_kubernetes_pod_container_port_name"], "action": "keep"}
        known = {"source_labels": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"], "action": "keep"}
        relabel = [here | {"regex": endpoint["port"]}, known | {"regex": "carillon"}, *names]
        jobs |= discovered({"job_name": f"carillon/{number}", "relabel_configs": relabel}, tmp_path)
    assert jobs == EXPECTED


@pytest.mark.parametrize("version", VERSIONS)
def test_lines_of_the_example_add_what_not_everyone_wants(version: str, tmp_path: Path) -> None:
    copied = shutil.copytree(MANIFESTS, tmp_path / "kubernetes") / "example"
    file = copied / "kustomization.yaml"
    file.write_text(file.read_text().replace("# - ../", "- ../"))
    added = [each for each in built(str(copied)) if each not in built("example")]
    assert [each["kind"] for each in added] == ["PersistentVolumeClaim", "CronJob", "PodMonitor"]
    for manifest in added[:2]:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_pod_for_commands_is_one_and_has_the_url_of_the_database(version: str) -> None:
    pod = yaml.safe_load((MANIFESTS / "psql.yaml").read_text())
    kubernetes_validate.validate(pod, version, strict=True)
    [container] = pod["spec"]["containers"]
    [variable] = container["env"]
    assert variable["name"] == variable["valueFrom"]["secretKeyRef"]["key"] == "CARILLON_DATABASE_URL"
    assert "CARILLON_DATABASE_URL=" in (MANIFESTS / "example" / "secrets.env.example").read_text()


def snake(name: str) -> str:
    """Of what the operator writes into the configuration."""
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def test_what_scrapes_may_live_in_a_namespace_of_another_name() -> None:
    [patch] = yaml.safe_load((MANIFESTS / "example" / "kustomization.yaml").read_text())["patches"]
    [operation] = yaml.safe_load(patch["patch"])
    [policy] = (each for each in built("example") if each["kind"] == "NetworkPolicy")
    where = policy["spec"]
    for step in operation["path"].split("/")[2:-1]:
        where = where[int(step) if step.isdigit() else step]
    assert where == {"kubernetes.io/metadata.name": operation["value"]}
