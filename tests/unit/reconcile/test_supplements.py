"""Supplements over whole nights: what they add arrives, and whatever becomes of them takes nothing away by mistake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.reconcile.nights import APP, DISTRICT, Nights

from homeroom.sources import load
from homeroom.store import Accepted

KEY, INTERVAL = "january", timedelta(minutes=15)
PLACE = {"namespace": DISTRICT.namespace, "district": DISTRICT.name}


class Beside:
    """A package beside the export of the example, with a class that was split."""

    def __init__(self, nights: Nights) -> None:
        self.nights = nights
        self.folder = nights.export.parent / KEY
        self.folder.mkdir(exist_ok=True)
        like = next(
            row
            for row in nights.records.rows("classes", schoolSourcedId=nights.school, classType="homeroom")
            if row["grades"] != "KG"
        )
        rows = nights.records.rows("enrollments", classSourcedId=like["sourcedId"])
        self.people = [row["userSourcedId"] for row in rows if row["role"] == "student"][:6]
        self.teacher = next(row["userSourcedId"] for row in rows if row["role"] == "teacher")
        self.old = like["sourcedId"]
        names = ("title", "grades", "courseSourcedId", "classType", "schoolSourcedId", "termSourcedIds")
        self.head = ",".join(("sourcedId", *names))
        quoted = ['"' + like[name] + '"' for name in names]
        self.line = ",".join(("c-split", *quoted))
        self.write()

    def write(self, *, people: list[str] | None = None) -> None:
        """The package says this from now on."""
        some = self.people if people is None else people
        lines = [f"x-{one},c-split,{self.nights.school},{one},student" for one in some]
        lines.append(f"x-{self.teacher},c-split,{self.nights.school},{self.teacher},teacher")
        head = "sourcedId,classSourcedId,schoolSourcedId,userSourcedId,role"
        (self.folder / "enrollments.csv").write_text("\n".join([head, *lines, ""]))
        (self.folder / "classes.csv").write_text(f"{self.head}\n{self.line}\n")

    def declare(self, *names: str, **fields: Any) -> None:
        """The District names it; without `names` no more."""
        entry = {"oneRosterCSV": {"url": f"file:{KEY}"}, "interval": "15m", "allow": ["Classes", "Enrollments"]}
        sync = {"mode": "Interval", "interval": "12h"}
        self.nights.declare(DISTRICT, sync=sync, supplements=[{"name": name, **entry, **fields} for name in names])

    def places(self) -> set[str | None]:
        """Who is in the class in the product."""
        return {person for _, section, person in self.nights.members() if section == "c-split"}

    async def later(self) -> None:
        """The time has come to read it again; the source's has not."""
        self.nights.now += INTERVAL
        await self.nights.run(DISTRICT, APP)

    def told(self) -> dict[str, Any]:
        (one,) = self.nights.cluster.objects[DISTRICT]["status"].get("supplements", ())
        return dict(one)

    def fresh(self) -> str:
        return self.nights.said(DISTRICT, "SupplementsFresh")

    def accepted(self) -> Accepted:
        found = self.nights.store.accepted(**PLACE)
        assert found is not None
        return found


@pytest.fixture
def nights(first_sync: Nights, tmp_path: Path) -> Iterator[Nights]:
    here = Nights.after(first_sync, tmp_path)
    yield here
    here.store.close()


@pytest.fixture
async def beside(nights: Nights) -> Beside:
    here = Beside(nights)
    here.declare(KEY)
    await nights.run(DISTRICT, APP)
    assert here.places() == {*here.people, here.teacher}
    return here


async def test_what_it_adds_is_in_the_records_and_in_the_product(nights: Nights, beside: Beside) -> None:
    told = beside.told()
    assert (told["name"], told["counts"]) == (
        KEY,
        {
            "courses": 0,
            "classes": 1,
            "people": 0,
            "roles": 0,
            "enrollments": 7,
            "guardians": 0,
            "links": 0,
            "lessons": 0,
        },
    )
    assert nights.said(DISTRICT).startswith("Succeeded: ")
    assert beside.fresh().startswith("Succeeded: ")
    accepted = beside.accepted()
    assert nights.cluster.objects[DISTRICT]["status"]["snapshot"]["digest"] == accepted.digest != accepted.own
    alone = load(nights.store.snapshots(**PLACE), accepted.own)
    assert "c-split" not in alone.roster.classes["id"]


async def test_a_run_with_nothing_new_writes_nothing(nights: Nights, beside: Beside) -> None:
    await nights.night(publish=False)
    before, stored = nights.cluster.writes, nights.store.supplements(**PLACE)
    accepted = beside.accepted()
    await beside.later()
    await nights.night(publish=False)
    assert nights.cluster.writes == before
    assert beside.accepted() == accepted
    assert [one.accepted_at for one in nights.store.supplements(**PLACE)] == [one.accepted_at for one in stored]


async def test_a_new_version_counts_at_its_own_interval_without_the_source(nights: Nights, beside: Beside) -> None:
    own, read = beside.accepted().own, nights.store.run(kind="District", namespace="lakeside", name="lakeside")
    nights.export.unlink()  # whoever asks for it now fails
    beside.write(people=beside.people[:-1])
    await beside.later()
    assert nights.said(DISTRICT).startswith("Succeeded: ")
    assert beside.places() == {*beside.people[:-1], beside.teacher}
    assert beside.accepted().own == own
    now = nights.store.run(kind="District", namespace="lakeside", name="lakeside")
    assert read is not None
    assert now is not None
    assert now.read_at == read.read_at
    assert now.next_at == nights.now + INTERVAL


async def test_what_cannot_be_read_counts_as_it_did(nights: Nights, beside: Beside) -> None:
    before = nights.members()
    text = (beside.folder / "enrollments.csv").read_text()
    (beside.folder / "enrollments.csv").write_text(text[:-20])
    await beside.later()
    assert nights.said(DISTRICT).startswith("Succeeded: ")
    assert beside.fresh().startswith("SupplementStale: january: enrollments.csv, row ")
    assert "Z counts" in beside.fresh()
    writes = nights.cluster.writes
    await beside.later()
    assert nights.cluster.writes == writes
    (beside.folder / "enrollments.csv").unlink()
    (beside.folder / "classes.csv").unlink()
    await nights.night()
    assert nights.members() == before
    assert beside.told()["counts"]["enrollments"] == 7
    beside.write()
    await beside.later()
    assert beside.fresh().startswith("Succeeded: ")


async def test_a_first_reading_that_fails_stops_nothing(nights: Nights) -> None:
    here = Beside(nights)
    (here.folder / "classes.csv").write_text("sourcedId\n")
    here.declare(KEY)
    before = nights.members()
    await nights.run(DISTRICT, APP)
    assert nights.said(DISTRICT).startswith("Succeeded: ")
    assert "nothing of it is there yet" in here.fresh()
    assert nights.members() == before
    assert nothing_told(nights)
    here.declare()
    await nights.run(DISTRICT)
    assert here.fresh() == ""


def nothing_told(nights: Nights) -> bool:
    return not nights.cluster.objects[DISTRICT]["status"].get("supplements")


async def test_what_it_stops_saying_is_judged_like_what_the_source_loses(nights: Nights, beside: Beside) -> None:
    before = nights.members()
    beside.declare()
    await nights.run(DISTRICT, APP)
    (hold,) = nights.holds(DISTRICT)
    assert (hold["guard"], hold["place"]) == ("ClassShrink", "c-split")
    assert nights.members() == before
    await nights.approve(hold, of=DISTRICT)
    assert beside.places() == set()
    assert nights.store.supplements(**PLACE) == []
    assert nothing_told(nights)
    assert beside.accepted().own == beside.accepted().digest
    assert nights.said(DISTRICT).startswith("Succeeded: ")


@pytest.mark.usefixtures("beside")
async def test_a_source_that_cannot_be_read_is_as_ever(nights: Nights) -> None:
    before = nights.members()
    nights.export.unlink()
    await nights.night(publish=False)
    assert nights.said(DISTRICT).startswith("SourceUnavailable: ")
    assert nights.members() == before
    await nights.night()
    assert nights.said(DISTRICT).startswith("Succeeded: ")
    assert nights.members() == before


async def test_the_source_catches_up(nights: Nights, beside: Beside) -> None:
    like = nights.records.rows("classes", sourcedId=beside.old)[0]
    nights.records.files["classes"].append({**like, "sourcedId": "c-split", "title": "Of the source"})
    before = nights.members()
    await nights.night()
    assert nights.members() == before
    assert beside.told()["counts"]["classes"] == 0
    assert beside.told()["findings"]["value"] >= 1
    roster = load(nights.store.snapshots(**PLACE), beside.accepted().digest).roster
    assert dict(roster.classes.select("id", "title").iter_rows())["c-split"] == "Of the source"


async def test_a_head_by_supplement_waits_for_a_word(nights: Nights, beside: Beside) -> None:
    (beside.folder / "roles.csv").write_text(
        "sourcedId,userSourcedId,roleType,role,orgSourcedId\n"
        f"y-1,{beside.teacher},secondary,principal,{nights.school}\n"
        f"y-2,{beside.people[0]},secondary,principal,{nights.school}\n"
    )
    await beside.later()
    assert beside.told()["counts"]["roles"] == 0
    beside.declare(KEY, allow=["Classes", "Enrollments", "Admins"])
    rights = set(nights.product.rights)
    await nights.run(DISTRICT, APP)
    assert beside.told()["counts"]["roles"] == 2
    assert set(nights.product.rights) == rights
    (hold,) = nights.holds(APP)
    assert (hold["guard"], hold["people"]) == ("Administrators", 1)  # never the student


async def test_a_restart_reads_nothing(nights: Nights, beside: Beside) -> None:
    nights.export.unlink()
    for file in beside.folder.iterdir():
        file.unlink()
    nights.restarted()
    await nights.run(DISTRICT, APP)
    assert nights.said(DISTRICT).startswith("Succeeded: ")
    assert beside.fresh().startswith("Succeeded: ")
