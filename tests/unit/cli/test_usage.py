"""`homeroom usage`: who uses the seats, counted, shown and written, with a target in memory."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
from tests.unit.stores import open_store

from homeroom.cli import options
from homeroom.cli.files import read_export
from homeroom.cli.handout import PERSONAL_DATA
from homeroom.errors import IncompleteReadError
from homeroom.roster.desired import FULL_NAME
from homeroom.roster.owned import LEDGER_SCHEMA
from homeroom.roster.state import Actual
from homeroom.seats.assignment import SEATS_SCHEMA
from homeroom.seats.forecast import school_year
from homeroom.seats.keys import Connected
from homeroom.seats.usage import NOTICED_SCHEMA, RECLAIMED_SCHEMA
from homeroom.sources import write
from homeroom.store import GRANTS_SCHEMA, LICENCE_DAYS_SCHEMA, Accepted, Day, LicenceName, Seating
from homeroom.targets import ACTIVITY_SCHEMA

from .conftest import RECORDS, TREE, Homeroom, Said, Shelf

NOW: Final = datetime.now(UTC).replace(hour=12)  # activity is held against the real clock
PLACE: Final = "lakeside/lakeside"
TEACHER: Final = "t-2"
"""Teaches section c-8 and nothing else."""
HOSTILE: Final = "<b>&\"'"
LICENCE: Final = """
apiVersion: homeroom.dev/v1alpha1
kind: SchoolLicense
metadata: {{name: {name}, namespace: lakeside}}
spec: {{poolRef: {{name: {pool}}}, schoolUnit: {unit}, seats: 40, access: Automatic, districtRef: {{name: lakeside}}}}
"""


POOL: Final = """
apiVersion: homeroom.dev/v1alpha1
kind: LicensePool
metadata: {name: seats, namespace: lakeside}
spec:
  seats: 100
  timeZone: Europe/Amsterdam
  inactiveAfter: 10d
  unitRegistry: {type: Source, districtRef: {name: lakeside}}
"""


@pytest.fixture(scope="module")
def pupils() -> list[str]:
    """Students of section c-8, by id."""
    roster = read_export(RECORDS, previous=None).roster
    rows = roster.enrollments.filter(
        (pl.col("class") == roster.classes["id"].index_of("c-8")) & (pl.col("role") == "student")
    )
    return sorted(roster.users["id"].gather(rows["user"]))


class World:
    """The example with a pool: licences for s-001 (20 of 40 seats used) and s-002, and one that is not declared."""

    def __init__(self, tmp_path: Path, shelf: Shelf) -> None:
        self.shelf, self.files = shelf, tmp_path / "tree"
        self.files.mkdir()
        for path in TREE.glob("*.yaml"):
            text = path.read_text().replace("policy: Sync", "policy: Sync\n  seating: {poolRef: {name: seats}}")
            (self.files / path.name).write_text(text)
        licences = (("rowan", "seats", "s-001"), ("sable", "seats", "s-002"), ("other", "elsewhere", "s-003"))
        (self.files / "licences.yaml").write_text(
            "---".join(LICENCE.format(name=name, pool=pool, unit=unit) for name, pool, unit in licences)
        )
        data = tmp_path / "data"
        self.store = open_store(data)
        place = {"namespace": "lakeside", "district": "lakeside"}
        snapshot = read_export(RECORDS, previous=None)
        write(snapshot, self.store.snapshots(**place))
        accepted = Accepted(digest=snapshot.digest, accepted_at=NOW, validator=None, spec_digest="")
        self.store.accept(accepted, **place, epoch=1)
        self.digest = snapshot.digest
        self.own(("School", "s-001", "s-001", None))

    def seat(self, *, digest: str | None = None, **students: list[str]) -> None:
        """Students by licence."""
        held = sorted((student, licence) for licence, ids in students.items() for student in ids)
        rows = [(PLACE, student, f"lakeside/{licence}", NOW.date(), None) for student, licence in held]
        grants = [(f"lakeside/{licence}", 40, None) for licence in sorted({"rowan", "sable", *students})]
        seating = Seating(
            grants=pl.DataFrame(grants, GRANTS_SCHEMA, orient="row"),
            seats=pl.DataFrame(rows, SEATS_SCHEMA, orient="row"),
            records={PLACE: digest or self.digest},
        )
        self.store.save_seating(seating, namespace="lakeside", pool="seats", epoch=1)

    def own(self, *rows: tuple[str, str, str, str | None]) -> None:
        """What the operator has made in the app: kind, school, source id, user name."""
        frame = pl.DataFrame(
            [(kind, school, key, "x", username) for kind, school, key, username in rows], LEDGER_SCHEMA, orient="row"
        )
        self.store.own(frame, namespace="lakeside", app="kolibri", epoch=1)

    def told(self, **last: tuple[datetime | None, datetime | None]) -> None:
        """Last login and interaction, by person (`_` for `-`)."""
        rows = [("s-001", key.replace("_", "-"), f"a-{key}", *moments) for key, moments in last.items()]
        self.shelf.told = pl.DataFrame(rows, ACTIVITY_SCHEMA, orient="row")

    def options(self) -> tuple[object, ...]:
        return ("-f", self.files, "--owner-id", "us")


@pytest.fixture
def world(tmp_path: Path, shelf: Shelf) -> Iterator[World]:
    world = World(tmp_path, shelf)
    yield world
    world.store.close()


def document(homeroom: Homeroom, world: World, *more: object) -> dict[str, Any]:
    said = homeroom("usage", "kolibri", *world.options(), *more, "-o", "json")
    assert (said.code, said.err) == (0, "")
    return dict(json.loads(said.out))


def of(found: dict[str, Any], part: str, name: str) -> dict[str, Any]:
    (row,) = (row for row in found[f"{part}s"] if row[part] == name)
    return dict(row)


def test_r3_r25_seats_used_and_active_students_per_licence(homeroom: Homeroom, world: World, pupils: list[str]) -> None:
    one, two, three, *_ = pupils
    gone = (None, NOW - timedelta(days=1))
    world.seat(rowan=[one, two, three], former=["u-999"])
    world.told(
        **{
            one.replace("-", "_"): (NOW - timedelta(days=80), None),
            two.replace("-", "_"): (NOW - timedelta(days=120), NOW - timedelta(days=1)),
            three.replace("-", "_"): (NOW - timedelta(days=120), None),
            "u_999": gone,
        }
    )
    found = document(homeroom, world)
    rowan = of(found, "licence", "lakeside/rowan")
    assert (rowan["unit"], rowan["granted"], rowan["used"]) == ("s-001", 40, 3)
    assert (rowan["active"], rowan["unknown"]) == (2, 0)
    assert rowan["demand"] - rowan["waiting"] == 3
    assert of(found, "licence", "lakeside/sable")["used"] == 0
    former = of(found, "licence", "lakeside/former")
    assert (former["unit"], former["used"], former["active"], former["demand"]) == (None, 1, 1, 0)
    assert [row["licence"] for row in found["licences"]] == ["lakeside/former", "lakeside/rowan", "lakeside/sable"]
    totals = found["totals"]
    assert (totals["granted"], totals["used"], totals["active"], totals["unknown"]) == (120, 4, 3, 0)
    assert found["notes"] == []
    assert found["activeSince"] < found["today"]
    shorter = document(homeroom, world, "--inactive-after", "30d")
    assert (of(shorter, "licence", "lakeside/rowan")["active"], shorter["totals"]["active"]) == (1, 2)
    lines = homeroom("usage", "kolibri", *world.options()).out.splitlines()
    assert lines[1] == "seats: 4 used of 120 that are granted"
    assert lines[2].startswith("active: 3 (75 %) of 4 students who hold a seat, since ")


def test_r22_r23_last_login_and_active_students_per_teacher(
    homeroom: Homeroom, world: World, pupils: list[str]
) -> None:
    world.seat(rowan=pupils[:4])
    active = {pupil.replace("-", "_"): (NOW, None) for pupil in pupils[:3]}
    inactive = {pupils[3].replace("-", "_"): (None, None), pupils[4].replace("-", "_"): (NOW, None)}
    login = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    world.told(**active, **inactive, t_2=(login, NOW), t_1=(None, NOW))
    found = document(homeroom, world)
    assert of(found, "teacher", TEACHER) == {
        "licence": "lakeside/rowan",
        "teacher": TEACHER,
        "known": True,
        "lastLogin": "2026-03-02",  # where the district is
        "students": 4,
        "active": 3,
        "unknown": 0,
    }
    first, other = of(found, "teacher", "t-1"), of(found, "teacher", "t-3")
    assert (first["known"], first["lastLogin"], first["students"]) == (True, None, 0)
    assert (other["known"], other["lastLogin"]) == (False, None)
    lines = homeroom("usage", "kolibri", *world.options()).out.splitlines()
    rows = {line.split()[1]: line.split(None, 2)[2] for line in lines if line.startswith("lakeside/rowan   t-")}
    assert re.split(r" {2,}", rows[TEACHER]) == ["2026-03-02", "4", "3", "0", "75 %"]
    assert (rows["t-1"].split()[0], rows["t-3"].split()[0]) == ("never", "unknown")


def test_of_a_licence_with_a_key_only_whom_the_key_connected(
    homeroom: Homeroom, world: World, pupils: list[str]
) -> None:
    licences = world.files / "licences.yaml"
    licences.write_text(licences.read_text().replace("access: Automatic", "access: Key", 1))
    rowan, digest = LicenceName("lakeside", "rowan"), "1" * 64
    world.store.licences.make_keys({rowan: digest}, at=NOW, epoch=1)
    world.store.licences.connect(digest, district="lakeside", teacher=TEACHER, how=Connected.KEY, at=NOW)
    world.seat(rowan=pupils[:2])
    found = document(homeroom, world)
    assert [row["teacher"] for row in found["teachers"] if row["licence"] == "lakeside/rowan"] == [TEACHER]
    licence = of(found, "licence", "lakeside/rowan")
    assert (licence["demand"], licence["waiting"]) == (len(pupils), len(pupils) - 2)


def test_without_the_plugin_everybody_is_unknown_and_nobody_inactive(
    homeroom: Homeroom, world: World, pupils: list[str]
) -> None:
    world.seat(rowan=pupils[:2])
    world.shelf.told = None
    found = document(homeroom, world)
    assert (found["totals"]["used"], found["totals"]["active"], found["totals"]["unknown"]) == (2, 0, 2)
    (note,) = found["notes"]
    assert note.startswith("who is active is unknown: ")
    assert note.endswith("install a plugin")
    out = homeroom("usage", "kolibri", *world.options()).out
    assert "active: unknown of 2 students who hold a seat, since " in out
    assert note in out


def test_who_is_told_nothing_about_is_unknown(homeroom: Homeroom, world: World, pupils: list[str]) -> None:
    one, two, *_ = pupils
    world.seat(rowan=[one, two])
    world.told(**{one.replace("-", "_"): (NOW, None)})
    rowan = of(document(homeroom, world), "licence", "lakeside/rowan")
    assert (rowan["used"], rowan["active"], rowan["unknown"]) == (2, 1, 1)
    out = homeroom("usage", "kolibri", *world.options()).out
    assert "unknown, which is not inactive: 1 of those who hold a seat; kolibri tells" in out
    assert "at least 50 %" in out


@pytest.mark.parametrize("trouble", ["unsure", "conflicts", "complete"])
def test_who_may_have_worked_where_nobody_could_look_is_not_inactive(
    homeroom: Homeroom, world: World, pupils: list[str], trouble: str
) -> None:
    """Each of two has a second account, in a school that was not read, that others claim, or that may have been cut."""
    one, two, three, *_ = pupils
    long_ago = NOW - timedelta(days=300)
    world.seat(rowan=[one, two, three])
    places = [(school, pupil) for pupil in (one, two) for school in ("s-001", "s-002")]
    world.own(*(("Person", school, pupil, f"{pupil}.{school}") for school, pupil in places))
    moments = ((long_ago, None), (NOW, None), (long_ago, None))
    world.told(**{pupil.replace("-", "_"): told for pupil, told in zip((one, two, three), moments, strict=True)})
    troubles: dict[str, dict[str, Any]] = {
        "unsure": {"unsure": frozenset({"s-002"})},
        "conflicts": {"conflicts": frozenset({("s-002", one), ("s-002", two)})},
        "complete": {"complete": False},
    }
    world.shelf.actual = replace(world.shelf.actual, **troubles[trouble])
    found = document(homeroom, world)
    rowan = of(found, "licence", "lakeside/rowan")
    assert (rowan["used"], rowan["active"], rowan["unknown"]) == (3, 1, 1)
    told = "schools that could not be read in kolibri: s-002" in found["notes"]
    assert told == (trouble == "unsure")


def test_an_app_whose_pool_has_no_licence_yet_shows_nothing_used(
    homeroom: Homeroom, world: World, tmp_path: Path
) -> None:
    (world.files / "licences.yaml").unlink()
    found = document(homeroom, world)
    assert (found["licences"], found["teachers"], set(found["totals"].values())) == ([], [], {0})
    out = homeroom("usage", "kolibri", *world.options()).out
    assert "active: 0 of 0 students who hold a seat" in out
    said = homeroom("usage", *world.options(), "--report", tmp_path / "u.html", "--csv", tmp_path / "u.csv")
    assert said.out.count(": 0 licences, 0 teachers\n") == 2


def test_records_that_the_pool_has_not_seen_are_told(homeroom: Homeroom, world: World, pupils: list[str]) -> None:
    world.seat(rowan=pupils[:1], digest="f" * 64)
    assert any("has not looked at these records yet" in note for note in document(homeroom, world)["notes"])


def test_names_stand_there_only_where_they_are_asked_for(
    homeroom: Homeroom, world: World, pupils: list[str], tmp_path: Path
) -> None:
    world.seat(rowan=pupils[:1])
    users = read_export(RECORDS, previous=None).roster.users.select("id", name=FULL_NAME)
    people = dict(users.iter_rows())
    page, table = tmp_path / "usage.html", tmp_path / "usage.csv"
    page.touch(mode=0o644)

    def written(*more: object) -> tuple[Said, str]:
        said = homeroom("usage", "kolibri", *world.options(), "--report", page, "--csv", table, *more)
        assert (said.code, said.err) == (0, "")
        assert [path.stat().st_mode & 0o777 for path in (page, table)] == [0o600] * 2
        return said, page.read_text() + table.read_text("utf-8-sig") + said.out

    said, text = written()
    assert [name for name in people.values() if name in text] == []
    assert PERSONAL_DATA not in text
    said, text = written("--names")
    assert people[TEACHER] in page.read_text()
    assert people[TEACHER] in table.read_text("utf-8-sig")
    assert people[pupils[0]] not in text, "students are counted"
    assert said.out.count(PERSONAL_DATA) == 2
    assert f'<p class="notice">{PERSONAL_DATA}</p>' in page.read_text()
    assert PERSONAL_DATA in homeroom("usage", *world.options(), "--names").out
    assert of(document(homeroom, world, "--names"), "teacher", TEACHER)["name"] == people[TEACHER]


def test_the_page_stands_alone_and_runs_nothing(homeroom: Homeroom, world: World, tmp_path: Path) -> None:
    licences = world.files / "licences.yaml"
    head, _, rest = licences.read_text().partition("---")
    licences.write_text(f"{head}status: {{unitName: {json.dumps(HOSTILE)}}}\n---{rest}")
    world.seat()
    page = tmp_path / "usage.html"
    assert homeroom("usage", *world.options(), "--report", page).code == 0
    text = page.read_text()
    assert HOSTILE not in text
    assert "lakeside/rowan &lt;b&gt;&amp;&quot;&#x27;" in text
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert re.findall(r"<script|<link|<img|https?:|@import|\bon\w+=", text) == []
    assert text.count("<svg") == 1
    assert f"<th>on</th><td>{document(homeroom, world)['today']}</td>" in text


def test_the_picture_shows_who_uses_what_is_granted(
    homeroom: Homeroom, world: World, pupils: list[str], tmp_path: Path
) -> None:
    one, two, three, *_ = pupils
    world.seat(rowan=[one, two, three])
    world.told(**{one.replace("-", "_"): (NOW, None), two.replace("-", "_"): (None, None)})
    page = tmp_path / "usage.html"
    homeroom("usage", *world.options(), "--report", page)
    rowan = next(line for line in page.read_text().splitlines() if ">lakeside/rowan<" in line and "<rect" in line)
    assert ">1 active, 1 inactive, 1 unknown, 37 free<" in rowan
    assert re.findall(r'width="([0-9.]+)"', rowan) == ["21.5", "21.5", "21.5", "795.5"]


def test_how_use_goes_on_is_told_and_drawn(homeroom: Homeroom, world: World, pupils: list[str], tmp_path: Path) -> None:
    world.seat(rowan=pupils[:2])
    told = "pool full: not enough days yet: 0 are known, 14 over three weeks are needed"
    assert told in homeroom("usage", *world.options()).out
    today = date.fromisoformat(document(homeroom, world)["today"])
    columns = {name: kind for name, kind in LICENCE_DAYS_SCHEMA.items() if name != "day"}
    rows = [("lakeside/other", 9, 9, 9, 9), ("lakeside/rowan", 40, 5, 5, 5)]
    licences = pl.DataFrame(rows, columns, orient="row")
    for number in range(40):
        day = Day(
            day=today - timedelta(days=number),
            capacity=100,
            granted=80,
            used=99,
            demand=60,
            active=None,
            licences=licences,
        )
        world.store.use.save_day(day, namespace="lakeside", pool="seats", epoch=1)
    found = document(homeroom, world)
    began, _ = school_year(today)
    known = min(40, (today - began).days + 1)
    assert len(found["days"]) == known
    assert found["days"][-1] == {
        "day": today.isoformat(),
        "capacity": 100,
        "granted": 80,
        "used": 99,
        "demand": 60,
        "active": None,
    }
    assert found["forecast"]["outlook"] in {"NotThisYear", "TooEarly"}
    assert f"pool full: {found['forecast']['words']}" in homeroom("usage", *world.options()).out
    assert of(found, "licence", "lakeside/rowan")["forecast"]["outlook"] == found["forecast"]["outlook"]
    page = tmp_path / "usage.html"
    homeroom("usage", *world.options(), "--report", page)
    text = page.read_text()
    assert "<h2>Over the school year, the whole pool lakeside/seats</h2>" in text
    assert text.count(": use over the school year</title>") == 2, "the pool, and the licence of this district"
    assert "licence lakeside/rowan: use over the school year" in text


def test_it_is_told_when_each_licence_will_be_full(
    homeroom: Homeroom, world: World, pupils: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = date(2026, 11, 20)
    monkeypatch.setattr(options, "day", lambda *_, **__: last)  # in August most days would be of last year
    world.seat(rowan=pupils[:2], former=["u-999"])
    columns = {name: kind for name, kind in LICENCE_DAYS_SCHEMA.items() if name != "day"}
    for number in range(30):
        rows = [("lakeside/rowan", 40, 35 - number, 60, 0), ("lakeside/sable", 40, 40, 40, 0)]
        day = Day(
            day=last - timedelta(days=number),
            capacity=100,
            granted=80,
            used=75 - number,
            demand=100,
            active=None,
            licences=pl.DataFrame(rows, columns, orient="row"),
        )
        world.store.use.save_day(day, namespace="lakeside", pool="seats", epoch=1)
    ahead = {row["licence"]: row["forecast"] for row in document(homeroom, world)["licences"]}
    assert ahead["lakeside/former"]["outlook"] == "TooEarly", "no day of it is known"
    assert ahead["lakeside/sable"]["outlook"] == "Full"
    assert (ahead["lakeside/rowan"]["outlook"], ahead["lakeside/rowan"]["expected"]) == ("Expected", "2026-11-25")
    table, page = tmp_path / "usage.csv", tmp_path / "usage.html"
    homeroom("usage", *world.options(), "--csv", table, "--report", page)
    with table.open(encoding="utf-8-sig", newline="") as file:
        full = {row["licence"]: row["full"] for row in csv.DictReader(file) if not row["teacher"]}
    told = {"former": "too early to say", "rowan": "about 2026-11-25", "sable": "today"}
    assert full == {f"lakeside/{name}": words for name, words in told.items()}
    text = page.read_text()
    assert "; full: about 2026-11-25; use grows by about 7.0 seats a week</p>" in text
    assert ">2026-11-25</text>" in text, "not marked in the picture of the licence"
    assert "; full: all seats are in use today</p>" in text


def test_a_licence_without_seats_has_no_day_on_which_it_is_full(homeroom: Homeroom, world: World) -> None:
    (world.files / "more.yaml").write_text(LICENCE.format(name="new", pool="seats", unit="s-003"))
    world.seat()
    assert of(document(homeroom, world), "licence", "lakeside/new")["forecast"] is None


def test_seats_that_nobody_uses_are_told(homeroom: Homeroom, world: World, pupils: list[str]) -> None:
    world.seat(rowan=pupils[:3])
    seating, day = world.store.seating(namespace="lakeside", pool="seats"), NOW.date()
    noticed = [(PLACE, pupils[0], day), (PLACE, pupils[1], day - timedelta(days=3)), ("lakeside/other", "u-1", day)]
    lost = [(PLACE, pupils[4], day), ("lakeside/other", "u-2", day)]
    seating = replace(
        seating,
        noticed=pl.DataFrame(noticed, NOTICED_SCHEMA, orient="row"),
        reclaimed=pl.DataFrame(lost, RECLAIMED_SCHEMA, orient="row"),
    )
    world.store.save_seating(seating, namespace="lakeside", pool="seats", epoch=1)
    found, lines = document(homeroom, world), homeroom("usage", *world.options()).out.splitlines()
    assert (found["idle"], found["reclaimed"]) == (2, 1)
    assert f"idle: 2 seats by the pool's last run, the first since {day - timedelta(days=3)}" in lines
    assert "reclaimed: 1 students have no seat, as they did not use theirs" in lines


def test_what_counts_as_active_is_what_the_pool_says(homeroom: Homeroom, world: World, pupils: list[str]) -> None:
    (world.files / "pool.yaml").write_text(POOL)
    world.seat(rowan=pupils[:1])
    world.told(**{pupils[0].replace("-", "_"): (NOW - timedelta(days=20), None)})
    assert document(homeroom, world)["totals"]["active"] == 0
    assert document(homeroom, world, "--inactive-after", "30d")["totals"]["active"] == 1


def test_a_spreadsheet_has_a_row_for_each_licence_and_its_teachers_below(
    homeroom: Homeroom, world: World, pupils: list[str], tmp_path: Path
) -> None:
    world.seat(rowan=pupils[:2])
    table = tmp_path / "usage.csv"
    homeroom("usage", *world.options(), "--csv", table)
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    licences = [row for row in rows if not row["teacher"]]
    assert [(row["licence"], row["granted"], row["students"], row["last login"]) for row in licences] == [
        ("lakeside/rowan", "40", "2", ""),
        ("lakeside/sable", "40", "0", ""),
    ]
    (teacher,) = (row for row in rows if row["teacher"] == TEACHER)
    assert (teacher["licence"], teacher["unit"], teacher["students"], teacher["granted"]) == (
        "lakeside/rowan",
        "s-001",
        "2",
        "",
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--owner-id", ""), "--owner-id"),
        (("--owner-id", "us", "--inactive-after", "12h"), "must be days or months"),
        (("--owner-id", "us", "--inactive-after", "soon"), "a number and a unit"),
        (("--owner-id", "us", "--report", "usage.pdf"), "must end in .html"),
        (("--owner-id", "us", "--csv", "usage.csv", "-o", "json"), "take no --output"),
    ],
)
def test_what_cannot_be_meant_is_refused(homeroom: Homeroom, options: tuple[str, ...], words: str) -> None:
    said = homeroom("usage", "kolibri", "-f", TREE, *options)
    assert (said.code, said.out) == (2, "")
    assert words in said.err


def test_an_app_without_a_pool_and_an_app_that_cannot_be_read_are_errors(
    homeroom: Homeroom, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: Actual) -> pl.DataFrame:
        raise IncompleteReadError("kolibri ended the session", reason="TargetIncomplete")

    monkeypatch.setattr(world.shelf, "activity", refuse)
    said = homeroom("usage", "kolibri", *world.options())
    assert (said.code, said.out, said.err) == (1, "", "error: kolibri ended the session\n")
    said = homeroom("usage", "kolibri", "-f", TREE, "--owner-id", "us")
    assert (said.code, said.out) == (1, "")
    assert "LearningApp 'kolibri' has no `spec.seating`" in said.err
