"""What `manifests/` ships, on a real API server: all of it is accepted; the operator has these rights and no others."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from homeroom.api import GROUP, KINDS
from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.server import ServerError
from homeroom.operator.metrics import Metrics

pytestmark = pytest.mark.integration

WaitUntil = Callable[[Callable[[], bool]], None]
Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
BASE = ROOT / "manifests" / "base"
COMPONENTS = ROOT / "manifests" / "components"
TENANT = COMPONENTS / "tenant"
ARGOCD = ROOT / "manifests" / "argocd"
MONITORING = ROOT / "manifests" / "monitoring"
SYSTEM = "homeroom-system"

CRDS = "customresourcedefinitions.apiextensions.k8s.io"
EVERYWHERE = {
    "districts.homeroom.dev": {"get", "list", "watch"},
    "sharingrules.homeroom.dev": {"get", "list", "watch"},
    "approvals.homeroom.dev": {"get", "list", "watch"},
    "learningapps.homeroom.dev": {"get", "list", "watch", "update"},
    "licensepools.homeroom.dev": {"get", "list", "watch"},
    "schoollicenses.homeroom.dev": {"get", "list", "watch", "update"},
    "chatplatforms.homeroom.dev": {"get", "list", "watch"},
    "chatpolicies.homeroom.dev": {"get", "list", "watch"},
    "chats.homeroom.dev": {"get", "list", "watch", "update"},
    "schools.homeroom.dev": {"get", "list", "watch", "create", "update", "delete"},
    "districts.homeroom.dev/status": {"update"},
    "learningapps.homeroom.dev/status": {"update"},
    "schools.homeroom.dev/status": {"update"},
    "sharingrules.homeroom.dev/status": {"update"},
    "approvals.homeroom.dev/status": {"update"},
    "licensepools.homeroom.dev/status": {"update"},
    "schoollicenses.homeroom.dev/status": {"update"},
    "chatplatforms.homeroom.dev/status": {"update"},
    "chatpolicies.homeroom.dev/status": {"update"},
    "chats.homeroom.dev/status": {"update"},
    "namespaces": {"get"},
    CRDS: {"list", "watch"},
    **{f"{CRDS} {model.plural}.{GROUP}": {"get"} for model in KINDS.values()},
}
"""What the operator may do in each namespace: resource, and name where it is limited to one -> verbs."""
OF_EVERYBODY = {"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"}


@pytest.fixture(scope="module")
def shipped(controlplane: ControlPlane) -> str:
    """`manifests/base` as kustomize renders it. Its namespace exists: a dry run cannot look into one that does not."""
    controlplane.kubectl("apply", f"--filename={BASE / 'namespace.yaml'}")
    return controlplane.kubectl("kustomize", str(BASE))


@pytest.fixture(scope="module")
def installed(controlplane: ControlPlane, shipped: str) -> list[Object]:
    """The objects of `manifests/base`, applied. They stay: other tests on this control plane may use them too."""
    controlplane.kubectl("apply", "--validate=strict", "--filename=-", stdin=shipped)
    controlplane.kubectl("wait", "--for=condition=Established", *(f"crd/{m.plural}.{GROUP}" for m in KINDS.values()))
    return list(yaml.safe_load_all(shipped))


@pytest.fixture
def tenant(controlplane: ControlPlane, installed: list[Object], namespace: str, tmp_path: Path) -> str:
    """A namespace that has taken in the component for tenants, as its own administrator does it."""
    assert installed
    kustomization = {"namespace": namespace, "components": [os.path.relpath(TENANT, tmp_path)]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    controlplane.kubectl("apply", "--validate=strict", f"--kustomize={tmp_path}")
    return namespace


def beside_the_base(plane: ControlPlane, directory: Path, *components: Path) -> list[Object]:
    """What kustomize makes of the base with these components."""
    places = {
        "resources": [os.path.relpath(BASE, directory)],
        "components": [os.path.relpath(component, directory) for component in components],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(places))
    return list(yaml.safe_load_all(plane.kubectl("kustomize", str(directory))))


def one(objects: Iterable[Object], kind: str) -> Object:
    (found,) = (obj for obj in objects if obj["kind"] == kind)
    return found


def as_operator(plane: ControlPlane) -> str:
    return f"--kubeconfig={plane.kubeconfig_for(SYSTEM, 'homeroom')}"


def rights(plane: ControlPlane, namespace: str) -> dict[str, set[str]]:
    """What the API server says that the operator may do in a namespace, without what everybody may."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    answer = plane.kubectl(as_operator(plane), "create", "--filename=-", "--output=json", stdin=json.dumps(review))
    found: dict[str, set[str]] = {}
    for rule in json.loads(answer)["status"]["resourceRules"]:
        for resource in rule["resources"]:
            if resource in OF_EVERYBODY:
                continue
            plural, slash, subresource = resource.partition("/")
            (group,) = rule["apiGroups"]
            full = ".".join(filter(None, (plural, group))) + slash + subresource
            for name in rule.get("resourceNames") or [""]:
                found.setdefault(f"{full} {name}".strip(), set()).update(rule["verbs"])
    return found


def secret(namespace: str) -> str:
    metadata = {"name": "kolibri", "namespace": namespace, "labels": {f"{GROUP}/use": "credentials"}}
    return json.dumps(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"username": "operator"}}
    )


class TestBase:
    def test_a_dry_run_with_strict_validation_passes(self, controlplane: ControlPlane, shipped: str) -> None:
        said = controlplane.kubectl("apply", "--dry-run=server", "--validate=strict", "--filename=-", stdin=shipped)
        assert len(said.splitlines()) == len(list(yaml.safe_load_all(shipped)))

    def test_a_second_apply_changes_nothing(
        self, controlplane: ControlPlane, shipped: str, installed: list[Object]
    ) -> None:
        assert installed
        said = controlplane.kubectl("apply", "--validate=strict", "--filename=-", stdin=shipped)
        assert [line for line in said.splitlines() if not line.endswith(" unchanged")] == []

    def test_the_image_is_of_this_release(self, installed: list[Object]) -> None:
        project = (ROOT / "pyproject.toml").read_text()
        (container,) = one(installed, "Deployment")["spec"]["template"]["spec"]["containers"]
        assert f'\nversion = "{container["image"].removeprefix("homeroom:")}"\n' in project

    def test_the_operator_knows_all_that_it_is_told(self, installed: list[Object]) -> None:
        (container,) = one(installed, "Deployment")["spec"]["template"]["spec"]["containers"]
        (command,) = container["args"]
        options = get_type_hints(import_module(f"homeroom.cli.{command}").command, include_extras=True).values()
        known = {meta.envvar for option in options for meta in getattr(option, "__metadata__", ())}
        assert {env["name"] for env in container["env"]} <= known

    def test_service_and_network_policy_mean_the_operators_pod(self, installed: list[Object]) -> None:
        labels = one(installed, "Deployment")["spec"]["template"]["metadata"]["labels"]
        for selector in (
            one(installed, "Service")["spec"]["selector"],
            one(installed, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        ):
            assert selector.items() <= labels.items()

    def test_no_gitops_tool_removes_what_git_cannot_bring_back(self, installed: list[Object]) -> None:
        precious = [
            obj
            for obj in installed
            if obj["kind"] in {"CustomResourceDefinition", "Namespace", "PersistentVolumeClaim"}
        ]
        assert len(precious) == len(KINDS) + 2
        for obj in precious:
            annotations = obj["metadata"]["annotations"]
            assert annotations["kustomize.toolkit.fluxcd.io/prune"] == "disabled"
            assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"

    def test_an_overlay_sets_owner_and_image(self, controlplane: ControlPlane, tmp_path: Path) -> None:
        """The overlay of docs/install.md."""
        sample = (ROOT / "docs" / "install.md").read_text().split("<!-- overlay -->\n", 1)[1].split("\n\n", 1)[0]
        lines = [line.removeprefix("    ") for line in sample.splitlines()]
        overlay = yaml.safe_load("\n".join(lines))
        overlay["resources"] = [os.path.relpath(BASE, tmp_path)]
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        rendered = list(yaml.safe_load_all(controlplane.kubectl("kustomize", str(tmp_path))))
        (container,) = one(rendered, "Deployment")["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "images.example/homeroom:0.1.0"
        names = [env["name"] for env in container["env"]]
        assert len(names) == len(set(names))
        assert {"name": "HOMEROOM_OWNER_ID", "value": "lakeside-production"} in container["env"]


class TestPodSecurity:
    """Pod Security admission is part of the API server, and the namespace enforces the level `restricted`."""

    @staticmethod
    def pod(installed: list[Object]) -> Object:
        template = copy.deepcopy(one(installed, "Deployment")["spec"]["template"])
        metadata = {**template["metadata"], "name": "operator", "namespace": SYSTEM}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}

    def test_the_operators_pod_is_admitted(self, controlplane: ControlPlane, installed: list[Object]) -> None:
        pod = json.dumps(self.pod(installed))
        said = controlplane.kubectl("create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=pod)
        assert said == "pod/operator created (server dry run)\n"

    def test_a_laxer_one_is_not(self, controlplane: ControlPlane, installed: list[Object]) -> None:
        pod = self.pod(installed)
        del pod["spec"]["securityContext"]["seccompProfile"]
        with pytest.raises(ServerError, match='violates PodSecurity "restricted:latest": seccompProfile'):
            controlplane.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(pod))

    def test_it_cannot_write_to_its_image(self, installed: list[Object]) -> None:
        """Beyond `restricted`, which says nothing about the root file system."""
        (container,) = self.pod(installed)["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


class TestWebAndMail:
    """The components with which teachers get keys and connect, beside the base."""

    @pytest.fixture(scope="class")
    @classmethod
    def rendered(
        cls, controlplane: ControlPlane, installed: list[Object], tmp_path_factory: pytest.TempPathFactory
    ) -> list[Object]:
        assert installed
        components = [COMPONENTS / name for name in ("mail", "web")]
        return beside_the_base(controlplane, tmp_path_factory.mktemp("overlay"), *components)

    @pytest.fixture
    def pod(self, rendered: list[Object]) -> Object:
        return TestPodSecurity.pod(rendered)

    def test_a_dry_run_with_strict_validation_passes(self, controlplane: ControlPlane, rendered: list[Object]) -> None:
        documents = yaml.safe_dump_all(rendered)
        said = controlplane.kubectl("apply", "--dry-run=server", "--validate=strict", "--filename=-", stdin=documents)
        assert len(said.splitlines()) == len(rendered)

    def test_the_pod_of_both_is_admitted(self, controlplane: ControlPlane, pod: Object) -> None:
        said = controlplane.kubectl(
            "create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=json.dumps(pod)
        )
        assert said == "pod/operator created (server dry run)\n"

    def test_what_strangers_talk_to_has_no_token_and_cannot_write_to_its_image(self, pod: Object) -> None:
        assert pod["spec"]["automountServiceAccountToken"] is False
        by_name = {each["name"]: each for each in pod["spec"]["containers"]}
        assert set(by_name) == {"operator", "web"}
        assert by_name["web"]["image"] == by_name["operator"]["image"]
        assert by_name["web"]["securityContext"]["readOnlyRootFilesystem"] is True
        token = {volume["name"] for volume in pod["spec"]["volumes"] if "projected" in volume}
        for name, has in {"operator": True, "web": False}.items():
            assert bool(token & {mount["name"] for mount in by_name[name]["volumeMounts"]}) is has

    def test_each_container_knows_all_that_it_is_told(self, rendered: list[Object], pod: Object) -> None:
        maps = {obj["metadata"]["name"]: obj["data"] for obj in rendered if obj["kind"] == "ConfigMap"}
        for container in pod["spec"]["containers"]:
            (command,) = container["args"]
            options = get_type_hints(import_module(f"homeroom.cli.{command}").command, include_extras=True).values()
            known = {meta.envvar for option in options for meta in getattr(option, "__metadata__", ())}
            told = {env["name"] for env in container["env"]}
            told |= {name for source in container["envFrom"] for name in maps[source["configMapRef"]["name"]]}
            assert told <= known, command

    def test_the_way_to_the_pages(self, rendered: list[Object], pod: Object) -> None:
        labels = pod["metadata"]["labels"]
        (port,) = next(each for each in pod["spec"]["containers"] if each["name"] == "web")["ports"]
        found = {(obj["kind"], obj["metadata"]["name"]): obj["spec"] for obj in rendered if "spec" in obj}
        service, policy = found["Service", "homeroom-web"], found["NetworkPolicy", "homeroom-web"]
        assert service["selector"].items() <= labels.items()
        assert service["ports"][0]["targetPort"] == port["name"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
        assert policy["ingress"][0]["ports"][0]["port"] == port["containerPort"]


class TestPagesApart:
    """The components with which the store is a PostgreSQL and the pages have a Deployment of their own."""

    @pytest.fixture(scope="class")
    @classmethod
    def rendered(
        cls, controlplane: ControlPlane, installed: list[Object], tmp_path_factory: pytest.TempPathFactory
    ) -> list[Object]:
        assert installed
        components = [COMPONENTS / name for name in ("mail", "postgresql", "web-apart")]
        return beside_the_base(controlplane, tmp_path_factory.mktemp("overlay"), *components)

    @pytest.fixture
    def found(self, rendered: list[Object]) -> dict[tuple[str, str], Object]:
        return {(obj["kind"], obj["metadata"]["name"]): obj for obj in rendered}

    def test_a_dry_run_with_strict_validation_passes(self, controlplane: ControlPlane, rendered: list[Object]) -> None:
        """The claim under another name: that of the base is there, and its access mode cannot be changed."""
        renamed = copy.deepcopy(rendered)
        claim = one(renamed, "PersistentVolumeClaim")
        assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
        claim["metadata"]["name"] = "shared"
        documents = yaml.safe_dump_all(renamed)
        said = controlplane.kubectl("apply", "--dry-run=server", "--validate=strict", "--filename=-", stdin=documents)
        assert len(said.splitlines()) == len(rendered)

    @pytest.mark.parametrize("name", ["homeroom", "homeroom-web"])
    def test_both_pods_are_admitted(
        self, controlplane: ControlPlane, found: dict[tuple[str, str], Object], name: str
    ) -> None:
        controlplane.kubectl("apply", "--filename=-", stdin=json.dumps(found["ServiceAccount", name]))
        pod = json.dumps(TestPodSecurity.pod([found["Deployment", name]]))
        said = controlplane.kubectl("create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=pod)
        assert said == "pod/operator created (server dry run)\n"

    def test_what_strangers_talk_to_has_no_token_and_cannot_write(self, found: dict[tuple[str, str], Object]) -> None:
        spec = found["Deployment", "homeroom-web"]["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert not any("projected" in volume for volume in spec["volumes"])
        (web,) = spec["containers"]
        assert web["securityContext"]["readOnlyRootFilesystem"] is True
        mounts = {mount["mountPath"] for mount in web["volumeMounts"] if not mount.get("readOnly")}
        assert mounts == {"/tmp"}
        bound = [obj for (kind, _), obj in found.items() if kind.endswith("RoleBinding")]
        assert bound
        assert "homeroom-web" not in {subject["name"] for obj in bound for subject in obj["subjects"]}

    def test_both_know_all_that_they_are_told_and_have_one_store(
        self, rendered: list[Object], found: dict[tuple[str, str], Object]
    ) -> None:
        maps = {obj["metadata"]["name"]: obj["data"] for obj in rendered if obj["kind"] == "ConfigMap"}
        containers = [
            found["Deployment", name]["spec"]["template"]["spec"]["containers"] for name in ("homeroom", "homeroom-web")
        ]
        stores = []
        for (container,) in containers:
            (command,) = container["args"]
            options = get_type_hints(import_module(f"homeroom.cli.{command}").command, include_extras=True).values()
            known = {meta.envvar for option in options for meta in getattr(option, "__metadata__", ())}
            told = {env["name"]: env for env in container["env"]}
            more = {name for source in container["envFrom"] for name in maps[source["configMapRef"]["name"]]}
            assert told.keys() | more <= known, command
            stores.append((told["HOMEROOM_STORE"], told["HOMEROOM_DATA"], container["image"]))
        assert stores[0] == stores[1]
        assert stores[0][0]["valueFrom"] == {"secretKeyRef": {"name": "homeroom-store", "key": "url"}}
        assert "value" not in stores[0][0]

    def test_who_talks_with_whom(self, found: dict[tuple[str, str], Object]) -> None:
        pods = {name: found["Deployment", name]["spec"]["template"] for name in ("homeroom", "homeroom-web")}
        (port,) = pods["homeroom-web"]["spec"]["containers"][0]["ports"]
        policy, service = found["NetworkPolicy", "homeroom-web"]["spec"], found["Service", "homeroom-web"]["spec"]
        assert service["ports"][0]["targetPort"] == port["name"]
        for selector in (service["selector"], policy["podSelector"]["matchLabels"]):
            assert selector.items() <= pods["homeroom-web"]["metadata"]["labels"].items()
            assert not selector.items() <= pods["homeroom"]["metadata"]["labels"].items()
        assert [each["port"] for each in policy["ingress"][0]["ports"]] == [port["containerPort"]]
        assert {each["port"] for rule in policy["egress"] for each in rule["ports"]} == {53, 465, 587}, "no API server"
        (expression,) = found["NetworkPolicy", "homeroom-postgresql"]["spec"]["podSelector"]["matchExpressions"]
        labels = {pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in pods.values()}
        assert (expression["key"], {*expression["values"]}) == ("app.kubernetes.io/name", labels)


class TestOperatorsRights:
    def test_in_any_namespace(self, controlplane: ControlPlane, installed: list[Object], namespace: str) -> None:
        assert installed
        assert rights(controlplane, namespace) == EVERYWHERE

    def test_in_its_own_namespace(self, controlplane: ControlPlane, installed: list[Object]) -> None:
        assert installed
        leases = "leases.coordination.k8s.io"
        own = {leases: {"create"}, f"{leases} homeroom": {"get", "update"}}
        assert rights(controlplane, SYSTEM) == EVERYWHERE | own

    def test_in_a_tenants_namespace(self, controlplane: ControlPlane, tenant: str) -> None:
        given = {"secrets": {"get"}, "events.events.k8s.io": {"create", "patch"}}
        assert rights(controlplane, tenant) == EVERYWHERE | given

    def test_with_pictures_it_reads_config_maps_of_that_tenant_by_name(
        self, controlplane: ControlPlane, tenant: str, tmp_path: Path
    ) -> None:
        given = {"secrets": {"get"}, "events.events.k8s.io": {"create", "patch"}, "configmaps": {"get"}}
        kustomization = {"namespace": tenant, "components": [os.path.relpath(COMPONENTS / "pictures", tmp_path)]}
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        controlplane.kubectl("apply", "--validate=strict", f"--kustomize={tmp_path}")
        assert rights(controlplane, tenant) == EVERYWHERE | given

    def test_a_tenants_secret_can_be_read_by_name_and_not_be_found(
        self, controlplane: ControlPlane, tenant: str
    ) -> None:
        controlplane.kubectl("create", "--filename=-", stdin=secret(tenant))
        here = f"--namespace={tenant}"
        found = controlplane.kubectl(as_operator(controlplane), "get", "secret", "kolibri", here, "--output=name")
        assert found == "secret/kolibri\n"
        with pytest.raises(ServerError, match='cannot list resource "secrets"'):
            controlplane.kubectl(as_operator(controlplane), "get", "secrets", here)

    def test_a_secret_elsewhere_cannot_be_read(
        self, controlplane: ControlPlane, installed: list[Object], namespace: str
    ) -> None:
        assert installed
        controlplane.kubectl("create", "--filename=-", stdin=secret(namespace))
        with pytest.raises(ServerError, match='cannot get resource "secrets"'):
            controlplane.kubectl(as_operator(controlplane), "get", "secret", "kolibri", f"--namespace={namespace}")


class TestPeoplesRights:
    """What is added to the cluster's roles `view`, `edit` and `admin`; a controller aggregates them."""

    @pytest.fixture
    def bound(
        self, controlplane: ControlPlane, installed: list[Object], namespace: str, wait_until: WaitUntil
    ) -> Callable[[str], str]:
        """A function that makes a user with that role in the namespace, and gives kubectl's option to act as him."""
        assert installed
        if controlplane.programs.kube_controller_manager is None:
            pytest.skip("KUBEBUILDER_ASSETS has no kube-controller-manager, so roles are not aggregated")

        def bind(role: str) -> str:
            here = f"--namespace={namespace}"
            controlplane.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}er", here)
            wait_until(lambda: may(controlplane, f"--as={role}er", "list", "schools", namespace))
            return f"--as={role}er"

        return bind

    @pytest.mark.parametrize("role", ["view", "edit"])
    def test_only_editors_declare(
        self, controlplane: ControlPlane, bound: Callable[[str], str], namespace: str, role: str
    ) -> None:
        user = bound(role)
        licensed, chats = ("licensepools", "schoollicenses"), ("chatplatforms", "chatpolicies", "chats")
        for plural in ("districts", "learningapps", "sharingrules", *licensed, *chats):
            assert may(controlplane, user, "create", plural, namespace) is (role == "edit")

    @pytest.mark.parametrize("role", ["edit", "admin", "homeroom-approve"])
    def test_who_declares_may_not_thereby_approve(
        self, controlplane: ControlPlane, bound: Callable[[str], str], namespace: str, role: str
    ) -> None:
        user = bound(role)
        assert may(controlplane, user, "create", "approvals", namespace) is (role != "edit")
        assert may(controlplane, user, "create", "sharingrules", namespace) is (role != "homeroom-approve")

    def test_nobody_but_the_operator_writes_schools_and_status(
        self, controlplane: ControlPlane, bound: Callable[[str], str], namespace: str
    ) -> None:
        user = bound("admin")
        assert may(controlplane, user, "get", "schools", namespace)
        for verb, resource in (("create", "schools"), ("update", "schools"), ("update", "learningapps/status")):
            assert not may(controlplane, user, verb, resource, namespace)

    def test_an_administrator_of_a_namespace_takes_the_component_in_by_himself(
        self, controlplane: ControlPlane, bound: Callable[[str], str], namespace: str
    ) -> None:
        binding = str(TENANT / "rolebinding.yaml")
        controlplane.kubectl(bound("admin"), "create", f"--filename={binding}", f"--namespace={namespace}")
        assert "secrets" in rights(controlplane, namespace)


def may(plane: ControlPlane, user: str, verb: str, resource: str, namespace: str) -> bool:
    """Whether that user has the right."""
    plural, _, subresource = resource.partition("/")
    attributes = {"namespace": namespace, "verb": verb, "group": GROUP, "resource": plural, "subresource": subresource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user.removeprefix("--as="), "resourceAttributes": attributes},
    }
    return bool(plane.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"])


class TestArgoCD:
    """How the health check gets beside what a cluster's argocd-cm already has."""

    @pytest.fixture
    def before(self) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "argocd-cm"},
            "data": {"resource.customizations.health.example.com_Other": "return {}"},
        }

    @pytest.fixture
    def after(self, before: Object) -> dict[str, str]:
        return {**before["data"], **yaml.safe_load((ARGOCD / "argocd-cm.yaml").read_text())["data"]}

    def test_as_a_patch(
        self, controlplane: ControlPlane, namespace: str, before: Object, after: dict[str, str]
    ) -> None:
        here = f"--namespace={namespace}"
        controlplane.kubectl("create", "--filename=-", here, stdin=json.dumps(before))
        patch = f"--patch-file={ARGOCD / 'argocd-cm.yaml'}"
        controlplane.kubectl("patch", "configmap", "argocd-cm", here, patch)
        found = json.loads(controlplane.kubectl("get", "configmap", "argocd-cm", here, "--output=json"))
        assert found["data"] == after

    def test_as_a_component(
        self, controlplane: ControlPlane, tmp_path: Path, before: Object, after: dict[str, str]
    ) -> None:
        (tmp_path / "argocd-cm.yaml").write_text(yaml.safe_dump(before))
        kustomization = {
            "namespace": "argocd",
            "resources": ["argocd-cm.yaml"],
            "components": [os.path.relpath(ARGOCD, tmp_path)],
        }
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        (found,) = yaml.safe_load_all(controlplane.kubectl("kustomize", str(tmp_path)))
        assert found["data"] == after


class TestFlux:
    def test_each_kustomization_has_its_source_and_what_it_waits_for(self) -> None:
        documents = [
            document
            for path in sorted((ROOT / "manifests" / "flux").glob("*.yaml"))
            for document in yaml.safe_load_all(path.read_text())
        ]
        sources = {obj["metadata"]["name"] for obj in documents if obj["kind"] == "GitRepository"}
        kustomizations = {obj["metadata"]["name"]: obj["spec"] for obj in documents if obj["kind"] == "Kustomization"}
        assert len(sources) + len(kustomizations) == len(documents)
        for spec in kustomizations.values():
            assert spec["sourceRef"]["name"] in sources
            assert {dependency["name"] for dependency in spec.get("dependsOn", ())} <= kustomizations.keys()
        # A resource that waits for a person must not hold back others.
        assert {name for name, spec in kustomizations.items() if spec["wait"]} == {"homeroom"}


class TestMonitoring:
    """Its kinds are the Prometheus operator's, which this control plane does not have."""

    def test_alerts_and_dashboard_ask_for_metrics_that_there_are(self) -> None:
        exposed = Metrics().collect(objects=(), listed={}, queue={}, leading=True).decode()
        names = set(re.findall(r"^# TYPE (homeroom_\w+) ", exposed, re.MULTILINE))
        for file in ("alerts.yaml", "homeroom.json"):
            asked = set(re.findall(r"homeroom_\w+", (MONITORING / file).read_text()))
            assert asked
            assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked} <= names

    def test_beside_the_base(self, controlplane: ControlPlane, installed: list[Object], tmp_path: Path) -> None:
        rendered = beside_the_base(controlplane, tmp_path, MONITORING)
        wanted = one(rendered, "ServiceMonitor")["spec"]
        service = one(installed, "Service")
        assert wanted["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert wanted["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
        assert json.loads(one(rendered, "ConfigMap")["data"]["homeroom.json"])["title"] == "Homeroom"
