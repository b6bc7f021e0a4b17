"""The files that deploy agree with the service's settings and with each other, read as the text they are."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from service.config import PREFIX, Settings

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
PROMETHEUS = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
DATA_SOURCE = (ROOT / "deploy" / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text()
DEFAULTS = Settings()


def test_what_is_mounted_or_built_from_exists() -> None:
    paths = re.findall(r"- (\./[^:]+):|dockerfile: (\S+)", COMPOSE)
    assert paths
    for mounted, dockerfile in paths:
        assert (ROOT / (mounted or dockerfile)).exists()


@pytest.mark.parametrize("key", ["image", "BASE_IMAGE"])
def test_every_image_can_be_replaced(key: str) -> None:
    images = re.findall(rf"^ +{key}: (.*)$", COMPOSE, re.MULTILINE)
    assert images
    for image in images:
        assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[^}]+\}", image)


def test_ports_are_published_to_this_machine_only() -> None:
    published = re.findall(r'"([^"]*:\d+)"', "".join(re.findall(r"^ +ports: .*$", COMPOSE, re.MULTILINE)))
    assert published
    for port in published:
        assert port.startswith("127.0.0.1:")


def test_the_ports_are_the_settings_defaults() -> None:
    assert f":{DEFAULTS.grpc_port}:{DEFAULTS.grpc_port}" in COMPOSE
    assert f":{DEFAULTS.http_port}:{DEFAULTS.http_port}" in COMPOSE
    assert f"EXPOSE {DEFAULTS.grpc_port} {DEFAULTS.http_port}\n" in DOCKERFILE
    assert f"service:{DEFAULTS.http_port}" in PROMETHEUS


def test_a_container_outlives_the_grace_of_its_service() -> None:
    (period,) = re.findall(r"stop_grace_period: (\d+)s", COMPOSE)
    assert int(period) > DEFAULTS.grace


def test_variables_of_the_image_are_settings() -> None:
    variables = set(re.findall(rf"\b{PREFIX}[A-Z_]+(?==)", DOCKERFILE))
    assert variables
    assert variables <= {PREFIX + setting.name.upper() for setting in fields(Settings)}


def test_grafana_knows_the_scrape_interval() -> None:
    (scraped,) = re.findall(r"scrape_interval: (\w+)", PROMETHEUS)
    (told,) = re.findall(r"timeInterval: (\w+)", DATA_SOURCE)
    assert told == scraped
