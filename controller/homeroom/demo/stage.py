"""Homeroom at work on this machine: a cluster, a Kolibri, records, and the operator as a process of its own.

`Stage` puts them together the way an administrator would: `kubectl apply -k` of what `manifests/` and `examples/`
ship, the operator under its own ServiceAccount, with no right beyond its RBAC. The demo (`story`) tells on it, the
tests break things on it. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
import uuid
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from homeroom.api import API_VERSION, GROUP, KINDS
from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.kolibri import Kolibri
from homeroom.errors import HomeroomError, TransientError

REPOSITORY: Final = Path(__file__).parents[3]
EXAMPLE: Final = REPOSITORY / "examples" / "lakeside"
CHATS: Final = REPOSITORY / "examples" / "lakeside-chats"
SEATS: Final = REPOSITORY / "examples" / "lakeside-municipal"
RECORDS: Final = REPOSITORY / "examples" / "lakeside-records"
SYSTEM: Final = "homeroom-system"
OWNER: Final = "homeroom-demo"
_STOP_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.3  # each look may be a kubectl, which takes a tenth of that

Kubectl = Callable[..., str]
"""Runs kubectl as an administrator: `kubectl("get", "pods", stdin="")`; what it printed."""

_PLURALS: Final = {
    **{name: model.plural for kind, model in KINDS.items() for name in (model.plural, kind.casefold())},
    **{kind: f"{kind}s" for kind in ("configmap", "namespace", "rolebinding", "secret")},
}


def path_of(obj: Mapping[str, Any], *, namespace: str) -> str:
    """Where the API server has an object, of our kinds or of some others; `namespace` counts where it names none."""
    version, metadata, plural = obj["apiVersion"], obj["metadata"], _PLURALS[obj["kind"].casefold()]
    group = f"/apis/{version}" if "/" in version else f"/api/{version}"
    if plural != "namespaces":
        group += f"/namespaces/{metadata.get('namespace', namespace)}"
    return f"{group}/{plural}/{metadata['name']}"


class NotSoonEnoughError(TransientError):
    """Something that was waited for did not happen in time."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="DeadlineExceeded")


def wait_for(what: str, condition: Callable[[], bool], *, seconds: float = 60.0, every: float = 0.1) -> None:
    """Wait until `condition` holds, with a look `every` so many seconds. Raises NotSoonEnoughError, naming `what`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise NotSoonEnoughError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(every)


@cache
def _rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a file, which nobody changes: it is read once, and hundreds of tests begin with it."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


class Records:
    """A OneRoster export that can be changed like a school's own: rows by file, written as a zip in one step."""

    def __init__(self, source: Path) -> None:
        self.files = {path.stem: [row.copy() for row in _rows_of(path)] for path in sorted(source.glob("*.csv"))}

    def rows(self, file: str, **match: str) -> list[dict[str, str]]:
        """Rows of a file whose fields have these values."""
        return [row for row in self.files[file] if match.items() <= row.items()]

    def add(self, file: str, **fields: str) -> None:
        """Add a row; the other columns are empty. Raises KeyError for a column that the file has not."""
        row = dict.fromkeys(self.files[file][0], "")
        if unknown := fields.keys() - row.keys():  # they would be lost when it is written
            raise KeyError(*unknown)
        self.files[file].append({**row, **fields})

    def remove(self, file: str, **match: str) -> int:
        """Remove rows whose fields have these values; how many."""
        before = self.files[file]
        self.files[file] = [row for row in before if not match.items() <= row.items()]
        return len(before) - len(self.files[file])

    def lose_school(self, school: str) -> None:
        """As an exporter does that leaves out a school (source id): its classes, and whoever was only there."""
        for row in self.rows("classes", schoolSourcedId=school):
            self.remove("enrollments", classSourcedId=row["sourcedId"])
        gone = {row["userSourcedId"] for row in self.rows("roles", orgSourcedId=school)}
        for file, column in (
            ("classes", "schoolSourcedId"),
            ("enrollments", "schoolSourcedId"),
            ("courses", "orgSourcedId"),
            ("roles", "orgSourcedId"),
            ("orgs", "sourcedId"),
        ):
            self.remove(file, **{column: school})
        gone -= {row["userSourcedId"] for row in self.files["roles"]}
        for file, column in (("users", "sourcedId"), ("enrollments", "userSourcedId")):
            self.files[file] = [row for row in self.files[file] if row[column] not in gone]

    def zipped(self) -> bytes:
        """The export as a zip archive."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            for name, rows in self.files.items():
                text = io.StringIO(newline="")
                writer = csv.writer(text, lineterminator="\r\n")
                writer.writerow(rows[0])
                writer.writerows(map(itemgetter(*rows[0]), rows))
                file.writestr(f"{name}.csv", text.getvalue())
        return archive.getvalue()

    def names(self) -> set[str]:
        """Every name of a person in the export, for proving that none of them shows up elsewhere."""
        return {row[column] for row in self.files["users"] for column in ("givenName", "familyName") if row[column]}


class Process(Protocol):
    """What runs, as `subprocess` has it."""

    pid: int

    def send_signal(self, sig: int, /) -> None:
        """Send a signal to it; does nothing when it has ended."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises subprocess.TimeoutExpired after so many seconds."""


Launch = Callable[[Sequence[str], Mapping[str, str], Path], Process]
"""Starts `homeroom` with arguments and an environment; what it says is appended to a file."""


def launched(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """The command as everybody starts it."""
    with log.open("ab") as said:
        return subprocess.Popen(
            (sys.executable, "-m", "homeroom.cli", *arguments),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )


@dataclass(slots=True, kw_only=True)
class Stage:
    """One district in one namespace, its Kolibri, and the operator.

    `directory` takes the operator's data, its log, and the export. Nothing is started before it is asked for. `plane`
    is the cluster where it is one of our own: what is looked at or changed again and again needs no kubectl there.
    """

    kubectl: Kubectl
    kubeconfig: Callable[[], Path]
    kolibri: Kolibri
    directory: Path
    namespace: str = "lakeside"
    options: tuple[str, ...] = ()
    launch: Launch = launched
    operator: Process | None = None
    plane: ControlPlane | None = None
    _rendered: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """What kustomize makes of the examples, by the words of the overlay: tests declare it again and again."""

    # -- the cluster --------------------------------------------------------------------------------------------

    def install(self) -> None:
        """What a cluster needs once: namespace, CRDs, rights; no pod runs here, the operator is a process."""
        self._apply("-k", str(REPOSITORY / "manifests" / "base"))
        crds = (f"crd/{kind.plural}.{GROUP}" for kind in KINDS.values())
        self.kubectl("wait", "--for=condition=Established", *crds)

    def declare(self) -> None:
        """The example district, as Git holds it, pointed at this Kolibri; and the Secret that Git must not hold."""
        self.apply_secret()
        self._apply_example(EXAMPLE, *self._here)

    @property
    def _here(self) -> Sequence[Mapping[str, Any]]:
        """What is different here in the example district."""
        return (
            _patch("LearningApp", path="/spec/target/kolibri/url", value=self.kolibri.url),
            _patch("Namespace", path="/metadata/name", value=self.namespace),
        )

    def declare_chats(self, *, homeserver: str, token: str, school: str) -> None:
        """The example's chat server, pointed at this one, and the chats of one school (source id); and the Secret."""
        self.apply(self._secret("matrix", {"accessToken": token}))
        self._apply_example(
            CHATS,
            *self._here,
            _patch("ChatPlatform", path="/spec/matrix/homeserver", value=homeserver),
            _patch("ChatPolicy", name="subjects", path="/spec/suspend", value=True),
            _patch("Chat", path="/spec/suspend", value=True),
            _patch("ChatPolicy", path="/spec/match", value=[{"key": "school", "operator": "In", "values": [school]}]),
        )

    def declare_seats(self, *, contacts: str) -> None:
        """The example's pool and licences, and the Secret with the addresses that keys are mailed to, one per line."""
        self.apply(self._secret("school-contacts", {"addresses": contacts}))
        self._apply_example(SEATS)

    def declare_licence(self, name: str) -> None:
        """One of the example's licences alone."""
        licence = yaml.safe_load((SEATS / f"{name}.yaml").read_text())
        self.apply({**licence, "metadata": {"name": name, "namespace": self.namespace}})

    def _apply_example(self, example: Path, *patches: Mapping[str, Any]) -> None:
        """What Git holds, in an overlay for here."""
        words = json.dumps(
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "namespace": self.namespace,
                "resources": [f"../examples/{example.name}"],
                "patches": patches,
            }
        )
        if words not in self._rendered:
            git = self.directory / "git"
            for part in (REPOSITORY / "examples", REPOSITORY / "manifests" / "components"):
                shutil.copytree(part, git / part.relative_to(REPOSITORY), dirs_exist_ok=True)
            overlay = git / f"{example.name}-here"
            overlay.mkdir(exist_ok=True)
            (overlay / "kustomization.yaml").write_text(words)
            if self.plane is None:
                self._apply("-k", str(overlay))
                return
            self._rendered[words] = list(yaml.safe_load_all(self.kubectl("kustomize", str(overlay))))
        self.apply(*self._rendered[words])

    def apply_secret(self) -> None:
        """The credentials of Kolibri."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        credentials = {
            "username": self.kolibri.username,
            "password": self.kolibri.password,
            "markKey": "a-key-for-the-demo-and-nothing-else",
        }
        self.apply(namespace, self._secret("kolibri", credentials))

    def _secret(self, name: str, values: Mapping[str, str]) -> dict[str, Any]:
        """A Secret that the operator may read, by its label."""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {"homeroom.dev/use": "credentials"},
            },
            "stringData": values,
        }

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Declare these, as Flux and Argo CD do it."""
        if self.plane is not None:
            for obj in objects:
                self.plane.apply(path_of(obj, namespace=self.namespace), obj)
            return
        items = {"apiVersion": "v1", "kind": "List", "items": objects}
        self._apply("-n", self.namespace, "-f", "-", stdin=json.dumps(items))

    def _apply(self, *what: str, stdin: str = "") -> None:
        # By the server, as Flux and Argo CD do it: it takes kubectl half the time, which then needs no schema of ours.
        self.kubectl("apply", "--server-side", "--force-conflicts", *what, stdin=stdin)

    def patch(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        """Change fields of an object's `spec`, as a commit does."""
        self._merge(kind, name, {"spec": spec})

    def _merge(self, kind: str, name: str, change: Mapping[str, Any]) -> None:
        if self.plane is None:
            patch = f"--patch={json.dumps(change)}"
            self.kubectl("patch", kind, name, "-n", self.namespace, "--type=merge", patch)
        else:
            self.plane.ask("PATCH", self._path(kind, name), change)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One of our objects."""
        found: dict[str, Any] = self._look(kind, name)
        return found

    def list(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind in the namespace."""
        found: list[dict[str, Any]] = self._look(kind)["items"]
        return found

    def _look(self, kind: str, *name: str) -> Any:
        if self.plane is None:
            return json.loads(self.kubectl("get", kind, *name, "-n", self.namespace, "-o", "json"))
        return self.plane.read(self._path(kind, *name))

    def _path(self, kind: str, *name: str) -> str:
        return "/".join(("/apis", API_VERSION, "namespaces", self.namespace, _PLURALS[kind.casefold()], *name))

    def ask(self, kind: str, name: str) -> str:
        """Ask for a run now; the token that the status will echo once it has been handled."""
        token = uuid.uuid4().hex
        self._merge(kind, name, {"metadata": {"annotations": {f"{GROUP}/reconcile-at": token}}})
        return token

    def run(self, kind: str, name: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """Ask for a run and wait until it has ended; the object then."""
        token = self.ask(kind, name)
        self._expect(kind, name, f"jsonpath={{.status.lastHandledReconcileAt}}={token}", seconds)

        def handled() -> bool:
            status = self.get(kind, name).get("status", {})
            return status.get("lastHandledReconcileAt") == token and condition(status, "Ready") != "Unknown"

        wait_for(f"the run of {kind}/{name}", handled, seconds=seconds, every=_LOOK_SECONDS)
        return self.get(kind, name)

    def _expect(self, kind: str, name: str, what: str, seconds: float) -> None:
        """Wait for a change by one kubectl that watches, as each look at it is a kubectl of its own, a tenth of a core.

        It is looked at afterwards all the same: that knows better what is waited for, and says so if it does not come.
        """
        if self.plane is not None:  # a look is cheap
            return
        with contextlib.suppress(HomeroomError):
            where = (f"{kind}/{name}", "-n", self.namespace, f"--timeout={seconds:.0f}s")
            self.kubectl("wait", *where, f"--for={what}")

    def wait_ready(self, kind: str, name: str, *, seconds: float = 120.0) -> dict[str, Any]:
        """Wait until an object is Ready at its current generation."""
        self._expect(kind, name, "condition=Ready", seconds)

        def ready() -> bool:
            found = self.get(kind, name)
            status = found.get("status", {})
            current = status.get("observedGeneration") == found["metadata"]["generation"]
            return current and condition(status, "Ready") == "True"

        wait_for(f"{kind}/{name} Ready", ready, seconds=seconds, every=_LOOK_SECONDS)
        return self.get(kind, name)

    def wait_said(self, kind: str, name: str, condition_type: str, reason: str) -> dict[str, Any]:
        """Wait until a condition of an object, as it is declared now, has this reason; the object then."""

        def said() -> bool:
            found = self.get(kind, name)
            current = found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
            return current and message(found, condition_type).startswith(f"{reason}: ")

        wait_for(f"{reason} on {kind}/{name}", said, every=_LOOK_SECONDS)
        return self.get(kind, name)

    def wait_held(self, kind: str, name: str, *, seconds: float = 120.0) -> Sequence[Mapping[str, Any]]:
        """Wait until an object holds something back; what it says of that in its status."""
        self._expect(kind, name, "condition=Held", seconds)

        def is_held() -> bool:
            return condition(self.get(kind, name).get("status", {}), "Held") == "True"

        wait_for(f"{kind}/{name} Held", is_held, seconds=seconds, every=_LOOK_SECONDS)
        found: Sequence[Mapping[str, Any]] = self.get(kind, name)["status"]["holds"]
        return found

    def approve(self, holds: Iterable[Mapping[str, Any]], *, of: str, kind: str = "LearningApp") -> None:
        """Release holds of a resource, as a commit does; an Approval is named after its hold."""
        self._apply_approvals({hold["id"]: hold["id"] for hold in holds}, of=of, kind=kind)

    def replay(self, hold: str, *, of: str, kind: str = "LearningApp") -> None:
        """Try a hold that was approved before once more, under the name `replay`."""
        self._apply_approvals({"replay": hold}, of=of, kind=kind)
        wait_for("a word about the replay", lambda: bool(message(self.get("approval", "replay"))), every=_LOOK_SECONDS)

    def _apply_approvals(self, holds: Mapping[str, str], *, of: str, kind: str) -> None:
        approvals = [
            {
                "apiVersion": "homeroom.dev/v1alpha1",
                "kind": "Approval",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"targetRef": {"kind": kind, "name": of}, "hold": hold, "reason": "seen and right"},
            }
            for name, hold in holds.items()
        ]
        self.apply(*approvals)

    # -- the records --------------------------------------------------------------------------------------------

    @property
    def export(self) -> Path:
        """Where the district's export lies."""
        return self.directory / "files" / self.namespace / "export.zip"

    def publish(self, records: Records | bytes) -> None:
        """Put an export in place, in one step, as a good exporter does."""
        content = records if isinstance(records, bytes) else records.zipped()
        self.export.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.export.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(self.export)

    # -- the operator -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the operator as a process with the rights that `manifests/` ships."""
        arguments = (
            *("operator", "--owner-id", OWNER),
            *("--store", f"sqlite:///{self.database}", "--data", str(self.directory / "data")),
            *("--file-root", str(self.directory / "files"), "--lease-namespace", SYSTEM),
            *("--listen", "127.0.0.1:0"),
            *("--settle", "1"),  # nobody edits rules here while they count
            *self.options,
        )
        self.operator = self.launch(arguments, {**os.environ, "KUBECONFIG": str(self.kubeconfig())}, self.log)

    @property
    def log(self) -> Path:
        """What the operator logs."""
        return self.directory / "operator.log"

    def metrics(self) -> str:
        """What the operator that runs now says at `/metrics`."""
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        port = [line["port"] for line in lines if "port" in line][-1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read(), "utf-8")

    def stop(self) -> int:
        """Ask the operator to end, as the kubelet does; its exit code."""
        assert self.operator is not None, "the operator was not started"
        self.operator.terminate()
        code = self.operator.wait(_STOP_SECONDS)
        self.operator = None
        return code

    def last_run(self, kind: str, name: str) -> str:
        """When the last run of a root ended, as the store says it; empty if it never ran."""
        if not self.database.exists():
            return ""
        with contextlib.closing(sqlite3.connect(self.database, timeout=30)) as database:
            found = database.execute(
                "SELECT ended_at FROM run WHERE kind = ? AND namespace = ? AND name = ?", (kind, self.namespace, name)
            ).fetchone()
        return found[0] if found else ""

    @property
    def database(self) -> Path:
        """The operator's store."""
        return self.directory / "homeroom.db"

    def kill(self) -> None:
        """End the operator as a crash would; does nothing when it is down."""
        if self.operator is not None:
            self.operator.kill()
            self.operator.wait()
            self.operator = None


def _patch(kind: str, *, name: str = "", path: str, value: object) -> Mapping[str, Any]:
    """One field of the objects of a kind, or of one of them, as kustomize has it."""
    return {"target": {"kind": kind, "name": name}, "patch": json.dumps([{"op": "add", "path": path, "value": value}])}


def condition(status: Mapping[str, Any], kind: str) -> str | None:
    """Status of a condition: True, False, Unknown; None if absent."""
    return next((item["status"] for item in status.get("conditions", []) if item["type"] == kind), None)


def message(found: Mapping[str, Any], kind: str = "Ready") -> str:
    """`reason: message` of a condition of an object; empty if absent."""
    conditions: Iterable[Mapping[str, str]] = found.get("status", {}).get("conditions", [])
    return next((f"{item['reason']}: {item['message']}" for item in conditions if item["type"] == kind), "")
