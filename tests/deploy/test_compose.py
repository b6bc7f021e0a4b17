"""The files that deploy agree with the service's settings, with each other, and with what they promise."""

import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from service.config import PREFIX, Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
GPU = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text())["services"]
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()
HAPROXY = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
PROMETHEUS = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
DATA_SOURCE = (DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text()
DEFAULTS = Settings()

# Where things are in a container: the image, the published ports and the volume say that, and nobody else.
FIXED = {"host", "grpc_port", "http_port"}
STAGES = set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE))

each_service = pytest.mark.parametrize("name", SERVICES)


def substituted(value: str) -> str:
    """With the defaults of its variables."""
    return re.sub(r"\$\{\w+(?::-([^}]*)|:\+[^}]*)?\}", lambda match: match[1] or "", value)


def published() -> dict[str, list[str]]:
    return {name: [substituted(port) for port in service.get("ports", [])] for name, service in SERVICES.items()}


@each_service
def test_what_is_mounted_or_built_from_exists(name: str) -> None:
    build = SERVICES[name].get("build", {})
    paths = [substituted(volume).split(":")[0] for volume in SERVICES[name].get("volumes", [])]
    mounted = [path for path in paths if path.startswith("./") and path != "./data"]  # which `make train` downloads
    dockerfile = Path(build.get("context", ".")) / build.get("dockerfile", "Dockerfile")
    for path in [*mounted, *([str(dockerfile)] if build else [])]:
        assert (ROOT / path).exists()
    for path in set(paths) - set(mounted) - {"./data", "/dev/null"}:
        assert path in COMPOSE["volumes"]


def test_every_target_is_a_stage() -> None:
    targets = {
        service["build"]["target"]
        for service in [*SERVICES.values(), *GPU.values()]
        if "target" in service.get("build", {})
    }
    assert targets == {"cpu", "gpu", "export"} <= STAGES


@each_service
def test_every_image_can_be_replaced(name: str) -> None:
    replicas = r"\$\{[A-Z_]+_IMAGE:-[^}]+\}"
    assert re.fullmatch(replicas, SERVICES[name]["image"])
    for key, value in SERVICES[name].get("build", {}).get("args", {}).items():
        assert not key.endswith("BASE_IMAGE") or re.fullmatch(replicas, value)


@each_service
def test_nobody_is_privileged_or_without_limits(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"] and service["pids_limit"]
    if service["image"].startswith(("${SERVICE", "${EXPORT", "${BALANCER")):
        assert service["read_only"] is True


def test_only_grpc_is_published_beyond_this_machine() -> None:
    beyond = {
        (name, port) for name, ports in published().items() for port in ports if not port.startswith("127.0.0.1:")
    }
    assert beyond == {("balancer", f"0.0.0.0:{DEFAULTS.grpc_port}:{DEFAULTS.grpc_port}")}
    assert SERVICES["balancer"]["ports"][0].startswith("${GRPC_BIND:-")  # and that can be closed


def test_the_ports_are_the_settings_defaults() -> None:
    assert published()["service"] == [f"127.0.0.1:{DEFAULTS.http_port}:{DEFAULTS.http_port}"]
    assert f"EXPOSE {DEFAULTS.grpc_port} {DEFAULTS.http_port}\n" in DOCKERFILE
    assert f"names: [service], type: A, port: {DEFAULTS.http_port}," in PROMETHEUS
    assert f"service:{DEFAULTS.grpc_port}" in HAPROXY and f"bind :{DEFAULTS.grpc_port} " in HAPROXY
    assert f"balancer:{DEFAULTS.grpc_port}" in SERVICES["load"]["command"]


def test_a_container_outlives_the_grace_of_its_service() -> None:
    assert int(substituted(SERVICES["service"]["stop_grace_period"]).removesuffix("s")) > DEFAULTS.grace


@pytest.mark.parametrize("name", ["service", "replica"])
def test_every_setting_can_be_given(name: str) -> None:
    """By a variable of its own, which is not there when nobody sets it."""
    passed = SERVICES[name]["environment"]
    assert set(passed) == {PREFIX + setting.name.upper() for setting in fields(Settings) if setting.name not in FIXED}
    assert {variable: value for variable, value in passed.items() if value} == {"SENTIMENT_MODELS": "/models/imdb-lstm"}


def test_replicas_are_the_service_and_go_by_its_name() -> None:
    service, replica = dict(SERVICES["service"]), dict(SERVICES["replica"])
    assert service.pop("ports") and replica.pop("profiles") == ["scale"] and replica.pop("deploy")
    assert replica == service
    assert service["networks"]["default"]["aliases"] == ["service"]
    assert GPU["replica"] == GPU["service"]


def test_profiles() -> None:
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    own = {"replica": ["scale"], "load": ["load"], "train": ["train"]}
    assert profiles == {**own, "collector": ["tracing"], "jaeger": ["tracing"]}


def test_variables_of_the_image_are_settings() -> None:
    variables = set(re.findall(rf"\b{PREFIX}[A-Z_]+(?==)", DOCKERFILE))
    assert variables
    assert variables <= {PREFIX + setting.name.upper() for setting in fields(Settings)}


def test_the_label_says_the_packages_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"ARG VERSION={project['version']}\n" in DOCKERFILE


def test_grafana_knows_the_scrape_interval() -> None:
    (scraped,) = re.findall(r"scrape_interval: (\w+)", PROMETHEUS)
    (told,) = re.findall(r"timeInterval: (\w+)", DATA_SOURCE)
    assert told == scraped


def test_spans_go_from_collector_to_jaeger() -> None:
    """The collector's own image is not at hand: at least no name in its configuration is made up."""
    config = yaml.safe_load((DEPLOY / "otel" / "collector.yml").read_text())
    (pipeline,) = config["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert pipeline[kind] == list(config[kind])
    assert config["exporters"]["otlp"]["endpoint"].split(":")[0] in SERVICES
    assert SERVICES["collector"]["command"] == ["--config=/etc/otel/collector.yml"]


def test_the_smoke_test_says_why_it_skips(tmp_path: Path) -> None:
    command = [sys.executable, str(DEPLOY / "smoke.py")]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "compose-test skipped: no container engine answers `docker info`\n"
