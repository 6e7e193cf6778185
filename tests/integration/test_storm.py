"""A storm over a pool: several people change its licences, all at once, and the operator is killed in the middle.

What anybody could have read at any moment is judged. Watches tell every version of every object, and resourceVersions
are the order in which the API server took them, so the history of a storm is replayed, and looked at after each write:
no watcher, however lucky, can have seen anything else. Judged is only what the API server says, and what a real Kolibri
holds, which one of the schools has: few seats, many students, and a LearningApp that goes by the seats.

Kolibri follows the seats with each run of the app, so a student who is in class there holds a seat, or has held one
since the app's last run began. Nobody outside knows who, so seats are counted: see `History.beyond`.

`make storm` has more licences; `HOMEROOM_STORM_SEED` is another storm.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from homeroom.api import GROUP, KINDS
from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.kolibri import Kolibri, installed
from homeroom.demo.server import default_cache
from homeroom.demo.stage import RECORDS, REPOSITORY, SYSTEM, Records, Stage, condition, message
from homeroom.seats.arbiter import Claim, Pool, arbitrate

from .stage_fixtures import held

pytestmark = pytest.mark.integration

LICENCES: Final = int(os.environ.get("HOMEROOM_STORM", "500"))
SEED: Final = int(os.environ.get("HOMEROOM_STORM_SEED", "1"))
MINUTES: Final = max(5, LICENCES // 250)
"""How long anything may take, also on a machine that does much else; as many statuses are waited for as licences."""
WRITERS: Final = 4
KILLS: Final = 3
GRACE: Final = "0s" if SEED % 2 else "7d"
"""How long a student who left keeps the seat: in one storm not at all, in the next longer than it lasts."""
PACE: Final = 0.05
"""Seconds from one change of a writer to its next: people and their tools go on also while the operator is down."""
SCHOOLS: Final = LICENCES // 20
STUDENTS: Final = 40
"""Students of each school: fewer than its licences request, and more than those of a school with Kolibri do."""
SHARED: Final = 1
"""Schools with Kolibri, each with two licences."""
SEATS: Final = LICENCES * 6
"""What the pool begins with: half of what the licences request."""
JSON: Final = "application/json"
MERGE: Final = "application/merge-patch+json"

Json = dict[str, Any]


class Api:
    """The API server, as an administrator's tool sees it; of one namespace."""

    def __init__(self, url: str, session: aiohttp.ClientSession, namespace: str) -> None:
        self._url, self._session, self._namespace = url, session, namespace

    async def ask(self, method: str, kind: str, name: str = "", *, body: Json | None = None, how: str = JSON) -> Json:
        """The answer; one that refuses is an answer too: others may have made, or deleted, the same object."""
        data = None if body is None else json.dumps(body)
        path = f"{self._place(kind)}/{name}".rstrip("/")
        while True:
            async with self._session.request(method, path, data=data, headers={"Content-Type": how}) as response:
                answer: Json = await response.json()
            if response.status != 429:  # it is busy, or a CRD is so young that it cannot be watched yet
                assert response.status in {200, 201, 202, 404, 409}, answer
                return answer
            await asyncio.sleep(0.2)

    async def watch(self, kind: str, since: str) -> AsyncIterator[Json]:
        """Every change of the objects of a kind after a version.

        The API server ends a watch when it likes, and surely when a young CRD settles; the next goes on where it ended.
        """
        forever = aiohttp.ClientTimeout(total=None)
        while True:
            params = {"watch": "1", "resourceVersion": since}
            async with self._session.get(self._place(kind), params=params, timeout=forever) as response:
                if response.status == 200:
                    async for line in response.content:
                        event: Json = json.loads(line)
                        assert event["type"] != "ERROR", event  # above all "too old": then some would be missing
                        since = event["object"]["metadata"]["resourceVersion"]
                        yield event
                else:
                    assert response.status in {404, 429, 503}, await response.text()  # as long as it settles
            await asyncio.sleep(0.2)

    def _place(self, kind: str) -> str:
        return f"{self._url}/apis/{GROUP}/v1alpha1/namespaces/{self._namespace}/{KINDS[kind].plural}"


@dataclass(frozen=True, slots=True)
class Version:
    """What somebody could read of an object from one revision on; `gone`: that it is not there."""

    revision: int
    kind: str
    name: str
    uid: str
    generation: int
    observed: int
    seats: int
    school: str
    granted: int
    used: int
    going: bool
    gone: bool

    @classmethod
    def of(cls, event: Json) -> Version:
        obj = event["object"]
        meta, spec, status = obj["metadata"], obj["spec"], obj.get("status", {})
        return cls(
            revision=int(meta["resourceVersion"]),
            kind=obj["kind"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta["generation"],
            observed=status.get("observedGeneration", -1),
            seats=spec["seats"],
            school=spec.get("school", ""),
            granted=status.get("granted", 0),
            used=status.get("used", 0),
            going="deletionTimestamp" in meta,
            gone=event["type"] == "DELETED",
        )


@dataclass(slots=True)
class History:
    """All versions of a pool and its licences that ever were, as the watches told them."""

    versions: list[Version] = field(default_factory=list)
    told: int = 0
    """How often a status of a licence was written."""
    _last: dict[str, Version] = field(default_factory=dict)

    def add(self, event: Json) -> None:
        version = Version.of(event)
        before = self._last.get(version.uid)
        if version.kind == "SchoolLicense" and before is not None and before.generation == version.generation:
            self.told += 1
        self._last[version.uid] = version
        self.versions.append(version)

    def broken(self, departures: Mapping[str, int]) -> list[str]:
        """What was not as it has to be at some moment. `departures`: students that each school lost meanwhile.

        Until the pool says that it has taken up an edit of its seats, it may go by those before or those after.
        """
        found: list[str] = []
        licences: dict[str, Version] = {}
        seats: dict[int, int] = {}
        observed, granted, used = -1, 0, 0
        taken: Counter[str] = Counter()
        for now in sorted(self.versions, key=lambda version: version.revision):
            if now.kind == "LicensePool":
                seats[now.generation], observed = now.seats, now.observed
            else:
                before = licences.pop(now.uid, None)
                if before is not None:
                    granted, used = granted - before.granted, used - before.used
                    if not now.going:  # to delete it is to take what it gave
                        taken[now.school] += max(before.used - now.used, 0)
                if not now.gone:
                    licences[now.uid] = now
                    granted, used = granted + now.granted, used + now.used
            if now.used > now.granted and now.kind == "SchoolLicense":
                found.append(f"{now.revision}: {now.name} has {now.used} seats in use, and only {now.granted} granted")
            most = max((number for generation, number in seats.items() if generation >= observed), default=0)
            if granted > max(most, used):
                found.append(f"{now.revision}: {granted} seats are granted of {most}, {used} in use ({now.name})")
        found += [
            f"{number} seats in use of {school} were taken away, and only {departures[school]} students left"
            for school, number in taken.items()
            if number > departures[school]
        ]
        return found

    def beyond(self, moments: Sequence[Moment], runs: Sequence[Run], published: Sequence[Published]) -> list[str]:
        """Where more students were in class at some moment than there were seats for them. `runs`: of app and pool.

        The app's last run that was over at that moment has taken out of class whoever held no seat when it was asked
        for, or later; the next run of the pool will have told all seats that were given until then. Whoever is in class
        has held a seat in between: of each licence no more people than it was granted at most, and those to whom it
        passed when somebody left. A licence that was deleted may have been killed before it told what it was granted.
        """
        found = []
        told = sorted((one for one in self.versions if one.kind == "SchoolLicense"), key=lambda one: one.revision)
        of_school = {school: [one for one in told if one.school == school] for school in moments[0].learners}
        for moment in moments:
            since = max(
                (run.since for run in runs if run.kind == "LearningApp" and run.over <= moment.began), default=0
            )
            until = min(
                (run.until for run in runs if run.kind == "LicensePool" and run.asked >= moment.ended), default=0
            )
            if not until:
                break  # the storm was over
            first = max((number for number, one in enumerate(published) if one.revision <= since), default=0)
            for school, here in moment.learners.items():
                seats = _most(of_school[school], since, until)
                left = sum(one.left[school] for one in published[first:] if one.revision <= until)
                if here > seats + left:
                    found.append(f"{since} to {until}: {here} in class in {school} with {seats} seats, {left} left")
        return found


def _most(versions: Sequence[Version], since: int, until: int) -> int:
    """The seats of licences from one revision to another: of each the most that it was seen with, added up."""
    most: dict[str, int] = {}
    for now in versions:
        if now.revision > until:
            break
        shown = max(now.granted, now.seats) if now.going or now.gone else now.granted
        if now.revision <= since:
            most[now.uid] = 0 if now.gone else shown
        else:
            most[now.uid] = max(shown, most.get(now.uid, 0))
    return sum(most.values())


@dataclass(frozen=True, slots=True)
class Moment:
    """A look at Kolibri: between when and when, and how many students were in class in each school."""

    began: float
    ended: float
    learners: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was asked for and went well: when and at which revision that was, and it was seen to be over."""

    kind: str
    asked: float
    since: int
    over: float
    until: int


@dataclass(frozen=True, slots=True)
class Published:
    """The revision before an export was published, and how many students of each school have left with it."""

    revision: int
    left: Mapping[str, int]


class District:
    """The records of the district: each school has one class with its teacher; students come and go."""

    def __init__(self, schools: int, dice: random.Random) -> None:
        self.schools = [f"w-{number:03}" for number in range(schools)]
        self.shared = self.schools[:SHARED]
        self.departures: Counter[str] = Counter()
        self._dice = dice
        self._records = Records(RECORDS)
        self._away: set[str] = set()
        records = self._records
        for school in self.schools:
            records.add("orgs", sourcedId=school, name=f"School {school}", type="school", parentSourcedId="d-1")
            records.add(
                "classes",
                sourcedId=f"c-{school}",
                title="1a",
                grades="01",
                courseSourcedId="co-HR-KG",
                classType="homeroom",
                schoolSourcedId=school,
                termSourcedIds="sy-2027",
            )
            for number in range(STUDENTS + 1):
                person = f"p-{school}-{number}"
                role = "student" if number else "teacher"
                names = {"givenName": f"Given{number}", "familyName": f"Family{school}"}
                records.add("users", sourcedId=person, enabledUser="true", username=person, grades="01", **names)
                records.add(
                    "roles",
                    sourcedId=f"r-{person}",
                    userSourcedId=person,
                    roleType="primary",
                    role=role,
                    orgSourcedId=school,
                )
                records.add(
                    "enrollments",
                    sourcedId=f"e-{person}",
                    classSourcedId=f"c-{school}",
                    schoolSourcedId=school,
                    userSourcedId=person,
                    role=role,
                )

    def students(self, school: str) -> int:
        """How many there are now."""
        return STUDENTS - sum(person.startswith(f"p-{school}-") for person in self._away)

    def change(self) -> Counter[str]:
        """Of some schools other students are away than before; how many of each have left."""
        left = Counter[str]()
        for school in [*self._dice.sample(self.schools[SHARED:], 2), self._dice.choice(self.shared)]:
            here = {f"p-{school}-{number}" for number in range(1, STUDENTS + 1)}
            away = set(self._dice.sample(sorted(here), self._dice.randrange(6)))
            left[school] = len(away - self._away)
            self._away = (self._away - here) | away
        self.departures += left
        return left

    def published(self) -> bytes:
        """The export as it is now: who is away is enrolled nowhere."""
        every = self._records.files["enrollments"]
        here = [row for row in every if row["userSourcedId"] not in self._away]
        self._records.files["enrollments"] = here
        export = self._records.zipped()
        self._records.files["enrollments"] = every
        return export


class Storm:
    """One pool with its licences, those who change it, and who looks on."""

    def __init__(self, api: Api, stage: Stage) -> None:
        self.api, self.stage = api, stage
        self.history = History()
        self.approved: set[str] = set()
        self.district = District(SCHOOLS, random.Random(SEED))
        self.moments: list[Moment] = []
        self.runs: list[Run] = []
        self.changes: list[Published] = []
        self._names = [f"licence-{number:04}" for number in range(LICENCES)]
        self.shared = dict(zip(self._names, [*self.district.shared, *self.district.shared], strict=False))
        """The schools of the licences whose students have Kolibri."""
        self._over = False

    @asynccontextmanager
    async def blowing(self) -> AsyncIterator[None]:
        """Declare all of it and look on; within the block, it is changed by several people at once."""
        dice = random.Random(SEED)
        empty = {kind: await self.api.ask("GET", kind) for kind in ("LicensePool", "SchoolLicense")}
        async with asyncio.TaskGroup() as watching:
            lookers = [
                watching.create_task(self._look_on(kind, found["metadata"]["resourceVersion"]))
                for kind, found in empty.items()
            ]
            lookers.append(watching.create_task(self._approve()))
            await self._declare(dice)
            lookers.append(watching.create_task(self._look_at_kolibri()))
            lookers.append(watching.create_task(self._ask("LearningApp", "kolibri", _is_in_step)))
            lookers.append(watching.create_task(self._ask("LicensePool", "seats", _has_told)))
            await self.in_class()
            async with asyncio.TaskGroup() as writing:
                for _ in range(WRITERS):
                    writing.create_task(self._write(random.Random(dice.random())))
                writing.create_task(self._teach())
                try:
                    yield
                finally:
                    self._over = True
            for name in self.shared:
                await self._create_licence(name, dice)
            await self.settled()
            await self.in_step()
            for looker in lookers:
                looker.cancel()

    async def settled(self) -> None:
        """Wait until every status is what is right for what is declared now."""
        wrong: list[str] = []

        async def right() -> bool:
            wrong[:] = self._wrong(await self.api.ask("GET", "LicensePool", "seats"), await self.licences())
            return not wrong

        await until("the storm settled", right, lambda: "; ".join(wrong[:9]))

    async def in_class(self) -> None:
        """Wait until Kolibri has students of every school that it is for, and a run of the app was seen to be over."""

        async def some() -> bool:
            is_over = any(run.kind == "LearningApp" for run in self.runs)
            return is_over and all(self.moments[-1].learners.values())

        await until("students were in class", some, lambda: f"{self.moments[-1:]}", minutes=MINUTES + 3)

    async def in_step(self) -> None:
        """Wait until Kolibri holds whom the licences say to have seated; a school's leavers only hold seats."""
        seen: list[Mapping[str, int]] = []

        async def same() -> bool:
            licences = await self.licences()
            seen[:] = (
                self.moments[-1].learners,
                {
                    school: sum(obj["status"]["used"] for obj in licences if obj["spec"]["school"] == school)
                    for school in self.district.shared
                },
            )
            here, used = seen
            return here == used if GRACE == "0s" else all(here[each] <= used[each] for each in used)

        await until("Kolibri came in step", same, lambda: f"in class, and seats in use: {seen}", minutes=MINUTES + 3)

    def _wrong(self, pool: Json, licences: list[Json]) -> list[str]:
        """What is not as the arbiter has it, told what every licence says of itself."""
        if going := [_name(obj) for obj in licences if "deletionTimestamp" in obj["metadata"]]:
            return [f"{name} is still there" for name in going]
        late = [_name(obj) for obj in (pool, *licences) if not _is_observed(obj)]
        if late:
            return [f"nothing is said yet of {name}" for name in late]
        claims = [claim_of(obj) for obj in licences]
        shares = arbitrate(Pool(seats=pool["spec"]["seats"]), claims, today=datetime.now(UTC).date())
        wrong = []
        for claim, obj in zip(claims, licences, strict=True):
            grant, said = shares.grants[claim.key], (claim.previous, _reason(obj))
            if said != (grant.seats, grant.reason.value):
                wrong.append(f"{claim.name}: {said} instead of {grant}")
        totals, told = (shares.granted, shares.used), (pool["status"]["granted"], pool["status"]["used"])
        if told != totals:
            wrong.append(f"the pool says {told} instead of {totals}")
        for school in self.district.schools:
            mine = [obj["status"] for obj in licences if obj["spec"]["school"] == school]
            seats, used = sum(status["granted"] for status in mine), sum(status["used"] for status in mine)
            here = self.district.students(school)
            if used < min(here, seats) or (GRACE == "0s" and used > here):
                wrong.append(f"{school}: {seats} seats and {here} students, but {used} of them are seated")
        return wrong

    async def licences(self) -> list[Json]:
        """All licences as they are now."""
        found: list[Json] = (await self.api.ask("GET", "SchoolLicense"))["items"]
        return [{**obj, "kind": "SchoolLicense"} for obj in found]

    async def _look_on(self, kind: str, since: str) -> None:
        async for event in self.api.watch(kind, since):
            self.history.add(event)

    async def _look_at_kolibri(self) -> None:
        while True:
            began, state = time.monotonic(), await asyncio.to_thread(held, self.stage)
            learners = {
                school: sum(
                    role == "learner" for room in state.get(f"School {school}", {}).values() for _, role in room
                )
                for school in self.district.shared
            }
            self.moments.append(Moment(began, time.monotonic(), learners))
            await asyncio.sleep(0.2)

    async def _ask(self, kind: str, name: str, went_well: Callable[[Json], bool]) -> None:
        """Ask for a run, wait until it is over, and so on; kept are those that went well."""
        for number in itertools.count():
            token = {"metadata": {"annotations": {f"{GROUP}/reconcile-at": str(number)}}}
            asked = time.monotonic()
            since = int((await self.api.ask("PATCH", kind, name, body=token, how=MERGE))["metadata"]["resourceVersion"])
            while True:
                found = await self.api.ask("GET", kind, name)
                if found.get("status", {}).get("lastHandledReconcileAt") == str(number):
                    break
                await asyncio.sleep(0.2)
            if went_well(found["status"]):
                over = Run(kind, asked, since, time.monotonic(), int(found["metadata"]["resourceVersion"]))
                self.runs.append(over)
            await asyncio.sleep(0.5)

    async def _approve(self) -> None:
        """Somebody finds right what is held: many licences go in a storm."""
        while True:
            for kind in ("LicensePool", "LearningApp"):
                for obj in (await self.api.ask("GET", kind))["items"]:
                    for hold in obj.get("status", {}).get("holds", ()):
                        target = {"kind": kind, "name": obj["metadata"]["name"]}
                        spec = {"targetRef": target, "hold": hold["id"], "reason": "a storm"}
                        await self._create("Approval", hold["id"], spec)
                        self.approved |= {hold["id"]} if kind == "LicensePool" else set()
            await asyncio.sleep(0.5)

    async def _declare(self, dice: random.Random) -> None:
        """The records, the pool, and half of the licences."""
        self.stage.publish(self.district.published())
        source = {"oneRosterCSV": {"url": "file:export.zip"}}
        guard = {"maxDeletes": "100%", "maxUpdates": "100%", "maxIdentityChanges": "100%"}
        sync = {"mode": "Interval", "interval": "1h"}
        await self._create("District", "storm", {"timeZone": "UTC", "source": source, "guard": guard, "sync": sync})
        units = [{"code": school, "name": f"School {school}"} for school in self.district.schools]
        spec = {"seats": SEATS, "timeZone": "UTC", "grace": GRACE, "unitRegistry": {"type": "Inline", "units": units}}
        await self._create("LicensePool", "seats", spec)
        target = {"kolibri": {"url": self.stage.kolibri.url, "secretRef": {"name": "kolibri"}}}
        app = {"districtRef": {"name": "storm"}, "target": target, "seating": {"poolRef": {"name": "seats"}}}
        await self._create("LearningApp", "kolibri", {**app, "firstSync": "Automatic", "guard": guard})
        match = [{"key": "school", "operator": "In", "values": self.district.shared}]
        await self._create("SharingRule", "all", {"appRef": {"name": "kolibri"}, "share": "Sections", "match": match})
        for name in {**self.shared, **dict.fromkeys(self._names[::2])}:
            await self._create_licence(name, dice)

    async def _write(self, dice: random.Random) -> None:
        while not self._over:
            name, chance = dice.choice(self._names), dice.random()
            if chance < 0.35:
                await self._create_licence(name, dice)
            elif chance < 0.7:
                await self._resize("SchoolLicense", name, self._size(name, dice))
            elif chance < 0.997:
                await self.api.ask("DELETE", "SchoolLicense", name)
            else:
                await self._resize("LicensePool", "seats", dice.randrange(SEATS // 2, SEATS * 3 // 2))
            await asyncio.sleep(PACE)

    async def _teach(self) -> None:
        """Students come and go; each time the records are read, and only then they change again."""
        for number in itertools.count():
            token = str(number)

            async def read(token: str = token) -> bool:
                status = (await self.api.ask("GET", "District", "storm")).get("status", {})
                return self._over or status.get("lastHandledReconcileAt") == token

            revision = int((await self.api.ask("GET", "District", "storm"))["metadata"]["resourceVersion"])
            self.changes.append(Published(revision, self.district.change()))
            self.stage.publish(self.district.published())
            asked = {"metadata": {"annotations": {f"{GROUP}/reconcile-at": token}}}
            await self.api.ask("PATCH", "District", "storm", body=asked, how=MERGE)
            await until("the records were read", read)
            if self._over:
                return

    async def _create_licence(self, name: str, dice: random.Random) -> None:
        school = self.shared.get(name) or dice.choice(self.district.schools[SHARED:])
        place = {"schoolUnit": school, "school": school, "districtRef": {"name": "storm"}, "access": "Automatic"}
        spec = {
            "poolRef": {"name": "seats"},
            "seats": self._size(name, dice),
            "priority": dice.choice([0, 0, 0, 1]),
            **place,
        }
        await self._create("SchoolLicense", name, spec)

    async def _create(self, kind: str, name: str, spec: Json) -> None:
        obj = {"apiVersion": f"{GROUP}/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        await self.api.ask("POST", kind, body=obj)

    async def _resize(self, kind: str, name: str, seats: int) -> None:
        await self.api.ask("PATCH", kind, name, body={"spec": {"seats": seats}}, how=MERGE)

    def _size(self, name: str, dice: random.Random) -> int:
        """Mostly a school's size, sometimes below what is in use, now and then a slip of the finger."""
        if name in self.shared:
            return dice.randint(1, STUDENTS // 5)
        return dice.choice(
            [dice.randint(10, 40), dice.randint(10, 40), dice.randint(1, 5), 9999 if dice.random() < 0.1 else 20]
        )


def _is_in_step(status: Json) -> bool:
    """Whether the app has done all that it had to, and knew the seats."""
    return condition(status, "Ready") == condition(status, "SeatsKnown") == "True"


def _has_told(status: Json) -> bool:
    """Whether a run of the pool came to its end."""
    return message({"status": status}).partition(":")[0] in {"Succeeded", "HeldForApproval", "OverAllocated"}


async def until(
    what: str, condition: Callable[[], Awaitable[bool]], why: Callable[[], str] = str, *, minutes: int = MINUTES
) -> None:
    """Wait until it holds; fails after so many minutes, naming `what`, and `why` not."""
    deadline = time.monotonic() + 60 * minutes
    while not await condition():
        assert time.monotonic() < deadline, f"{what}: not within {minutes} minutes; {why()}"
        await asyncio.sleep(0.2)


@pytest.fixture
async def storm(
    controlplane: ControlPlane,
    base: Path,  # noqa: ARG001 - CRDs, rights
    namespace: str,
    tmp_path: Path,
) -> AsyncIterator[Storm]:
    with Kolibri(installed(default_cache()), tmp_path / "kolibri", quick=True) as kolibri:
        async with _storm(controlplane, kolibri, namespace, tmp_path) as storm:
            yield storm


@asynccontextmanager
async def _storm(controlplane: ControlPlane, kolibri: Kolibri, namespace: str, directory: Path) -> AsyncIterator[Storm]:
    stage = Stage(
        kubectl=controlplane.kubectl,
        plane=controlplane,
        kubeconfig=lambda: controlplane.kubeconfig_for(SYSTEM, "homeroom"),
        kolibri=kolibri,
        directory=directory,
        namespace=namespace,
        options=("--no-lease",),  # a killed leader's Lease would have to run out first
    )
    stage.apply_secret()
    tenant = REPOSITORY / "manifests" / "components" / "tenant" / "rolebinding.yaml"
    stage.kubectl("apply", "--namespace", namespace, "--filename", str(tenant))
    context = ssl.create_default_context(cafile=controlplane.ca)
    context.load_cert_chain(controlplane.directory / "admin.pem")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        storm = Storm(Api(controlplane.url, session, namespace), stage)
        yield storm
        stage.kill()


async def test_at_every_moment_of_a_storm_grants_are_within_the_pool_and_never_below_use(
    storm: Storm, controlplane: ControlPlane
) -> None:
    dice, stage = random.Random(SEED), storm.stage
    stage.start()
    async with storm.blowing():
        for _ in range(KILLS):
            point = storm.history.told + dice.randrange(1, LICENCES)

            async def reached(point: int = point) -> bool:
                return storm.history.told >= point

            await until("the operator was at work", reached, lambda: f"statuses of licences: {storm.history.told}")
            stage.kill()
            stage.start()

        async def asked() -> bool:
            used = [obj["metadata"]["name"] for obj in await storm.licences() if obj.get("status", {}).get("used")]
            for name in [name for name in used if name not in storm.shared][:5]:
                await storm.api.ask("DELETE", "SchoolLicense", name)
            return bool(storm.approved)

        await until("so many in use were deleted that somebody was asked", asked)
    assert storm.history.broken(storm.district.departures) == []
    assert storm.history.beyond(storm.moments, storm.runs, storm.changes) == []

    claims = [claim_of(obj) for obj in await storm.licences()]
    for claim in claims:  # R17, for each at once: nobody leaves, so nobody loses a seat
        await storm.api.ask("PATCH", "SchoolLicense", claim.name, body={"spec": {"seats": 1}}, how=MERGE)
    await storm.settled()
    after = {claim.key: claim.used for claim in map(claim_of, await storm.licences())}
    assert [claim.key for claim in claims if after[claim.key] < claim.used] == []

    revision = 0

    async def quiet() -> bool:
        nonlocal revision
        before, revision = revision, controlplane.etcd_revision()
        await asyncio.sleep(2)
        return not any(f"/{stage.namespace}/" in key for key in controlplane.written_since(before))

    await until("nothing was written any more", quiet)
    last = stage.last_run("LicensePool", "seats")
    assert stage.stop() == 0
    revision = controlplane.etcd_revision()
    stage.start()

    async def again() -> bool:
        return stage.last_run("LicensePool", "seats") > last

    await until("the pool has run again", again)
    assert [key for key in controlplane.written_since(revision) if f"/{stage.namespace}/" in key] == []


def claim_of(obj: Json) -> Claim:
    """A licence as its pool's arbiter takes it, by what it says of itself."""
    meta, spec, status = obj["metadata"], obj["spec"], obj["status"]
    return Claim(
        namespace=meta["namespace"],
        name=meta["name"],
        unit=spec["schoolUnit"],
        requested=spec["seats"],
        created=datetime.fromisoformat(meta["creationTimestamp"]),
        priority=spec.get("priority", 0),
        previous=status["granted"],
        used=status["used"],
    )


def _name(obj: Json) -> str:
    return f"{obj['kind']}/{obj['metadata']['name']}"


def _is_observed(obj: Json) -> bool:
    return bool(obj.get("status", {}).get("observedGeneration") == obj["metadata"]["generation"])


def _reason(obj: Json) -> str:
    return next(str(item["reason"]) for item in obj["status"]["conditions"] if item["type"] == "SeatsGranted")
