"""compose.dev.yml and compose.prod.yml over docker-compose.yml: what may be seen, and what is held."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic_settings import SettingsConfigDict

from infra.settings import Settings
from tests.support.compose import BASE, DEV, PROD, ROOT, read

WHOLE = {name: read(BASE, name) for name in (DEV, PROD)}
PRODUCTION: dict[str, dict[str, Any]] = WHOLE[PROD]["services"]
OURS = {name: service for name, service in PRODUCTION.items() if "build" in service}
STAYS = OURS.keys() - {"migrate"}
SECRET = re.compile(r"\$\{CARILLON_SECRETS:-\./secrets\}/\S+")


def read_from(folder: Path) -> Settings:
    class InContainer(Settings):
        model_config = SettingsConfigDict(secrets_dir=folder)

    return InContainer()


def published(name: str) -> dict[str, list[str]]:
    services = WHOLE[name]["services"]
    return {each: service["ports"] for each, service in services.items() if service.get("ports")}


def mounts(name: str) -> list[tuple[str, str]]:
    """What of this project is mounted, and where."""
    services = WHOLE[name]["services"].values()
    parts = [volume.split(":") for service in services for volume in service.get("volumes", [])]
    assert all(part[-1] == "ro" for part in parts if part[0].startswith("."))
    return [(part[0], part[1]) for part in parts if part[0].startswith(".")]


@pytest.mark.parametrize("name", WHOLE)
def test_every_image_is_of_one_version(name: str) -> None:
    for service in WHOLE[name]["services"].values():
        image = service["image"]
        if "build" not in service or name == PROD:
            _, _, tag = image.rstrip("}").rpartition(":")
            assert re.search(r"\d", tag), image


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_mounted_is_there_and_what_is_used_is_declared(name: str) -> None:
    assert all((ROOT / source).is_dir() for source, _ in mounts(name))
    services = WHOLE[name]["services"].values()
    named = {volume.split(":")[0] for service in services for volume in service.get("volumes", [])}
    assert {each for each in named if each[0] not in "./"} == set(WHOLE[name]["volumes"])


@pytest.mark.parametrize("name", WHOLE)
def test_everything_that_stays_is_watched_and_restarted(name: str) -> None:
    for each, service in WHOLE[name]["services"].items():
        if each != "migrate":
            assert service["healthcheck"]["test"][0] == "CMD", each
            assert service["restart"] == "unless-stopped", each


# For development


def test_what_is_looked_at_is_published_to_this_machine_alone() -> None:
    assert published(DEV) == {
        "api": ["127.0.0.1:8000:8000"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }


def test_prometheus_finds_everything_that_tells_figures() -> None:
    jobs = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    hosts = {name for job in jobs for how in job.get("dns_sd_configs", []) for name in how["names"]}
    targets = [each for job in jobs for how in job.get("static_configs", []) for each in how["targets"]]
    hosts |= {urlsplit(f"//{target}").hostname for target in targets}
    exporters = {name for name in PRODUCTION if name.endswith("-exporter")}
    assert hosts == STAYS | exporters | {"rabbitmq"}
    for name in exporters:
        [port] = [urlsplit(f"//{target}").port for target in targets if target.startswith(f"{name}:")]
        assert f"http://127.0.0.1:{port}/" in PRODUCTION[name]["healthcheck"]["test"][-1]


def test_grafana_finds_prometheus_and_the_dashboards_where_they_are_mounted() -> None:
    folder = ROOT / "deploy/grafana/provisioning"
    [source] = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    assert urlsplit(source["url"]).hostname in WHOLE[DEV]["services"]
    [provider] = yaml.safe_load((folder / "dashboards/carillon.yml").read_text())["providers"]
    mounted = {target: source for source, target in mounts(DEV)}
    dashboards = provider["options"]["path"]
    assert mounted[dashboards] == "./deploy/grafana/dashboards"
    home = WHOLE[DEV]["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / mounted[dashboards] / Path(home).relative_to(dashboards)).is_file()
    assert mounted["/etc/grafana/provisioning"] == "./deploy/grafana/provisioning"
    assert mounted["/etc/prometheus"] == "./deploy/prometheus"


# For production


def test_nothing_but_the_api_is_published_a_port_for_each_replica() -> None:
    assert list(published(PROD)) == ["api"]
    [port] = published(PROD)["api"]
    found = re.fullmatch(r"127\.0\.0\.1:(\d+)-(\d+):8000", port)
    assert found is not None
    first, last = map(int, found.groups())
    assert last - first + 1 == PRODUCTION["api"]["deploy"]["replicas"]


def test_there_are_two_of_every_process_and_everything_is_held_to_its_share() -> None:
    for name, service in PRODUCTION.items():
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}, name
        assert service["logging"]["options"]["max-size"], name
    assert {name: PRODUCTION[name]["deploy"]["replicas"] for name in STAYS} == dict.fromkeys(STAYS, 2)


def test_our_containers_change_nothing_and_may_do_nothing() -> None:
    for name in OURS:
        service = PRODUCTION[name]
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["environment"]["CARILLON_ENVIRONMENT"] == "production", name
        assert None not in service["environment"].values(), "that would hide what the file of settings says"


def test_no_secret_stands_in_the_environment() -> None:
    for name, service in PRODUCTION.items():
        for variable, value in service.get("environment", {}).items():
            assert "development" not in str(value), name
            secret = re.search("PASS|SECRET|KEYS|DATABASE_URL|AMQP_URL", variable)
            assert not secret or variable.endswith("_FILE"), f"{name}: {variable}"


def test_secrets_are_files_that_those_who_use_them_are_given() -> None:
    declared = WHOLE[PROD]["secrets"]
    assert all(SECRET.fullmatch(how["file"]) for how in declared.values())
    used = [one for service in PRODUCTION.values() for one in service.get("secrets", [])]
    assert {one if isinstance(one, str) else one["source"] for one in used} == set(declared)
    for service in PRODUCTION.values():
        for variable, value in service.get("environment", {}).items():
            if variable.endswith("_FILE"):
                assert str(value).removeprefix("/run/secrets/") in service["secrets"]


def test_our_processes_read_the_secrets_they_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = set(OURS["worker"]["secrets"])
    told = {
        "carillon_database_url": "postgresql://carillon:hunter2@postgres:5432/carillon",
        "carillon_amqp_url": "amqp://carillon:hunter2@rabbitmq:5672/",
        "carillon_encryption_keys": "k1:secret",
    }
    assert given == set(told)
    for name, text in told.items():
        (tmp_path / name).write_text(f"{text}\n")
        monkeypatch.delenv(name.upper(), raising=False)
    settings = read_from(tmp_path)
    assert str(settings.database_url) == told["carillon_database_url"]
    assert str(settings.amqp_url) == told["carillon_amqp_url"]
    assert settings.encryption_keys is not None
    assert settings.encryption_keys.get_secret_value() == "k1:secret"
    monkeypatch.setenv("CARILLON_AMQP_URL", "amqp://elsewhere/")
    assert str(read_from(tmp_path).amqp_url) == "amqp://elsewhere/", "what is set comes first"


# Handlers of one's own


def test_the_image_is_made_before_it_is_run() -> None:
    said = (ROOT / PROD).read_text()
    image = default_image()
    assert 0 < said.index(f"docker build --tag {image} .") < said.index(f"docker run --rm {image} ")


def test_ones_own_image_is_made_of_that_and_has_its_modules_and_packages_where_they_are_found() -> None:
    ours, page = (ROOT / "Dockerfile").read_text(), (ROOT / "docs/handlers.md").read_text()
    [simple, with_packages] = re.findall(r"^```dockerfile\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert "\nWORKDIR /app\n" in ours
    for image in (simple, with_packages):
        last = image.rpartition("\nFROM ")[2].removeprefix("FROM ")
        assert last.splitlines()[0] == default_image()
        assert last.splitlines()[-1] == "COPY shop.py ./"
    [install] = re.findall(r"pip --python \S+ install", ours.replace("\\\n", ""))
    assert install in with_packages
    [base] = re.findall(r"^FROM (\S+) AS packages$", ours, re.MULTILINE)
    assert f"FROM {base} AS packages" in with_packages, "packages are of the version of Python that runs them"
    for line in ("COPY --from=packages /packages /packages", "COPY --from=carillon /packages /packages"):
        assert line in with_packages
    [mounts] = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    services = yaml.safe_load(mounts)["services"]
    assert services == {name: {"volumes": ["./shop.py:/app/shop.py:ro"]} for name in ("api", "worker")}


def default_image() -> str:
    [name] = {service["image"] for service in OURS.values()}
    found = re.fullmatch(r"\$\{CARILLON_IMAGE:-(.+)\}", name)
    assert found is not None
    return found[1]
