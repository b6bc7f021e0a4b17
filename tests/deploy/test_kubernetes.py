"""What kustomize builds for Kubernetes is valid, and agrees with the service, its image and its alerts."""

import functools
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service import server
from service.config import Settings, load_settings
from service.errors import ConfigError
from service.metrics import Metrics
from tests.service.running import serving

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
PATCH = KUBERNETES / "overlays" / "gpu" / "deployment.yaml"
ADAPTER = KUBERNETES / "overlays" / "autoscaling" / "prometheus-adapter-values.yaml"
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()

# A kubectl in the tests' own environment goes before others.
KUBECTL = shutil.which("kubectl", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
VERSIONS = ("1.30", kubernetes_validate.latest_version())  # the oldest that has all we use, and the newest known
# No part of Kubernetes: their schemas come with the operator that defines them, and PyPI has none.
CUSTOM = {"ServiceMonitor"}

pytestmark = pytest.mark.skipif(KUBECTL is None and "CI" not in os.environ, reason="needs the program kubectl")
each_overlay = pytest.mark.parametrize("overlay", ["cpu", "gpu", "autoscaling"])

Document = dict[str, Any]


@functools.cache
def build(overlay: str) -> list[Document]:
    """What `kubectl apply -k` would send."""
    assert KUBECTL is not None, "CI must have the program kubectl"
    command = [KUBECTL, "kustomize", str(KUBERNETES / "overlays" / overlay)]
    return list(yaml.safe_load_all(subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=60).stdout))


def find(overlay: str, kind: str) -> list[Document]:
    return [document for document in build(overlay) if document["kind"] == kind]


def pod(overlay: str) -> Document:
    (deployment,) = find(overlay, "Deployment")
    template: Document = deployment["spec"]["template"]
    return template


def container(overlay: str) -> Document:
    (only,) = pod(overlay)["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def variables(overlay: str) -> dict[str, str]:
    """What the container finds in its environment."""
    (settings,) = find(overlay, "ConfigMap")
    assert container(overlay)["envFrom"] == [{"configMapRef": {"name": settings["metadata"]["name"]}}]
    data: dict[str, str] = settings["data"]
    return data


def ports(overlay: str) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container(overlay)["ports"]}


@each_overlay
@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_is_valid(overlay: str, version: str) -> None:
    checked = [document for document in build(overlay) if document["kind"] not in CUSTOM]
    assert len(checked) >= 7
    for document in checked:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_check_of_schemas_finds_what_is_wrong(version: str) -> None:
    for wrong in ({"replicas": "two"}, {"replica": 2}):
        (deployment,) = find("cpu", "Deployment")
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(deployment | {"spec": deployment["spec"] | wrong}, version, strict=True)


def test_every_file_is_built() -> None:
    built = {(document["kind"], document["metadata"]["name"]) for document in build("autoscaling") + build("gpu")}
    files = {path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml"} - {ADAPTER}
    found = {(doc["kind"], doc["metadata"]["name"]) for path in files for doc in yaml.safe_load_all(path.read_text())}
    assert found == built - {(doc["kind"], doc["metadata"]["name"]) for doc in find("gpu", "ConfigMap")} - {
        (doc["kind"], doc["metadata"]["name"]) for doc in find("autoscaling", "ConfigMap")
    }
    assert PATCH in files


@each_overlay
def test_the_namespace_is_one(overlay: str) -> None:
    assert {document["metadata"].get("namespace") for document in build(overlay)} == {"sentiment"}
