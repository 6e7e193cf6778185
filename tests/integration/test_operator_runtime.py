"""The operator's runtime on a real API server, with the rights that `manifests/` ships and trivial reconcilers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import kopf
import pytest
import structlog

from homeroom.api import API_VERSION, KINDS, Reason, RootStatus, crds, parse
from homeroom.api.conditions import done, failed_retrying, violations
from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.server import ServerError
from homeroom.demo.stage import path_of
from homeroom.errors import TransientError
from homeroom.operator import kinds as kinds_module
from homeroom.operator import logs
from homeroom.operator import watch as watch_module
from homeroom.operator.api import ConflictError
from homeroom.operator.lease import LeaseLostError, LeaseTimes, epoch_at
from homeroom.operator.queue import Backoff
from homeroom.operator.runtime import Operator, Reconcilers, Settings, SystemClock
from homeroom.operator.watch import Watch, WatchDiedError
from homeroom.reconcile.ports import Clock, Cluster, Handler, Key, Metrics, Object, Verdict
from homeroom.reconcile.routes import routes

pytestmark = pytest.mark.integration

MANIFESTS = Path(__file__).parents[2] / "manifests" / "base"
SYSTEM = "homeroom-system"
SETTINGS = Settings(
    owner_id="test",
    host="127.0.0.1",
    port=0,
    probe_interval=0.5,
    startup_spread=0.5,
    backoff=Backoff(base=0.2, cap=2.0),
    # Only what a test does may cost the Lease, not a busy machine.
    lease_times=LeaseTimes(duration=900, renew_deadline=800, retry=0.3, request_timeout=10),
)


async def until(condition: Callable[[], bool], *, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not come true within {seconds} s"
        await asyncio.sleep(0.02)


class Hands:
    """An administrator's hands in one namespace; never blocks the event loop."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace

    async def kubectl(self, *args: str, stdin: str = "") -> str:
        return await asyncio.to_thread(self.plane.kubectl, *args, stdin=stdin)

    def app(self, name: str, **metadata: object) -> dict[str, Any]:
        return {
            "apiVersion": "homeroom.dev/v1alpha1",
            "kind": "LearningApp",
            "metadata": {"name": name, "namespace": self.namespace, **metadata},
            "spec": {
                "districtRef": {"name": "lakeside"},
                "target": {"kolibri": {"url": "https://kolibri.example", "secretRef": {"name": "kolibri"}}},
            },
        }

    def rule(self, name: str, app: str) -> dict[str, Any]:
        return {
            "apiVersion": "homeroom.dev/v1alpha1",
            "kind": "SharingRule",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"appRef": {"name": app}, "share": "Students", "shareEverything": True},
        }

    async def apply(self, *objects: dict[str, Any]) -> None:
        def each() -> None:
            for obj in objects:
                self.plane.apply(path_of(obj, namespace=self.namespace), obj)

        await asyncio.to_thread(each)

    async def read(self, kind: str, name: str) -> dict[str, Any]:
        document: dict[str, Any] = await asyncio.to_thread(self.plane.read, self.path(kind, name))
        return document

    async def patch(self, kind: str, name: str, change: dict[str, Any], *, subresource: str = "") -> None:
        await asyncio.to_thread(self.plane.ask, "PATCH", self.path(kind, name) + subresource, change)

    async def delete(self, kind: str, name: str) -> None:
        await asyncio.to_thread(self.plane.ask, "DELETE", self.path(kind, name))

    def path(self, kind: str, name: str) -> str:
        obj = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}}
        return path_of(obj, namespace=self.namespace)


class Trivial:
    """Reconcilers that say done, or what they cannot read, and remember what they were asked to run."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.runs: Counter[str] = Counter()
        self.rules: dict[str, int] = {}
        """App -> how many rules its last run saw."""
        self.unlisted: dict[str, Sequence[str]] = {}
        self.built = 0
        self.closed = 0
        self.cluster: Cluster | None = None
        self.pauses: dict[str, asyncio.Event] = {}
        """App -> what its runs wait for, between asking what is listed and listing it."""
        self.idle = False
        """Whether to leave the objects alone."""
        self.patient = True
        """Whether to wait, after what could not be read, until somebody says that it can; the real ones try again."""
        self.seen: list[tuple[str, int, bool]] = []
        """What each run saw: its app, how many rules, and whether the app was being deleted."""
        self.statuses: list[tuple[Key, list[str]]] = []

    @asynccontextmanager
    async def build(self, cluster: Cluster, clock: Clock, metrics: Metrics) -> AsyncIterator[Reconcilers]:
        self.built += 1
        self.cluster = cluster

        async def run(key: Key) -> Verdict:
            if key.namespace != self.namespace:
                return Verdict()  # left over from another test
            obj = cluster.get(key)
            self.runs[key.name] += 1
            if self.idle:
                return Verdict()
            unlisted = cluster.unlisted(KINDS)
            self.unlisted[key.name] = unlisted
            if obj is None:
                return Verdict()
            if key.name in self.pauses:
                await self.pauses[key.name].wait()
            status = parse(obj).status
            assert isinstance(status, RootStatus)
            generation = obj["metadata"]["generation"]
            if unlisted:
                text = f"cannot read {', '.join(unlisted)}"
                status = failed_retrying(
                    status, generation=generation, reason=Reason.KIND_NOT_SERVED, message=text, now=clock.now()
                )
            else:
                self.rules[key.name] = sum(
                    rule["spec"]["appRef"]["name"] == key.name for rule in cluster.list("SharingRule", key.namespace)
                )
                self.seen.append((key.name, self.rules[key.name], "deletionTimestamp" in obj["metadata"]))
                status = done(status, generation=generation, message="as declared", now=clock.now())
                metrics.operations("user", planned=1, applied=1)
            await cluster.write_status(obj, status.document())
            written = cluster.get(key)
            if written is not None:
                self.statuses.append((key, violations(written, final=True)))
            return Verdict(failed=bool(unlisted) and not self.patient)

        async def no_problems() -> Sequence[str]:
            return []

        handlers: dict[str, Handler] = defaultdict(lambda: run)  # what other tests leave has children, too
        yield Reconcilers(handlers=handlers, problems=no_problems)
        self.closed += 1

    def is_done(self, obj: Object) -> bool:
        return any(c["type"] == "Ready" and c["status"] == "True" for c in obj.get("status", {}).get("conditions", ()))

    def ready(self) -> int:
        assert self.cluster is not None
        return sum(self.is_done(obj) for obj in self.cluster.list("LearningApp", self.namespace))


@pytest.fixture(scope="module")
def crd_files() -> dict[str, str]:
    return crds.render()


@pytest.fixture(scope="module")
def kubeconfig(controlplane: ControlPlane, crd_files: dict[str, str]) -> Path:
    """CRDs and rights as shipped, and the log-in of the operator's ServiceAccount."""
    install(controlplane, crd_files)
    return controlplane.kubeconfig_for(SYSTEM, "homeroom")


@pytest.fixture
def mended(controlplane: ControlPlane, crd_files: dict[str, str]) -> Iterator[None]:
    """For who takes away what all tests need: it is back for the next one."""
    yield
    install(controlplane, crd_files)


def install(plane: ControlPlane, crd_files: dict[str, str]) -> None:
    base = [(MANIFESTS / name).read_text() for name in ("namespace.yaml", "rbac.yaml")]
    everything = "\n---\n".join([*crd_files.values(), *base])
    plane.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=everything)
    names = [f"crd/{model.plural}.homeroom.dev" for model in KINDS.values()]
    plane.kubectl("wait", "--for=condition=Established", *names)


@pytest.fixture
def hands(controlplane: ControlPlane, kubeconfig: Path, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Hands:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    with contextlib.suppress(ServerError):  # the test before has made none
        controlplane.ask("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/homeroom")
    binding = {
        "metadata": {"name": "homeroom"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "homeroom-tenant"},
        "subjects": [{"kind": "ServiceAccount", "name": "homeroom", "namespace": SYSTEM}],
    }
    controlplane.ask("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", binding)
    return Hands(controlplane, namespace)


@pytest.fixture
def trivial(namespace: str) -> Iterator[Trivial]:
    reconcilers = Trivial(namespace)
    yield reconcilers
    assert [broken for _, broken in reconcilers.statuses if broken] == []


class JumpingClock(SystemClock):
    """The real time, which a test can push forward."""

    pushed = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.pushed


def started(
    trivial: Trivial, settings: Settings = SETTINGS, *, clock: Clock | None = None
) -> tuple[Operator, asyncio.Task[None]]:
    """The operator at work in this process."""
    operator = Operator(
        settings, build=trivial.build, routes=routes, clock=clock or SystemClock(), stop=asyncio.Event()
    )
    return operator, asyncio.create_task(operator.run())


@asynccontextmanager
async def running(
    trivial: Trivial, settings: Settings = SETTINGS, *, clock: Clock | None = None, leads: bool = True
) -> AsyncIterator[Operator]:
    """The operator at work in this process, as soon as it `leads`; stopped in peace at the end."""
    operator, task = started(trivial, settings, clock=clock)
    try:
        if leads:
            await until(lambda: task.done() or operator._early is None)
        yield operator
    finally:
        operator._stop.set()
        await task


async def ask(operator: Operator, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{operator.port}{path}") as response,
    ):
        return response.status, await response.text()


class TestRuns:
    async def test_objects_that_are_there_and_that_come_are_run(self, hands: Hands, trivial: Trivial) -> None:
        await hands.apply(hands.app("there"))
        async with running(trivial):
            await hands.apply(hands.app("came"))
            await until(lambda: trivial.ready() == 2)
        assert trivial.runs == {"there": 1, "came": 1}
        assert trivial.closed == 1
        assert len(trivial.statuses) == 2

    async def test_own_status_writes_start_no_run_and_rest_writes_nothing(self, hands: Hands, trivial: Trivial) -> None:
        await hands.apply(hands.app("a"), hands.app("b"))
        async with running(trivial):
            await until(lambda: trivial.ready() == 2)
            assert trivial.cluster is not None
            before = hands.plane.etcd_revision()
            for name in ("a", "b"):
                trivial.cluster.enqueue(Key("LearningApp", hands.namespace, name))
            await until(lambda: trivial.runs == {"a": 2, "b": 2})
            assert [key for key in hands.plane.written_since(before) if f"/{hands.namespace}/" in key] == []
            await hands.apply(hands.app("after"))  # a watch tells in order, so it has told all before this
            await until(lambda: trivial.ready() == 3)
            assert trivial.runs == {"a": 2, "b": 2, "after": 1}

    async def test_what_matters_starts_a_run_and_what_does_not_does_not(self, hands: Hands, trivial: Trivial) -> None:
        await hands.apply(hands.app("a"))
        where = ("learningapp", "a")
        async with running(trivial):
            await until(lambda: trivial.ready() == 1)
            await hands.patch(*where, {"metadata": {"annotations": {"other.example/note": "1"}}})
            await hands.patch(*where, {"metadata": {"annotations": {"homeroom.dev/reconcile-at": "1"}}})
            await until(lambda: trivial.runs["a"] == 2)
            await hands.patch(*where, {"metadata": {"labels": {"team": "blue"}}})
            await until(lambda: trivial.runs["a"] == 3)
            await hands.patch(*where, {"spec": {"interval": "2h"}})
            await until(lambda: trivial.runs["a"] == 4)
            await hands.apply(hands.rule("r", "a"))
            await until(lambda: trivial.rules["a"] == 1)
            await hands.delete("sharingrule", "r")
            await until(lambda: trivial.rules["a"] == 0)
            await hands.delete("learningapp", "a")
            await until(lambda: trivial.runs["a"] == 7)

    async def test_five_hundred_objects(self, hands: Hands, trivial: Trivial) -> None:
        await hands.apply(*(hands.app(f"app-{n}") for n in range(500)))
        async with running(trivial):
            await until(lambda: trivial.ready() == 500)
        assert set(trivial.runs.values()) == {1}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The log so far, as it stands in the operator's JSON lines."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    path = tmp_path / "log"
    with path.open("w") as stream:
        logs.configure(level="info", console=False, stream=stream)
        yield lambda: [json.loads(line) for line in path.read_text().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def errors(lines: list[dict[str, Any]]) -> list[str]:
    return [str(line) for line in lines if line["level"] not in {"debug", "info", "warning"}]


@pytest.fixture
def break_kopf(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the next so many starts of kopf fail."""
    left = 0
    whole = kopf.operator

    async def fragile(**options: Any) -> None:
        nonlocal left
        if left > 0:
            left -= 1
            raise RuntimeError("kopf is broken")
        await whole(**options)

    def break_it(times: int) -> None:
        nonlocal left
        left = times

    monkeypatch.setattr(kopf, "operator", fragile)
    monkeypatch.setattr(watch_module, "_RESTART_SECONDS", 0.01)
    return break_it


class TestFaults:
    @pytest.mark.usefixtures("mended")
    async def test_a_kind_that_is_missing_at_start(
        self,
        hands: Hands,
        trivial: Trivial,
        crd_files: dict[str, str],
        log: Callable[[], list[dict[str, Any]]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(kinds_module, "_WATCH_SECONDS", 5.0)  # more often than not kopf has to look again
        await hands.apply(hands.app("a"))
        await hands.kubectl("delete", "crd", "sharingrules.homeroom.dev")
        async with running(trivial) as operator:
            await until(lambda: trivial.unlisted.get("a") == ["SharingRule"])
            assert (await ask(operator, "/livez"))[0] == 200
            status, text = await ask(operator, "/readyz")
            assert status == 503
            assert text == "kind SharingRule: CustomResourceDefinition sharingrules.homeroom.dev does not exist\n"
            await asyncio.to_thread(install, hands.plane, crd_files)
            await until(lambda: trivial.ready() == 1)
            await hands.apply(hands.rule("r", "a"))
            await until(lambda: trivial.rules["a"] == 1)
            assert await ask(operator, "/readyz") == (200, "ok\n")
        assert errors(log()) == []

    async def test_who_is_turned_away_in_a_gap_of_a_moment_is_run_when_it_is_over(
        self, hands: Hands, trivial: Trivial, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kinds_module, "_ANNOUNCE_SECONDS", 1000.0)  # the gap is shorter
        await hands.apply(hands.app("a"))
        async with running(trivial) as operator:
            await until(lambda: trivial.ready() == 1)
            assert operator._leading is not None
            assert trivial.cluster is not None
            kinds = operator._leading.kinds
            kinds.watch_answered("SharingRule", watching=True, ok=False)
            await until(lambda: "SharingRule" in kinds.problems())
            trivial.cluster.enqueue(Key("LearningApp", trivial.namespace, "a"))
            await until(lambda: trivial.unlisted["a"] == ["SharingRule"])
            kinds.watch_answered("SharingRule", watching=True, ok=True)
            await until(lambda: trivial.unlisted["a"] == [])

    @pytest.mark.usefixtures("mended")
    async def test_a_crd_deleted_while_running_looks_like_nobodys_deletion(
        self, hands: Hands, trivial: Trivial, crd_files: dict[str, str], log: Callable[[], list[dict[str, Any]]]
    ) -> None:
        rules = [hands.rule(f"r{n}", "a") for n in range(30)]
        slow = [hands.rule(f"s{n}", "slow") for n in range(10)]
        trivial.pauses["slow"] = asyncio.Event()
        await hands.apply(hands.app("a"), hands.app("slow"), *rules, *slow)
        async with running(trivial):
            await until(lambda: trivial.rules.get("a") == 30 and trivial.unlisted.get("slow") == [])
            trivial.seen.clear()
            await hands.kubectl("delete", "crd", "sharingrules.homeroom.dev")
            await until(lambda: trivial.unlisted["a"] == ["SharingRule"])
            assert trivial.seen == []
            trivial.pauses["slow"].set()  # it began before
            await until(lambda: trivial.rules.get("slow") == 10)
            await asyncio.to_thread(install, hands.plane, crd_files)
            await hands.apply(*rules[:20])
            await until(lambda: trivial.rules["a"] == 20 and trivial.rules["slow"] == 0 and trivial.ready() == 2)
        assert errors(log()) == []

    async def test_a_right_taken_away_while_running(
        self, hands: Hands, trivial: Trivial, crd_files: dict[str, str], log: Callable[[], list[dict[str, Any]]]
    ) -> None:
        await hands.apply(hands.app("a"), hands.rule("r1", "a"), hands.rule("r2", "a"))
        role = json.loads(await hands.kubectl("get", "clusterrole", "homeroom", "--output=json"))
        less = json.dumps([{"op": "replace", "path": "/rules/0/resources/2", "value": "nothing"}])
        assert role["rules"][0]["resources"][2] == "sharingrules"
        async with running(trivial):
            await until(lambda: trivial.rules.get("a") == 2)
            try:
                await hands.kubectl("patch", "clusterrole", "homeroom", "--type=json", f"--patch={less}")
                await until(lambda: trivial.unlisted["a"] == ["SharingRule"])
                trivial.seen.clear()
                await hands.delete("sharingrule", "r1")
            finally:
                await asyncio.to_thread(install, hands.plane, crd_files)
            await until(lambda: trivial.ready() == 1 and trivial.rules["a"] == 1)
            await hands.apply(hands.rule("r3", "a"))
            await until(lambda: trivial.rules["a"] == 2)
        assert errors(log()) == []

    async def test_a_namespace_that_goes_away_loses_its_rules_unnoticed(
        self, hands: Hands, trivial: Trivial, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keeper = hands.app("kept", finalizers=["test.homeroom.dev/wait"])
        await hands.apply(keeper, hands.app("a"), *(hands.rule(f"r{n}", "kept") for n in range(20)))
        key = Key("LearningApp", hands.namespace, "kept")
        async with running(trivial) as operator:
            await until(lambda: trivial.rules.get("kept") == 20)
            cluster = trivial.cluster
            assert cluster is not None
            assert operator._leading is not None
            kinds = operator._leading.kinds
            ended: set[str] = set()
            believe = kinds.deleted

            def deleted(obj: Object) -> None:
                if obj["metadata"]["namespace"] == hands.namespace:  # those of other tests are going away, too
                    ended.add(obj["metadata"]["name"])
                believe(obj)

            monkeypatch.setattr(kinds, "deleted", deleted)
            await hands.kubectl("delete", "namespace", hands.namespace, "--wait=false")
            await until(lambda: kinds.is_closing(hands.namespace))
            await until(lambda: "deletionTimestamp" in (cluster.get(key) or {"metadata": {}})["metadata"])
            # A namespace loses its kinds in any order, so the rules may go after the app that they are of.
            await until(lambda: ended == {"a", *(f"r{n}" for n in range(20))})
            here = f"--namespace={hands.namespace}"
            assert await hands.kubectl("get", "sharingrules", here, "--output=name") == ""
            await until(lambda: not kinds._states["SharingRule"].deletions)  # a look has taken them up
            looked = kinds._looked_at
            await until(lambda: kinds._looked_at > looked)  # and is over
            assert len(cluster.list("SharingRule", hands.namespace)) == 20
            runs = len(trivial.seen)
            cluster.enqueue(key)
            await until(lambda: len(trivial.seen) > runs)
            assert trivial.seen[-1] == ("kept", 20, True)
            assert {count for app, count, _ in trivial.seen if app == "kept"} == {20}
            await hands.patch("learningapp", "kept", {"metadata": {"finalizers": None}})
            await until(lambda: all(cluster.list(kind, hands.namespace) == [] for kind in KINDS))
            assert not kinds.is_closing(hands.namespace)

    async def test_an_api_server_that_is_away_for_a_while(
        self, hands: Hands, trivial: Trivial, log: Callable[[], list[dict[str, Any]]]
    ) -> None:
        await hands.apply(hands.app("a"))
        trivial.patient = False  # nobody tells them that a kind was away for a moment
        async with running(trivial) as operator:
            await until(lambda: trivial.ready() == 1)
            await asyncio.to_thread(hands.plane.stop_apiserver)
            try:
                assert trivial.cluster is not None
                trivial.cluster.enqueue(Key("LearningApp", hands.namespace, "a"))
                await until(lambda: trivial.runs["a"] == 2)
                assert await ask(operator, "/livez") == (200, "ok\n")
            finally:
                await asyncio.to_thread(hands.plane.start_apiserver)
            await hands.apply(hands.app("b"))
            await until(lambda: trivial.ready() == 2)
            assert list(trivial.cluster.unlisted(KINDS)) == []
        assert errors(log()) == []

    async def test_a_kopf_that_ends_is_started_anew_and_one_that_keeps_ending_ends_the_process(
        self, hands: Hands, trivial: Trivial, break_kopf: Callable[[int], None]
    ) -> None:
        await hands.apply(hands.app("a"))
        trivial.patient = False  # nobody tells them that a watch was away for a moment
        operator, task = started(trivial)
        await until(lambda: operator._early is None and trivial.ready() == 1)
        assert operator._leading is not None
        break_kopf(1)
        operator._leading.watch.restart()
        await hands.apply(hands.app("b"))
        await until(lambda: trivial.ready() == 2)
        break_kopf(100)
        operator._leading.watch.restart()
        with pytest.raises(WatchDiedError):
            await asyncio.wait_for(task, 60)
        assert not operator._leading.watch.is_alive()

    async def test_a_kopf_that_does_not_end_by_itself_is_made_to(
        self, hands: Hands, trivial: Trivial, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = kopf.operator
        lives: list[asyncio.Task[None]] = []

        async def stubborn() -> None:
            """Like a task of kopf's watches that took its cancellation for a pause."""
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()

        async def with_it(**options: Any) -> None:
            await asyncio.sleep(0)  # kopf leaves alone what began before it
            asyncio.get_running_loop().call_later(0.1, lambda: lives.append(asyncio.create_task(stubborn())))
            await whole(**options)

        monkeypatch.setattr(kopf, "operator", with_it)
        await hands.apply(hands.app("a"))
        async with running(trivial) as operator:
            await until(lambda: trivial.ready() == 1 and len(lives) == 1)
            assert operator._leading is not None
            operator._leading.watch.restart()
            await until(lambda: len(lives) == 2)
            await hands.apply(hands.app("b"))
            await until(lambda: trivial.ready() == 2)
        assert [life.cancelled() for life in lives] == [True, True]

    async def test_a_dead_watch_fails_the_liveness_probe(
        self, hands: Hands, trivial: Trivial, break_kopf: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await hands.apply(hands.app("a"))

        async def never(_watch: Watch) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(Watch, "died", never)  # otherwise the process would be gone before anybody could ask
        async with running(trivial) as operator:
            assert operator._leading is not None
            watch = operator._leading.watch
            assert (await ask(operator, "/livez"))[0] == 200
            break_kopf(100)
            watch.restart()
            await until(lambda: not watch.is_alive())
            assert await ask(operator, "/livez") == (503, "watch: its thread has ended\n")

    async def test_a_stuck_or_silent_watch_fails_the_liveness_probe(self, hands: Hands, trivial: Trivial) -> None:
        await hands.apply(hands.app("a"))
        clock = JumpingClock()
        async with running(trivial, clock=clock) as operator:
            await until(lambda: trivial.ready() == 1)
            assert await ask(operator, "/livez") == (200, "ok\n")
            assert operator._leading is not None
            watch = operator._leading.watch
            assert watch._kopf_loop is not None
            released = threading.Event()
            watch._kopf_loop.call_soon_threadsafe(released.wait)
            try:
                clock.pushed = 60.0
                status, text = await ask(operator, "/livez")
                assert status == 503
                assert "watch: its event loop has not turned for" in text
            finally:
                released.set()
            await until(lambda: watch.heartbeat_age() < 5)
            assert await ask(operator, "/livez") == (200, "ok\n")
            clock.pushed = 600.0
            await until(lambda: watch.heartbeat_age() < 5)
            status, text = await ask(operator, "/livez")
            assert status == 503
            assert "watch: no request for LearningApp for" in text


STOLEN = '--patch={"spec":{"holderIdentity":"thief","leaseDurationSeconds":1}}'


class TestLease:
    async def test_who_stands_by_takes_over(self, hands: Hands, trivial: Trivial) -> None:
        await hands.apply(hands.app("a"))
        second = Trivial(hands.namespace)
        async with running(trivial) as first, running(second, leads=False) as standby:
            await until(lambda: trivial.ready() == 1 and standby.port is not None)
            assert await ask(standby, "/readyz") == (200, "ok\n")
            assert second.built == 0
            first._stop.set()
            await until(lambda: second.runs["a"] == 1)
            assert trivial.closed == 1
            assert trivial.cluster is not None
            assert second.cluster is not None
            assert second.cluster.epoch > trivial.cluster.epoch

    async def test_a_leader_that_is_gone_is_waited_for_no_longer_than_its_lease(
        self, hands: Hands, trivial: Trivial
    ) -> None:
        spec = {"holderIdentity": "gone", "leaseDurationSeconds": 2, "leaseTransitions": 2**30}
        metadata = {"name": "homeroom", "namespace": SYSTEM}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        await hands.kubectl("create", "--filename=-", stdin=json.dumps(lease))
        began = time.monotonic()
        async with running(trivial):
            assert time.monotonic() - began >= 2
            assert trivial.cluster is not None
            assert trivial.cluster.epoch == 2**30 + 1

    @pytest.mark.parametrize("how", ["taken", "deleted"])
    async def test_a_lost_lease_ends_the_process(self, hands: Hands, trivial: Trivial, how: str) -> None:
        where = ("lease", "homeroom", f"--namespace={SYSTEM}")
        operator, task = started(trivial)
        await until(lambda: operator._early is None)
        assert trivial.cluster is not None
        epoch = trivial.cluster.epoch
        if how == "taken":
            await hands.kubectl("patch", *where, "--type=merge", STOLEN)
        else:
            await hands.kubectl("delete", *where)
        with pytest.raises(LeaseLostError):
            await asyncio.wait_for(task, 30)
        await until(lambda: epoch_at(datetime.now(UTC)) > epoch)  # a new Lease begins with the time, in seconds
        async with running(trivial):
            assert trivial.cluster.epoch > epoch


class TestCluster:
    """What a reconciler asks of the API; `KubeCluster` at work in a running operator that leaves the objects alone."""

    @pytest.fixture
    async def cluster(self, hands: Hands, trivial: Trivial) -> AsyncIterator[Cluster]:
        trivial.idle = True
        await hands.apply(hands.app("a"))
        async with running(trivial):
            assert trivial.cluster is not None
            yield trivial.cluster

    @pytest.fixture
    def key(self, namespace: str) -> Key:
        return Key("LearningApp", namespace, "a")

    def object_at(self, cluster: Cluster, key: Key) -> Object:
        obj = cluster.get(key)
        assert obj is not None
        return obj

    async def write(self, cluster: Cluster, obj: Object, message: str) -> None:
        status = parse({**obj, "status": obj.get("status", {})}).status
        generation = obj["metadata"]["generation"]
        now = datetime(2027, 1, 15, tzinfo=UTC)
        await cluster.write_status(obj, done(status, generation=generation, message=message, now=now).document())

    async def test_a_status_is_seen_at_once_and_not_written_twice(
        self, hands: Hands, cluster: Cluster, key: Key
    ) -> None:
        stale = self.object_at(cluster, key)
        await self.write(cluster, stale, "first")
        seen = self.object_at(cluster, key)
        assert seen["status"]["conditions"][0]["message"] == "first"
        await self.write(cluster, stale, "first")
        await self.write(cluster, seen, "first")
        assert (await hands.read(*key[::2]))["metadata"]["resourceVersion"] == seen["metadata"]["resourceVersion"]

    async def test_conditions_of_others_survive_whatever_we_had_read(
        self, hands: Hands, cluster: Cluster, key: Key
    ) -> None:
        obj = self.object_at(cluster, key)
        foreign = {
            "type": "Audited",
            "status": "True",
            "reason": "Seen",
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2027-01-01T00:00:00Z",
        }
        where = ("learningapp", "a")
        await hands.patch(*where, {"status": {"conditions": [foreign]}}, subresource="/status")
        await self.write(cluster, obj, "first")  # read before the other wrote
        conditions = (await hands.read("learningapp", "a"))["status"]["conditions"]
        assert [item["type"] for item in conditions] == ["Ready", "Audited"]
        change = {"status": {"conditions": [conditions[0], {**foreign, "status": "False"}]}}
        await hands.patch(*where, change, subresource="/status")
        await self.write(cluster, self.object_at(cluster, key), "second")
        conditions = (await hands.read("learningapp", "a"))["status"]["conditions"]
        assert [(item["type"], item["status"]) for item in conditions] == [("Ready", "True"), ("Audited", "False")]
        assert conditions[0]["message"] == "second"

    async def test_what_is_about_a_past_generation_is_not_written_over_the_new_one(
        self, hands: Hands, cluster: Cluster, key: Key
    ) -> None:
        obj = self.object_at(cluster, key)
        where = ("learningapp", "a")
        await hands.patch(*where, {"spec": {"interval": "2h"}})
        await self.write(cluster, obj, "about the past")
        assert (await hands.read("learningapp", "a"))["status"] == {"observedGeneration": -1}
        news = {"observedGeneration": 1, "lastHandledReconcileAt": "always"}
        await cluster.write_status(obj, news, always=("lastHandledReconcileAt",))
        told = (await hands.read("learningapp", "a"))["status"]
        assert told == {"observedGeneration": -1, "lastHandledReconcileAt": "always"}

    async def test_what_is_gone_needs_no_status_and_no_second_deletion(
        self, hands: Hands, cluster: Cluster, key: Key
    ) -> None:
        obj = self.object_at(cluster, key)
        await hands.delete("learningapp", "a")
        await self.write(cluster, obj, "gone")
        await cluster.set_finalizer(obj, present=True)
        await until(lambda: cluster.get(key) is None)

    async def test_the_finalizer_comes_and_goes_and_keeps_those_of_others(
        self, hands: Hands, cluster: Cluster, key: Key
    ) -> None:
        stale = self.object_at(cluster, key)
        where = ("learningapp", "a")
        await hands.patch(*where, {"metadata": {"finalizers": ["test.homeroom.dev/other"]}})
        await cluster.set_finalizer(stale, present=True)
        found = (await hands.read("learningapp", "a"))["metadata"]["finalizers"]
        assert found == ["test.homeroom.dev/other", "homeroom.dev/cleanup"]
        assert self.object_at(cluster, key)["metadata"]["finalizers"] == found
        await hands.patch(*where, {"metadata": {"finalizers": ["homeroom.dev/cleanup"]}})
        await hands.delete("learningapp", "a")
        await until(lambda: "deletionTimestamp" in self.object_at(cluster, key)["metadata"])
        await cluster.set_finalizer(self.object_at(cluster, key), present=True)
        await cluster.set_finalizer(self.object_at(cluster, key), present=False)
        assert cluster.get(key) is None
        with pytest.raises(ServerError, match="not found"):
            await hands.read(*where)

    async def test_schools_are_made_changed_and_deleted(self, hands: Hands, cluster: Cluster) -> None:
        school = {
            "apiVersion": "homeroom.dev/v1alpha1",
            "kind": "School",
            "metadata": {"name": "lakeside-1", "namespace": hands.namespace},
            "spec": {"districtRef": {"name": "lakeside"}, "sourcedId": "s-001", "displayName": "North"},
        }
        key = Key("School", hands.namespace, "lakeside-1")
        await cluster.create(school)
        await cluster.create(school)
        made = self.object_at(cluster, key)
        await cluster.replace(made)
        assert (await hands.read("school", "lakeside-1"))["metadata"]["resourceVersion"] == (
            made["metadata"]["resourceVersion"]
        )
        await cluster.replace({**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}})
        assert (await hands.read("school", "lakeside-1"))["metadata"]["labels"] == {"a": "b"}
        with pytest.raises(ConflictError):
            await cluster.replace({**made, "metadata": {**made["metadata"], "labels": {"a": "c"}}})
        await hands.kubectl("delete", "school", "lakeside-1", f"--namespace={hands.namespace}")
        await cluster.create(school)
        await cluster.delete(made)  # another school of that name by now
        assert await hands.read("school", "lakeside-1")
        await until(lambda: cluster.get(key) is not None)
        await cluster.delete(self.object_at(cluster, key))
        assert cluster.list("School", hands.namespace) == []
        assert "lakeside-1" not in await hands.kubectl("get", "schools", f"--namespace={hands.namespace}")

    async def test_secrets_are_read_only_where_they_are_meant_for_us(self, hands: Hands, cluster: Cluster) -> None:
        here = f"--namespace={hands.namespace}"

        async def reason(name: str, namespace: str = hands.namespace) -> str:
            with pytest.raises(TransientError) as caught:
                await cluster.secret(namespace=namespace, name=name)
            assert "s3cret" not in caught.value.message
            return caught.value.reason

        assert await reason("kolibri") == "SecretNotFound"
        await hands.kubectl("create", "secret", "generic", "kolibri", here, "--from-literal=password=s3cret")
        assert await reason("kolibri") == "SecretNotLabelled"
        await hands.kubectl("label", "secret", "kolibri", here, "homeroom.dev/use=credentials")
        assert await cluster.secret(namespace=hands.namespace, name="kolibri") == {"password": "s3cret"}
        assert await reason("kolibri", "default") == "Forbidden"


class TestEvents:
    async def test_what_is_said_again_counts_up_one_event(self, hands: Hands, trivial: Trivial) -> None:
        await hands.apply(hands.app("a"))
        clock = JumpingClock()
        async with running(trivial, clock=clock) as operator:
            await until(lambda: trivial.ready() == 1)
            assert trivial.cluster is not None
            assert operator._leading is not None
            app = trivial.cluster.get(Key("LearningApp", hands.namespace, "a"))
            assert app is not None

            def say(message: str) -> None:
                assert trivial.cluster is not None
                assert app is not None
                trivial.cluster.event(app, warning=True, reason="TargetUnavailable", message=message)

            for _ in range(5):
                say("no answer")
            say("write to somebody@school.example")
            clock.pushed = 400.0
            say("no answer")
            await operator._leading.events.flush()
            found = json.loads(
                await hands.kubectl("get", "events.events.k8s.io", f"--namespace={hands.namespace}", "--output=json")
            )["items"]
        notes = {event["note"]: event for event in found}
        assert set(notes) == {"no answer", "write to ***@***"}
        assert notes["no answer"]["series"]["count"] == 6
        assert notes["no answer"]["type"] == "Warning"
        assert notes["no answer"]["regarding"]["name"] == "a"
        assert len(found) == 2


SCRIPT = """
import asyncio, sys
from collections import defaultdict
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from homeroom.operator.runtime import Reconcilers, Settings, main
from homeroom.reconcile.ports import Verdict
from homeroom.reconcile.routes import routes

folder, namespace = Path(sys.argv[1]), sys.argv[2]

@asynccontextmanager
async def build(cluster, clock, metrics):
    async def run(key):
        if key.namespace == namespace:
            (folder / "begun").touch()
            while not cluster.stopping():
                await asyncio.sleep(0.05)
            await cluster.write_status(cluster.get(key), {"observedGeneration": 1})
            (folder / "finished").touch()
        return Verdict()

    async def no_problems():
        return []

    yield Reconcilers(handlers=defaultdict(lambda: run), problems=no_problems)
    (folder / "closed").touch()

sys.exit(main(Settings(owner_id="test", host="127.0.0.1", port=0, startup_spread=0), build=build, routes=routes))
"""


class TestProcess:
    @pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
    async def test_a_signal_lets_runs_finish_and_frees_the_lease(
        self, hands: Hands, tmp_path: Path, sign: signal.Signals
    ) -> None:
        await hands.apply(hands.app("a"))
        with (tmp_path / "log").open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", SCRIPT, str(tmp_path), hands.namespace, stderr=stderr
            )
            await until((tmp_path / "begun").exists)
            process.send_signal(sign)
            assert await asyncio.wait_for(process.wait(), 30) == 0
        assert (tmp_path / "finished").exists()
        assert (tmp_path / "closed").exists()
        assert (await hands.read("learningapp", "a"))["status"]["observedGeneration"] == 1
        lease = json.loads(await hands.kubectl("get", "lease", "homeroom", f"--namespace={SYSTEM}", "--output=json"))
        assert lease["spec"].get("holderIdentity", "") == ""
        lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        assert lines[-1]["event"] == "the operator has stopped"
        assert errors(lines) == []

    async def test_a_lost_lease_ends_the_process_at_once_with_an_error(self, hands: Hands, tmp_path: Path) -> None:
        await hands.apply(hands.app("a"))
        with (tmp_path / "log").open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", SCRIPT, str(tmp_path), hands.namespace, stderr=stderr
            )
            await until((tmp_path / "begun").exists)
            await hands.kubectl("patch", "lease", "homeroom", f"--namespace={SYSTEM}", "--type=merge", STOLEN)
            assert await asyncio.wait_for(process.wait(), 30) == 1
        assert not (tmp_path / "finished").exists()
        lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        assert "lost" in lines[-1]["error"]
