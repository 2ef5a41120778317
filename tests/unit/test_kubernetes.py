"""The Kubernetes manifests are valid, start nothing with more than it needs, and fit the programs that they start."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml
from django.core.management import get_commands, load_command_class
from django.urls import resolve

from derive.model_servers.endpoints import read_endpoints
from derive.model_servers.settings import ModelSettings
from derive.schedules.heartbeats import ALIVE_SECONDS
from derive.sql.set_up.logins import ROLES_OF
from holocron.database_url import read_database_url
from holocron.environment import VARIABLES
from holocron.settings import BASE_DIR

ROOT = BASE_DIR / "deploy" / "kubernetes"
OVERLAYS = sorted(folder.name for folder in (ROOT / "overlays").iterdir())
KEDA = "keda.sh/v1alpha1"
KUBERNETES = "1.34"
PLAIN_NAMES = {"PUBLIC_HOST", "POD_IP"}
"""Variables of the manifests themselves."""
TRIGGERS = {
    "mssql": {"host", "port", "database", "username", "query", "targetValue"},
    "postgresql": {"host", "port", "dbName", "userName", "sslmode", "query", "targetQueryValue"},
}
"""The parameters of KEDA's scalers that are used here."""


@cache
def rendered(overlay: str) -> list[dict[str, Any]]:
    """Return an overlay as Kustomize renders it; skip where there is none."""
    program = shutil.which("kustomize") or shutil.which("kubectl")
    if program is None:
        pytest.skip("neither kustomize nor kubectl is installed: the manifests are not rendered")
    verb = "build" if Path(program).name == "kustomize" else "kustomize"
    folder = str(ROOT / "overlays" / overlay)
    done = subprocess.run(
        [program, verb, folder],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    return list(yaml.safe_load_all(done.stdout))


def written() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object of the base and of a lane, as it is written."""
    for file in sorted([*(ROOT / "base").glob("*.yaml"), *(ROOT / "worker").glob("*.yaml")]):
        for one in yaml.safe_load_all(file.read_text("utf-8")):
            if one.get("apiVersion", KEDA) != KEDA and one["kind"] != "Kustomization":
                yield f"{file.name}:{one['kind']}", one


WRITTEN = dict(written())
PODS = {name: one for name, one in WRITTEN.items() if one["kind"] in {"Deployment", "Job"}}
REACHED_BY = {"web": ("http", 8000), "worker": ("metrics", 9101)}


def pod_of(one: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = one["spec"]["template"]["spec"]
    return spec


def container_of(one: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_of(one)["containers"]
    return dict(container)


def environment_of(container: dict[str, Any]) -> dict[str, Any]:
    return {variable["name"]: variable for variable in container["env"]}


@pytest.mark.parametrize("name", WRITTEN)
def test_every_object_is_one_of_its_kind(name: str) -> None:
    kubernetes_validate.validate(WRITTEN[name], KUBERNETES, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_rendered_object_is_valid_and_what_it_names_is_there(overlay: str) -> None:
    objects = rendered(overlay)
    for one in objects:
        assert one["metadata"].get("namespace", one["metadata"]["name"]) == "holocron"
        if one["apiVersion"] != KEDA:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
    names = {(one["kind"], one["metadata"]["name"]) for one in objects}
    for one in objects:
        for kind, key in (("ConfigMap", "configMapRef"), ("ConfigMap", "configMapKeyRef"), ("ConfigMap", "configMap")):
            for found in named_by(one, key):
                assert (kind, found) in names, f"{one['kind']} names {kind} {found}"
        for claim in named_by(one, "persistentVolumeClaim"):
            assert ("PersistentVolumeClaim", claim) in names
    (deployment,) = (
        one for one in objects if one["metadata"]["name"] == "worker-llama" and one["kind"] == "Deployment"
    )
    (scaler,) = (one for one in objects if one["kind"] == "ScaledObject")
    (budget,) = (one for one in objects if one["kind"] == "PodDisruptionBudget" and "llama" in one["metadata"]["name"])
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    # Two lanes do not take each other's pods for their own.
    assert deployment["spec"]["selector"]["matchLabels"]["holocron.example/lane"] == "llama"
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]
    assert not any(container_of(one)["image"] == "holocron" for one in objects if one["kind"] in {"Deployment", "Job"})
    (trigger,) = scaler["spec"]["triggers"]
    assert set(trigger["metadata"]) == TRIGGERS[trigger["type"]]
    assert ("TriggerAuthentication", trigger["authenticationRef"]["name"]) in names


def named_by(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            if name == key and not member.get("optional"):
                yield member.get("name") or member["claimName"]
            yield from named_by(member, key)
    elif isinstance(value, list):
        for member in value:
            yield from named_by(member, key)


@pytest.mark.parametrize("name", PODS)
def test_no_pod_may_do_more_than_it_needs(name: str) -> None:
    pod, container = pod_of(PODS[name]), container_of(PODS[name])
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable <= {"/lake", "/tmp", "/var/lib/holocron"}  # noqa: S108 (a volume of the pod)


@pytest.mark.parametrize("name", PODS)
def test_every_setting_is_one_and_no_password_is_written_here(name: str) -> None:
    environment = environment_of(container_of(PODS[name]))
    assert set(environment) <= {variable.name for variable in VARIABLES} | PLAIN_NAMES
    for variable, how in environment.items():
        if re.search(r"PASSWORD|SECRET|KEY$", variable):
            assert set(how["valueFrom"]) == {"secretKeyRef"}
    urls = environment["DATABASE_URL"]["valueFrom"]["configMapKeyRef"]["key"]
    assert urls == {"migrate": "administrator-url", "worker": "worker-url"}.get(name.partition(".")[0], "web-url")


@pytest.mark.parametrize("name", [name for name, one in PODS.items() if "command" in container_of(one)])
def test_every_command_is_one(name: str) -> None:
    python, program, command, *options = container_of(PODS[name])["command"]
    assert (python, program) == ("python", "manage.py")
    app = get_commands()[command]
    loaded = load_command_class(app, command) if isinstance(app, str) else app
    loaded.create_parser(program, command).parse_args(options)


@pytest.mark.parametrize("name", [name for name, one in PODS.items() if one["kind"] == "Deployment"])
def test_probes_ask_what_answers_and_give_time(name: str) -> None:
    container = container_of(PODS[name])
    port, number = REACHED_BY.get(name.partition(".")[0], (None, None))
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        http = container.get(kind, {}).get("httpGet")
        if http:
            assert http["port"] == port
            assert resolve(http["path"])
    if port:
        assert container["ports"] == [{"name": port, "containerPort": number}]
        started = container["startupProbe"]
        assert started["periodSeconds"] * started["failureThreshold"] >= 120
    else:
        asked = container["livenessProbe"]
        assert asked["exec"]["command"][2] == "check_scheduler"
        assert asked["periodSeconds"] * asked["failureThreshold"] > ALIVE_SECONDS


def test_a_worker_has_time_for_its_grace_and_for_giving_the_rest_back() -> None:
    worker = PODS["worker.yaml:Deployment"]
    grace = int(environment_of(container_of(worker))["WORKER_GRACE_SECONDS"]["value"])
    assert pod_of(worker)["terminationGracePeriodSeconds"] >= grace + 10
    assert "replicas" not in worker["spec"], "an apply would undo what the scaler did"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_names_a_database_and_servers_that_can_be_used(overlay: str, tmp_path: Path) -> None:
    kustomization = yaml.safe_load((ROOT / "overlays" / overlay / "kustomization.yaml").read_text("utf-8"))
    maps = {
        one["name"]: dict(line.split("=", 1) for line in one["literals"]) for one in kustomization["configMapGenerator"]
    }
    assert set(maps["holocron"]) <= {variable.name for variable in VARIABLES}
    users = {}
    for key, url in maps["database"].items():
        database = read_database_url(url, var_folder=tmp_path, password="secret")
        assert database["ENGINE"] == {"sqlserver": "mssql"}.get(overlay, "django.db.backends.postgresql")
        users[key] = urlsplit(url).username
    assert {users["web-url"], users["worker-url"]} == set(ROLES_OF)
    for lane in (ROOT / "overlays" / overlay / "lanes").iterdir():
        (endpoint,) = read_endpoints(lane / "endpoints.toml", environment={}, defaults=ModelSettings())
        triggers = yaml.safe_load((lane / "triggers.yaml").read_text("utf-8"))[0]["value"]
        query = triggers[0]["metadata"]["query"]
        asked = set(re.findall(r"'([^']*)'", query))
        assert asked == {*(endpoint.models or ()), ""}
        target = next(int(value) for name, value in triggers[0]["metadata"].items() if name.startswith("target"))
        assert target == endpoint.slots
