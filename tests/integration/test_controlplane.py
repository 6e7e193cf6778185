"""The control plane that the other integration tests stand on does what a cluster does, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from homeroom.demo import controlplane as module
from homeroom.demo.controlplane import ControlPlane, binaries
from homeroom.demo.server import ServerError

pytestmark = pytest.mark.integration

WaitUntil = Callable[[Callable[[], bool]], None]

CRD_NAME = "timetables.test.homeroom.dev"
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": CRD_NAME},
    "spec": {
        "group": "test.homeroom.dev",
        "scope": "Namespaced",
        "names": {"kind": "Timetable", "plural": "timetables"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"first": {"type": "integer"}, "last": {"type": "integer"}},
                                "x-kubernetes-validations": [
                                    {"rule": "self.first <= self.last", "message": "the day ends before it begins"}
                                ],
                            }
                        },
                    }
                },
            }
        ],
    },
}


def configmap(name: str, namespace: str, *, owner_uid: str | None = None) -> str:
    metadata: dict[str, object] = {"name": name, "namespace": namespace}
    if owner_uid is not None:
        metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner_uid}]
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def needs_controllers(plane: ControlPlane) -> None:
    if plane.programs.kube_controller_manager is None:
        pytest.skip("KUBEBUILDER_ASSETS has no kube-controller-manager")


class TestServing:
    def test_server_and_kubectl_are_of_one_release(self, controlplane: ControlPlane) -> None:
        versions = json.loads(controlplane.kubectl("version", "--output=json"))
        server = versions["serverVersion"]
        assert server["gitVersion"] == versions["clientVersion"]["gitVersion"]
        assert server["gitVersion"].startswith(f"v{server['major']}.{server['minor']}.")

    def test_kubectl_reads_what_it_is_given(self, controlplane: ControlPlane, namespace: str) -> None:
        controlplane.kubectl("create", "--filename=-", stdin=configmap("a", namespace))
        found = controlplane.kubectl("get", "configmap", "a", f"--namespace={namespace}", "--output=name")
        assert found == "configmap/a\n"

    def test_a_failing_kubectl_tells_why(self, controlplane: ControlPlane, namespace: str) -> None:
        with pytest.raises(ServerError, match=r'configmaps "missing" not found'):
            controlplane.kubectl("get", "configmap", "missing", f"--namespace={namespace}")

    def test_a_rule_in_cel_is_enforced(self, controlplane: ControlPlane, namespace: str) -> None:
        def timetable(first: int, last: int) -> str:
            metadata = {"name": f"day-{first}-{last}", "namespace": namespace}
            kind = {"apiVersion": "test.homeroom.dev/v1", "kind": "Timetable"}
            return json.dumps({**kind, "metadata": metadata, "spec": {"first": first, "last": last}})

        controlplane.kubectl("create", "--filename=-", stdin=json.dumps(CRD))
        try:
            controlplane.kubectl("wait", "--for=condition=Established", f"crd/{CRD_NAME}")
            controlplane.kubectl("create", "--filename=-", stdin=timetable(8, 13))
            with pytest.raises(ServerError, match="the day ends before it begins"):
                controlplane.kubectl("create", "--filename=-", stdin=timetable(13, 8))
        finally:
            controlplane.kubectl("delete", "crd", CRD_NAME)


class TestControllers:
    def test_a_deleted_namespace_goes_away(self, controlplane: ControlPlane, namespace: str) -> None:
        needs_controllers(controlplane)
        controlplane.kubectl("create", "configmap", "a", f"--namespace={namespace}")
        controlplane.kubectl("delete", "namespace", namespace, "--timeout=60s")
        assert controlplane.kubectl("get", "namespace", namespace, "--ignore-not-found") == ""

    def test_what_a_deleted_object_owned_is_collected(self, controlplane: ControlPlane, namespace: str) -> None:
        needs_controllers(controlplane)
        controlplane.kubectl("create", "--filename=-", stdin=configmap("owner", namespace))
        here = f"--namespace={namespace}"
        uid = controlplane.kubectl("get", "configmap", "owner", here, "--output=jsonpath={.metadata.uid}")
        controlplane.kubectl("create", "--filename=-", stdin=configmap("owned", namespace, owner_uid=uid))
        controlplane.kubectl("delete", "configmap", "owner", here)
        controlplane.kubectl("wait", "--for=delete", "configmap/owned", here, "--timeout=60s")
        assert controlplane.kubectl("get", "configmap", "owned", here, "--ignore-not-found") == ""

    def test_a_role_for_people_has_what_is_aggregated_to_it(
        self, controlplane: ControlPlane, namespace: str, wait_until: WaitUntil
    ) -> None:
        needs_controllers(controlplane)
        role = f"{namespace}-to-view"
        controlplane.kubectl(
            "create", "clusterrole", role, "--verb=get", "--resource=configmaps", f"--resource-name={role}"
        )
        try:
            controlplane.kubectl("label", "clusterrole", role, "rbac.authorization.k8s.io/aggregate-to-view=true")
            wait_until(lambda: role in controlplane.kubectl("get", "clusterrole", "view", "--output=json"))
        finally:
            controlplane.kubectl("delete", "clusterrole", role)


class TestRights:
    def test_a_service_account_may_do_what_rbac_gives_it(
        self, controlplane: ControlPlane, namespace: str, wait_until: WaitUntil
    ) -> None:
        here = f"--namespace={namespace}"
        controlplane.kubectl("create", "serviceaccount", "reader", here)
        as_reader = f"--kubeconfig={controlplane.kubeconfig_for(namespace, 'reader')}"
        forbidden = f'User "system:serviceaccount:{namespace}:reader" cannot list resource "configmaps"'
        with pytest.raises(ServerError, match=forbidden):
            controlplane.kubectl(as_reader, "get", "configmaps", here)

        controlplane.kubectl("create", "role", "reader", "--verb=list", "--resource=configmaps", here)
        bound = (f"--serviceaccount={namespace}:reader", "--role=reader")
        controlplane.kubectl("create", "rolebinding", "reader", *bound, here)

        def may_list() -> bool:
            # The authoriser watches bindings, and sees a new one a moment later.
            try:
                controlplane.kubectl(as_reader, "get", "configmaps", here)
            except ServerError:
                return False
            else:
                return True

        wait_until(may_list)
        with pytest.raises(ServerError, match="cannot create resource"):
            controlplane.kubectl(as_reader, "create", "configmap", "a", here)


class TestWrites:
    @staticmethod
    def written(plane: ControlPlane, namespace: str, revision: int) -> list[str]:
        return [key for key in plane.written_since(revision) if f"/{namespace}/" in key]

    def test_creating_and_deleting_are_writes(self, controlplane: ControlPlane, namespace: str) -> None:
        here = f"--namespace={namespace}"
        before = controlplane.etcd_revision()
        controlplane.kubectl("create", "configmap", "b", here)
        controlplane.kubectl("create", "secret", "generic", "a", here)
        after = controlplane.etcd_revision()
        assert after >= before + 2
        assert self.written(controlplane, namespace, before) == [
            f"/registry/configmaps/{namespace}/b",
            f"/registry/secrets/{namespace}/a",
        ]
        assert self.written(controlplane, namespace, after) == []
        controlplane.kubectl("delete", "configmap", "b", here)
        assert self.written(controlplane, namespace, after) == [f"/registry/configmaps/{namespace}/b"]

    def test_leases_are_none(self, controlplane: ControlPlane, namespace: str) -> None:
        before = controlplane.etcd_revision()
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        metadata = {"name": "leader", "namespace": namespace}
        controlplane.kubectl("create", "--filename=-", stdin=json.dumps({**lease, "metadata": metadata}))
        assert controlplane.etcd_revision() > before
        assert self.written(controlplane, namespace, before) == []

    def test_a_future_revision_is_no_write(self, controlplane: ControlPlane, namespace: str) -> None:
        assert self.written(controlplane, namespace, controlplane.etcd_revision()) == []


class TestFaults:
    def test_the_api_server_comes_back_with_all_it_had(self, controlplane: ControlPlane, namespace: str) -> None:
        here = f"--namespace={namespace}"
        controlplane.kubectl("create", "configmap", "a", here)
        url = controlplane.url
        controlplane.stop_apiserver()
        try:
            with pytest.raises(ServerError, match="refused"):
                controlplane.kubectl("get", "configmap", "a", here)
        finally:
            controlplane.start_apiserver()
        assert controlplane.url == url
        assert controlplane.kubectl("get", "configmap", "a", here, "--output=name") == "configmap/a\n"

    def test_a_program_that_ends_at_once_is_told_with_its_log(self, controlplane: ControlPlane, tmp_path: Path) -> None:
        broken = tmp_path / "etcd"
        broken.write_text("#!/bin/sh\necho no space left\nexit 3\n")
        broken.chmod(0o755)
        plane = ControlPlane(replace(controlplane.programs, etcd=broken), tmp_path / "plane")
        with pytest.raises(ServerError, match=r"etcd ended with status 3(.|\n)*no space left"):
            plane.start()
        plane.stop()

    @pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_nothing_outlives_the_process_that_started_it(
        self, tmp_path: Path, sign: signal.Signals, wait_until: WaitUntil
    ) -> None:
        command = [sys.executable, "-m", "homeroom.demo.controlplane", "up"]
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
            assert process.stdout is not None
            kubeconfig = Path(process.stdout.readline().strip().removeprefix("export KUBECONFIG="))
            had_kubeconfig = kubeconfig.is_file()
            children = psutil.Process(process.pid).children()
            names = {child.name() for child in children}
            process.send_signal(sign)  # before any assertion: a failing one would wait here for ever
            process.stdout.read()  # hanging up earlier would be another way to end it
        assert had_kubeconfig
        assert names >= {"etcd", "kube-apiserver"}
        assert process.returncode == (-sign if sign is signal.SIGKILL else 0)
        # Who takes over orphans may be slow to bury them.
        wait_until(lambda: all(not c.is_running() or c.status() == psutil.STATUS_ZOMBIE for c in children))
        assert sign is signal.SIGKILL or list(tmp_path.iterdir()) == []


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that is done at once; returns the file in which it writes a line for each program that it builds."""
    built = tmp_path / "built"
    script = tmp_path / "bin" / "go"
    script.parent.mkdir()
    script.write_text(
        '#!/bin/sh\n[ "$1" = version ] && { echo go version go9.9 test; exit; }\n'
        f'echo "$3" >>{built}\n[ -e {tmp_path}/broken ] && {{ echo does not compile >&2; exit 1; }}\n'
        'mkdir -p "${3%/*}" && echo "$5" >"$3"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return built


class TestBuild:
    def test_all_who_ask_at_once_get_one_build(self, go: Path, tmp_path: Path) -> None:
        with ThreadPoolExecutor() as threads:
            found = [run.result() for run in [threads.submit(binaries, tmp_path / "cache") for _ in range(3)]]
        assert found[0] == found[1] == found[2] == binaries(tmp_path / "cache")
        assert [line.rpartition("/")[2] for line in go.read_text().splitlines()] == list(module._TOOLS)
        assert found[0].kubectl.read_text().strip() == module._TOOLS["kubectl"]

    def test_a_failed_or_killed_build_leaves_nothing(self, go: Path, tmp_path: Path) -> None:
        cache = tmp_path / "cache"
        (cache / "making-controlplane-killed" / "done").mkdir(parents=True)
        (tmp_path / "broken").touch()
        with pytest.raises(ServerError, match="does not compile"):
            binaries(cache)
        assert [path.name for path in cache.iterdir()] == ["controlplane.lock"]
        (tmp_path / "broken").unlink()
        assert binaries(cache).etcd.exists()
        assert len(go.read_text().splitlines()) == 1 + len(module._TOOLS)

    def test_given_programs_are_used_as_they_are(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
        with pytest.raises(ServerError, match="etcd is missing"):
            binaries(tmp_path / "cache")
        for name in ("etcd", "kubectl", "kube-apiserver"):
            (tmp_path / name).touch()
        found = binaries(tmp_path / "cache")
        assert found.kube_apiserver == tmp_path / "kube-apiserver"
        assert found.kube_controller_manager is None
        assert not (tmp_path / "cache").exists()
