"""The commit of a change, from Flux and Argo CD objects on a real API server, with the rights that we ship for it."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeroom.api import GROUP
from homeroom.demo.controlplane import ControlPlane
from homeroom.operator.api import Api, log_in
from homeroom.operator.gitops import Revisions
from homeroom.operator.metrics import Metrics
from homeroom.operator.runtime import SystemClock
from homeroom.reconcile.ports import UNKNOWN_REVISION, Object

pytestmark = pytest.mark.integration

WaitUntil = Callable[[Callable[[], bool]], None]

MANIFESTS = Path(__file__).parents[2] / "manifests"
SYSTEM = "homeroom-system"
FLUX = ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization")
ARGO = ("argoproj.io", "v1alpha1", "Application")


def crd(group: str, version: str, kind: str) -> Object:
    """A kind as its makers serve it, but for what is in it."""
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


@pytest.fixture(scope="module")
def carriers(controlplane: ControlPlane) -> Iterator[None]:
    """A cluster with Flux and Argo CD, as far as their kinds go; without them again for the other tests."""
    definitions = [crd(*FLUX), crd(*ARGO)]
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": definitions})
    controlplane.kubectl("apply", "--filename=-", stdin=items)
    names = [f"crd/{definition['metadata']['name']}" for definition in definitions]
    controlplane.kubectl("wait", "--for=condition=Established", *names)
    yield
    controlplane.kubectl("delete", *names)


@pytest.fixture(scope="module")
def kubeconfig(controlplane: ControlPlane) -> Path:
    """The log-in of the operator's ServiceAccount, with the base's rights."""
    for name in ("namespace.yaml", "rbac.yaml"):
        controlplane.kubectl("apply", f"--filename={MANIFESTS / 'base' / name}")
    return controlplane.kubeconfig_for(SYSTEM, "homeroom")


@pytest.fixture
async def api(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    async with Api(log_in_again=log_in, request_timeout=15, clock=SystemClock(), observer=Metrics()) as api:
        yield api


@pytest.fixture
def permitted(controlplane: ControlPlane, tmp_path: Path, wait_until: WaitUntil) -> Iterator[None]:
    """The component, taken in as an overlay does it; taken away again."""
    component = MANIFESTS / "components" / "gitops-revision"
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"components": [os.path.relpath(component, tmp_path)]}))
    controlplane.kubectl("apply", "--validate=strict", f"--kustomize={tmp_path}")
    wait_until(lambda: all(may_read(controlplane)))
    yield
    controlplane.kubectl("delete", f"--kustomize={tmp_path}")
    wait_until(lambda: not any(may_read(controlplane)))


def may_read(plane: ControlPlane) -> list[bool]:
    """What the API server says to the operator's rights on Kustomizations and Applications."""
    answers = []
    for group, _, kind in (FLUX, ARGO):
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{SYSTEM}:homeroom",
                "resourceAttributes": {"verb": "get", "group": group, "resource": f"{kind.lower()}s"},
            },
        }
        answer = plane.kubectl("create", "--filename=-", "--output=json", stdin=json.dumps(review))
        answers.append(bool(json.loads(answer)["status"]["allowed"]))
    return answers


def carrier(plane: ControlPlane, namespace: str, kind: tuple[str, str, str], status: dict[str, Any]) -> None:
    group, version, name = kind
    document = {
        "apiVersion": f"{group}/{version}",
        "kind": name,
        "metadata": {"name": "lakeside", "namespace": namespace},
        "status": status,
    }
    plane.kubectl("apply", "--filename=-", stdin=json.dumps(document))


def app(namespace: str, *, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None) -> Object:
    own = {f"{GROUP}/revision": "by hand", **(annotations or {})}
    metadata = {"name": "kolibri", "namespace": namespace, "labels": labels or {}, "annotations": own}
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "LearningApp", "metadata": metadata}


def by_flux(namespace: str) -> Object:
    return app(namespace, labels={f"{FLUX[0]}/name": "lakeside", f"{FLUX[0]}/namespace": namespace})


def by_argocd(namespace: str) -> Object:
    mark = f"lakeside:{GROUP}/LearningApp:{namespace}/kolibri"
    return app(namespace, annotations={"argocd.argoproj.io/tracking-id": mark})


@pytest.mark.usefixtures("carriers", "permitted")
async def test_with_the_component_the_carriers_are_read(controlplane: ControlPlane, namespace: str, api: Api) -> None:
    revisions = Revisions(api, argocd_namespace=namespace)
    assert await revisions.of([by_flux(namespace)]) == "by hand", "there is no such Kustomization yet"
    status = {"lastAttemptedRevision": "main@sha1:b", "lastAppliedRevision": "main@sha1:a"}
    carrier(controlplane, namespace, FLUX, status)
    carrier(controlplane, namespace, ARGO, {"operationState": {"syncResult": {"revision": "c"}}})
    assert await revisions.of([by_flux(namespace)]) == "main@sha1:b"
    assert await revisions.of([by_argocd(namespace)]) == "c"
    assert await revisions.of([app(namespace)]) == "by hand"


@pytest.mark.usefixtures("carriers")
async def test_without_it_they_are_passed_over(controlplane: ControlPlane, namespace: str, api: Api) -> None:
    carrier(controlplane, namespace, FLUX, {"lastAttemptedRevision": "main@sha1:b"})
    carrier(controlplane, namespace, ARGO, {"sync": {"revision": "c"}})
    revisions = Revisions(api, argocd_namespace=namespace)
    assert await revisions.of([by_flux(namespace), by_argocd(namespace)]) == "by hand"
    bare = app(namespace)
    bare["metadata"]["annotations"].clear()
    assert await revisions.of([bare]) == UNKNOWN_REVISION


@pytest.mark.usefixtures("permitted")
async def test_a_cluster_without_flux_and_argo_cd_is_none_the_worse(namespace: str, api: Api) -> None:
    revisions = Revisions(api, argocd_namespace="argocd")
    assert await revisions.of([by_flux(namespace), by_argocd(namespace)]) == "by hand"
