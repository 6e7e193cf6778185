"""Whole nights of the example district: an export, the runs of all roots on one store, and a product in memory.

`Nights` is the world; a test changes `records`, lets a `night` pass, approves holds by `approve`, and looks at
`product`. Nothing here is mocked but the cluster, the clock and the product.
"""

from __future__ import annotations

import asyncio
import copy
import pickle
import shutil
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import polars as pl
from tests.unit.roster.states import Target as Product
from tests.unit.stores import open_store

from homeroom.api import FINALIZER, KINDS
from homeroom.api.yaml import load_all
from homeroom.demo.stage import RECORDS, Records
from homeroom.errors import HomeroomError, TerminalError, TransientError
from homeroom.mail import Post
from homeroom.plan import Change, Outcome, Result
from homeroom.reconcile.chatrepair import ChatRepair
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.ports import Handler, Key, Object, Verdict, key_of
from homeroom.reconcile.roots import handlers
from homeroom.reconcile.routes import routes
from homeroom.roster.beside import AtOnce
from homeroom.roster.state import Actual, Known
from homeroom.targets import ACTIVITY_SCHEMA, Capabilities

EXAMPLES = Path(__file__).parents[3] / "examples"
DISTRICT, APP = Key("District", "lakeside", "lakeside"), Key("LearningApp", "lakeside", "kolibri")
BEGIN = datetime(2026, 11, 2, 1, tzinfo=UTC)


@cache
def _declared() -> bytes:
    """All resources of the example, read once: hundreds of worlds begin with a copy of them."""
    texts = [(path.name, path.read_text()) for path in sorted((EXAMPLES / "lakeside").glob("*.yaml"))]
    found: list[Any] = [document.data for file, text in texts for document in load_all(text, file=file)]
    return pickle.dumps([obj for obj in found if obj["kind"] in KINDS])


def _nothing(*_: object, **__: object) -> None:
    """Nobody counts here."""


class _AtOnce(AtOnce, ThreadPoolExecutor):
    """Work where and when it is asked for, as what asyncio takes for threads.

    To hand a few rows to a thread and back is a tenth of the time of a run. Real threads: tests/integration.
    """


_AT_ONCE = _AtOnce()


class Killed(BaseException):
    """The process ends here and now."""


class Opened:
    """The product as a run sees it. `until`: it takes so many changes more, then the operator dies.

    `logins`: when people last logged in, of all who have an account; None: it tells of nobody. `unsure`: schools that
    cannot be read.
    """

    capabilities = Capabilities()

    def __init__(self, product: Product) -> None:
        self.product = product
        self.until: int | None = None
        self.logins: dict[str, datetime] | None = None
        self.unsure: tuple[str, ...] = ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def read(self, _known: Known) -> Actual:
        return self.product.actual(unsure=self.unsure)

    async def activity(self, actual: Actual) -> pl.DataFrame:
        if self.logins is None:
            raise TerminalError("install a plugin", reason="CapabilityMissing")
        people = actual.people.filter(pl.col("key").is_not_null())
        schools = actual.schools["key"].gather(people["school"])
        last = [self.logins.get(key) for key in people["key"]]
        columns = {"school": schools, "key": people["key"], "account": people["external_id"], "last_login": last}
        return pl.DataFrame({**columns, "last_interaction": None}, ACTIVITY_SCHEMA).sort("school", "key")

    async def apply(self, batch: Sequence[Change]) -> Sequence[Outcome]:
        for change in batch:
            if self.until is not None:
                if not self.until:
                    raise Killed
                self.until -= 1
            self.product.make(change)
        return [
            Outcome(seq=change.seq, result=Result.APPLIED, external_id=change.external_id or change.key)
            for change in batch
        ]


class Cluster:
    """Objects, whoever asked to run, and how often somebody wrote."""

    epoch = 1

    def __init__(self) -> None:
        self.objects: dict[Key, Any] = {}
        self.asked: list[Key] = []
        self.labels: dict[str, dict[str, str]] = {}
        """Of namespaces."""
        self.terminating: set[str] = set()
        """Namespaces that are being deleted."""
        self.events: list[tuple[str, str]] = []
        """Reasons and messages."""
        self.credentials: dict[tuple[str, str], dict[str, str]] = {}
        """Secrets that resources name: (namespace, name) -> texts."""
        self.secrets: dict[tuple[str, str], Any] = {}
        """Secrets with keys."""
        self.pictures: dict[tuple[str, str, str], bytes] = {}
        """Files of ConfigMaps: (namespace, name, key) -> content."""
        self.refusal: HomeroomError | None = None
        """What the API server says to who asks for one of them."""
        self.looks = 0
        self.writes = 0
        for obj in pickle.loads(_declared()):
            self.put(obj)

    def put(self, obj: Mapping[str, Any]) -> None:
        meta = {"uid": obj["metadata"]["name"], "generation": 1, **obj["metadata"]}
        self.objects[key_of(obj)] = {**obj, "metadata": meta}

    def unlisted(self, _kinds: Iterable[str]) -> Sequence[str]:
        return ()

    def being_listed(self, _kinds: Iterable[str]) -> bool:
        return False

    def get(self, key: Key) -> Any:
        return self.objects.get(key)

    def list(self, kind: str, namespace: str) -> Any:
        return [obj for key, obj in sorted(self.objects.items()) if (key.kind, key.namespace) == (kind, namespace)]

    def every(self, kind: str) -> Any:
        return [obj for key, obj in self.objects.items() if key.kind == kind]

    async def is_terminating(self, namespace: str) -> bool:
        return namespace in self.terminating

    async def labels_of(self, namespace: str) -> dict[str, str]:
        return self.labels.get(namespace, {})

    async def secret(self, *, namespace: str, name: str) -> dict[str, str]:
        return self.credentials.get((namespace, name), {})

    async def picture(self, *, namespace: str, name: str, key: str) -> bytes:
        try:
            return self.pictures[namespace, name, key]
        except KeyError as error:
            raise TransientError("there is no such file", reason="AvatarNotFound") from error

    async def key_secret(self, *, namespace: str, name: str) -> Any:
        self.looks += 1
        if self.refusal is not None:
            raise self.refusal
        return self.secrets.get((namespace, name))

    async def write_key_secret(self, secret: Object) -> None:
        """As the API server: a type cannot be changed, and who writes has to have read what is there."""
        if self.refusal is not None:
            raise self.refusal
        meta = secret["metadata"]
        place = (meta["namespace"], meta["name"])
        before = self.secrets.get(place)
        assert before is None or before["type"] == secret["type"]
        assert meta.get("resourceVersion") == (before["metadata"]["resourceVersion"] if before else None)
        self.writes += 1
        self.secrets[place] = {**secret, "metadata": {**meta, "resourceVersion": str(self.writes)}}

    async def revision(self, _objects: Iterable[Object]) -> str:
        return "main@sha1:1"

    async def write_status(self, obj: Object, status: Mapping[str, Any], *, always: Collection[str] = ()) -> None:
        """As the port says it: of an edit that came meanwhile nothing is said."""
        live = self.objects[key_of(obj)]
        if live["metadata"]["generation"] != obj["metadata"]["generation"]:
            status = {**live.get("status", {}), **{name: status[name] for name in always}}
        if live.get("status", {}) != status:
            self.writes += 1
            self.objects[key_of(obj)] = {**live, "status": status}

    async def create(self, obj: Object) -> None:
        self.writes += 1
        self.put(obj)

    async def replace(self, obj: Object) -> None:
        await self.create(obj)

    async def delete(self, obj: Object) -> None:
        self.writes += 1
        del self.objects[key_of(obj)]

    async def set_finalizer(self, obj: Object, *, present: bool) -> None:
        """As the API server: what is being deleted goes with its last finalizer."""
        self.writes += 1
        key = key_of(obj)
        meta = {**self.objects[key]["metadata"], "finalizers": [FINALIZER] if present else []}
        self.objects[key] = {**self.objects[key], "metadata": meta}
        if not present and "deletionTimestamp" in meta:
            del self.objects[key]

    def event(self, _obj: object, *, warning: bool, reason: str, message: str) -> None:
        del warning
        self.events.append((reason, message))

    def enqueue(self, key: Key, *, after: float = 0) -> None:
        del after
        self.asked.append(key)

    def stopping(self) -> bool:
        return False


class Nights:
    """The world. `school`, `lost`: source ids of two of the three schools."""

    school, lost = "s-001", "s-003"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = open_store(directory)
        self.records = Records(RECORDS)
        self.product = Product()
        self.opened = Opened(self.product)
        self.cluster = Cluster()
        self.now = BEGIN
        self.export = directory / "files" / "lakeside" / "export.zip"
        self.directory = directory
        self.post: Post | None = None
        self.verdicts: dict[Key, Verdict] = {}
        """How the last run of each root ended."""
        self.shown: list[float] = []
        """Seconds from publishing a lesson until it was known, each time."""
        self.lags: list[float] = []
        """Seconds from starting a call until everybody was told, each time."""
        self._handlers = self._ready(directory)

    def restarted(self) -> None:
        """A new process of the operator, which remembers nothing but what is in the store."""
        self._handlers = self._ready(self.directory)

    def _ready(self, directory: Path) -> Mapping[str, Handler]:
        real = Outside(owner_id="here", file_root=directory / "files", allow_loopback=True)

        async def target(*_: object, **__: object) -> Opened:
            return self.opened

        outside: Any = SimpleNamespace(
            owner_id=real.owner_id,
            owner_of_chats=real.owner_of_chats,
            source=real.source,
            supplement=real.supplement,
            links=real.links,
            register=real.register,
            target=target,
            platform=self.platform,
        )
        clock: Any = SimpleNamespace(now=lambda: self.now, monotonic=lambda: self.now.timestamp() % 1e9)
        self.gauges: dict[Key, dict[str, Mapping[str, int]]] = {}
        metrics: Any = SimpleNamespace(
            operations=_nothing,
            records_read=_nothing,
            seats=_nothing,
            call_told=self._told,
            chats=lambda key, **told: self.gauges.__setitem__(key, told),
            lesson_shown=self._shown,
        )
        cluster: Any = self.cluster
        self.repairs = ChatRepair(store=self.store, outside=outside, metrics=metrics, clock=clock)
        self.outside, self.clock = outside, clock
        return handlers(
            cluster,
            clock,
            metrics,
            store=self.store,
            outside=outside,
            settle=timedelta(),
            post=self.post,
            repairs=self.repairs,
        )

    def _told(self, *, seconds: float) -> None:
        self.lags.append(seconds)

    def _shown(self, *, seconds: float) -> None:
        self.shown.append(seconds)

    async def platform(self, *_: object, **__: object) -> Any:
        """The chat server, as a run opens it; see `chatnights`."""
        raise AssertionError("there is none here")

    def declare(self, key: Key, **spec: Any) -> None:
        """Somebody commits other fields of a spec."""
        obj = self.cluster.objects[key]
        meta = {**obj["metadata"], "generation": obj["metadata"]["generation"] + 1}
        self.cluster.objects[key] = {**obj, "metadata": meta, "spec": {**obj["spec"], **spec}}

    def publish(self) -> None:
        """The records are the export from now on."""
        self.export.parent.mkdir(parents=True, exist_ok=True)
        self.export.write_bytes(self.records.zipped())

    async def night(self, *, days: float = 1, publish: bool = True) -> None:
        """Time passes, the export is made, the district and then the app have their routine runs."""
        self.now += timedelta(days=days)
        if publish:
            self.publish()
        await self.run(DISTRICT, APP)

    async def run(self, *keys: Key) -> None:
        """Run these, and whatever that wakes."""
        asyncio.get_running_loop().set_default_executor(_AT_ONCE)
        waiting = [*keys]
        while waiting:
            self.cluster.asked = []
            self.verdicts[waiting[0]] = await self._handlers[waiting[0].kind](waiting[0])
            waiting = list(dict.fromkeys([*waiting[1:], *self.cluster.asked]))

    async def approve(self, *holds: Mapping[str, Any], of: Key, name: str = "") -> None:
        """A commit brings Approvals; what they wake runs."""
        for hold in holds:
            name = name or hold["id"]
            meta = {"name": name, "namespace": of.namespace, "creationTimestamp": self.now.isoformat()}
            reference = {"kind": of.kind, "name": of.name}
            spec = {"targetRef": reference, "hold": hold["id"], "reason": "seen and right"}
            obj = {"apiVersion": "homeroom.dev/v1alpha1", "kind": "Approval", "metadata": meta, "spec": spec}
            self.cluster.put(obj)
            cluster: Any = self.cluster
            self.now += timedelta(seconds=1)
            await self.run(*routes(cluster, None, obj))
            name = ""

    def holds(self, key: Key) -> list[Mapping[str, Any]]:
        """What a resource says that it holds."""
        return list(self.cluster.objects[key]["status"].get("holds", ()))

    def said(self, key: Key, kind: str = "Ready") -> str:
        """`reason: message` of a condition; empty where there is none."""
        conditions = self.cluster.objects[key]["status"]["conditions"]
        return next((f"{item['reason']}: {item['message']}" for item in conditions if item["type"] == kind), "")

    def members(self, school: str | None = None) -> set[tuple[str, str, str | None]]:
        """(school, class, person) of all places in classes of the product."""
        rows = [(self.product.classes[section], self.product.people[one]) for section, one, _ in self.product.members]
        return {(c.school, str(c.key), p.key) for c, p in rows if school is None or c.school == school}

    def accounts(self, school: str) -> set[str | None]:
        """Keys of everybody with an account in use in a school of the product."""
        return {one.key for one in self.product.people.values() if one.school == school and not one.suspended}

    @classmethod
    def after(cls, before: Nights, directory: Path) -> Self:
        """The same world in a directory of its own, with an operator that has just started; its store was closed."""
        shutil.copytree(before.directory, directory, dirs_exist_ok=True)
        here = cls(directory)
        here.product = here.opened.product = copy.deepcopy(before.product)
        here.opened.logins = copy.copy(before.opened.logins)
        here.cluster.objects = copy.deepcopy(before.cluster.objects)
        here.now = before.now
        return here

    @classmethod
    def begun(cls, coming: Coroutine[Any, Any, Self]) -> Self:
        """A world that many tests begin with, each with a copy: see `after`."""
        here = asyncio.run(coming)
        here.store.close()
        return here

    @classmethod
    async def reading(cls, directory: Path) -> Self:
        """The records were read, and nobody has approved anything."""
        here = cls(directory)
        here.publish()
        await here.run(DISTRICT)
        return here

    @classmethod
    async def synced(cls, directory: Path) -> Self:
        """Everything is in the product, seen and approved."""
        here = cls(directory)
        here.publish()
        await here.run(DISTRICT, APP)
        await here.approve(*here.holds(APP), of=APP)
        assert here.said(APP).startswith("Succeeded: "), here.said(APP)
        return here
