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

from service import http_server, server
from service.config import load_settings
from service.errors import ConfigError
from service.metrics import Metrics
from tests.service.running import serving

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
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
    assert found and found <= built


@each_overlay
def test_all_is_in_one_namespace(overlay: str) -> None:
    assert {document["metadata"].get("namespace") for document in build(overlay)} == {"sentiment"}


@each_overlay
def test_the_image_is_one_that_the_dockerfile_makes(overlay: str) -> None:
    name, _, tag = container(overlay)["image"].partition(":")
    assert name == "review-sentiment"
    assert tag == ("gpu" if overlay == "gpu" else "cpu")
    assert re.search(rf"^FROM \S+ AS {tag}$", DOCKERFILE, re.MULTILINE)
    context = pod(overlay)["spec"]["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in DOCKERFILE


@each_overlay
def test_nothing_is_allowed_that_is_not_needed(overlay: str) -> None:
    """The profile "restricted" of Kubernetes' pod security standards, and a little more."""
    spec, context = pod(overlay)["spec"], container(overlay)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"] and not context["privileged"]
    (account,) = find(overlay, "ServiceAccount")
    assert spec["serviceAccountName"] == account["metadata"]["name"]
    assert spec["automountServiceAccountToken"] is account["automountServiceAccountToken"] is False


@each_overlay
def test_variables_are_settings(overlay: str) -> None:
    settings = load_settings({}, variables(overlay))
    assert settings.host == "0.0.0.0"
    assert settings.execution_provider == ("cuda" if overlay == "gpu" else "cpu")
    assert {"grpc": settings.grpc_port, "http": settings.http_port} == ports(overlay)


@each_overlay
def test_services_add_no_variables(overlay: str) -> None:
    assert "sentiment" in {service["metadata"]["name"] for service in find(overlay, "Service")}
    with pytest.raises(ConfigError, match="SENTIMENT_SERVICE_HOST is not a setting"):  # this is why
        load_settings({}, {"SENTIMENT_SERVICE_HOST": "10.0.0.1"})
    assert pod(overlay)["spec"]["enableServiceLinks"] is False


@each_overlay
def test_a_pod_outlives_its_drain(overlay: str) -> None:
    waits = container(overlay)["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = load_settings({}, variables(overlay)).grace
    assert waits > 0
    assert pod(overlay)["spec"]["terminationGracePeriodSeconds"] >= waits + grace + 5


@each_overlay
def test_probes_ask_what_the_server_answers(overlay: str) -> None:
    spec = container(overlay)
    for probe in (spec["startupProbe"], spec["readinessProbe"]):
        assert probe["grpc"] == {"port": ports(overlay)["grpc"], "service": server.SERVICE_NAME}
    liveness = spec["livenessProbe"]
    assert liveness["httpGet"] == {"path": "/livez", "port": "http"}
    assert liveness["timeoutSeconds"] > http_server.LOOP_LIVES_WITHIN


def test_a_server_with_these_settings_passes_the_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables("cpu").items():
        monkeypatch.setenv(name, value)
    spec = container("cpu")
    request = health_pb2.HealthCheckRequest(service=spec["readinessProbe"]["grpc"]["service"])
    with serving("--host", "127.0.0.1") as running, grpc.insecure_channel(running.target) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)  # type: ignore[attr-defined]
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        url = f"http://127.0.0.1:{running.http_port}{spec['livenessProbe']['httpGet']['path']}"
        with urllib.request.urlopen(url, timeout=5) as response:
            assert response.status == 200


@each_overlay
def test_selectors_match_the_pods(overlay: str) -> None:
    (deployment,), (budget,), (policy,) = (
        find(overlay, kind) for kind in ("Deployment", "PodDisruptionBudget", "NetworkPolicy")
    )
    spread = pod(overlay)["spec"]["topologySpreadConstraints"]
    selectors = [
        *(service["spec"]["selector"] for service in find(overlay, "Service")),
        *(constraint["labelSelector"]["matchLabels"] for constraint in spread),
        *(deployment["spec"]["selector"]["matchLabels"], budget["spec"]["selector"]["matchLabels"]),
        policy["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector and selector.items() <= pod(overlay)["metadata"]["labels"].items()


@each_overlay
def test_ports_lead_to_the_container(overlay: str) -> None:
    for service in find(overlay, "Service"):
        for port in service["spec"]["ports"]:
            assert port["port"] == ports(overlay)[port["targetPort"]]
    (policy,) = find(overlay, "NetworkPolicy")
    assert [port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]] == ["grpc", "http"]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"] and policy["spec"]["egress"] == []


def test_callers_of_the_network_policy_are_not_the_pods() -> None:  # kustomize's labels would be added to theirs, too
    (policy,) = find("cpu", "NetworkPolicy")
    callers, prometheus = (rule["from"] for rule in policy["spec"]["ingress"])
    assert callers == [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"sentiment-client": "true"}}}]
    assert prometheus == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


@each_overlay
def test_one_service_balances_and_one_has_no_address(overlay: str) -> None:
    addresses = {service["metadata"]["name"]: service["spec"].get("clusterIP") for service in find(overlay, "Service")}
    assert addresses == {"sentiment": None, "sentiment-headless": "None"}


@each_overlay
def test_prometheus_finds_each_pod_once_and_under_the_job_of_the_alerts(overlay: str) -> None:
    (monitor,) = find(overlay, "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    selected = [
        service
        for service in find(overlay, "Service")
        if monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    ]
    (scraped,) = (s for s in selected if endpoint["port"] in {port["name"] for port in s["spec"]["ports"]})
    job = scraped["metadata"]["labels"][monitor["spec"]["jobLabel"]]
    assert set(re.findall(r'job="(.*?)"', (DEPLOY / "prometheus" / "rules" / "alerts.yml").read_text())) == {job}
    (interval,) = re.findall(r"scrape_interval: (\w+)", (DEPLOY / "prometheus" / "prometheus.yml").read_text())
    assert endpoint["interval"] == interval


def test_the_autoscaler_asks_for_what_the_adapter_makes_of_a_metric() -> None:
    (scaler,) = find("autoscaling", "HorizontalPodAutoscaler")
    (deployment,) = find("autoscaling", "Deployment")
    assert scaler["spec"]["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    (asked,) = (metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"])
    (rule,) = yaml.safe_load(ADAPTER.read_text())["rules"]["custom"]
    assert rule["name"]["as"] == asked
    assert rule["seriesQuery"].partition("{")[0] in {family.name for family in Metrics().registry.collect()}


def test_replicas_are_set_unless_the_autoscaler_sets_them() -> None:
    replicas = {name: find(name, "Deployment")[0]["spec"].get("replicas") for name in ("cpu", "gpu", "autoscaling")}
    assert replicas == {"cpu": 2, "gpu": 2, "autoscaling": None}


def test_a_gpu_is_asked_for() -> None:
    spec = pod("gpu")["spec"]
    assert container("gpu")["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert [toleration["key"] for toleration in spec["tolerations"]] == ["nvidia.com/gpu"]
    assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert "nvidia.com/gpu" not in container("cpu")["resources"]["limits"]
