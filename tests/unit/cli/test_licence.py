"""`homeroom licence` writes what somebody would have committed by hand, and refuses what should not be committed."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import polars as pl
import pytest
from tests.skolverket import Register, Unit, serving
from tests.unit.stores import open_store

from homeroom.api import Language, SchoolLicense, parse
from homeroom.api.yaml import load_all
from homeroom.cli import cluster
from homeroom.seats.assignment import SEATS_SCHEMA
from homeroom.seats.keys import Connected
from homeroom.store import GRANTS_SCHEMA, LicenceName, Seating

from .conftest import EXAMPLES, RECORDS, TREE, Homeroom, Said

Licence = Callable[..., Said]

ROOT = EXAMPLES.parent
SEATS = EXAMPLES / "lakeside-seats"
POOL = """\
# The places of 2026
apiVersion: homeroom.dev/v1alpha1
kind: LicensePool
metadata: {name: seats, namespace: lakeside}
spec:
  seats: 100 # council of 2 September
  timeZone: Europe/Amsterdam
  contact: licences@lakeside.example
  unitRegistry:
    type: Inline
    units:
      - {code: "0001", name: "Rowan Hill"}
      - {code: "0002", name: "Sable Creek"}
      - {code: "0003", name: "Sable Park"}
      - {code: "0004", name: "Old Mill", status: Closed}
"""
ROWAN = """\
apiVersion: homeroom.dev/v1alpha1
kind: SchoolLicense
metadata:
    name: 'rowan'   # as the school calls itself
    namespace: lakeside
spec:
    poolRef: { name: seats }
    schoolUnit: '0001'
    seats: 40\t# agreed by telephone
    access: Key
    districtRef: { name: lakeside }
"""
NEW = """\
apiVersion: homeroom.dev/v1alpha1
kind: SchoolLicense
metadata:
  name: sable
  namespace: lakeside
spec:
  poolRef: {name: seats}
  schoolUnit: "0002" # Sable Creek
  seats: 30
  access: Key
  districtRef: {name: lakeside}
"""
LISTED = "  - learningapp.yaml\n"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The working tree: the example district with a pool of 100 and one licence of 40."""
    root = tmp_path / "tree"
    shutil.copytree(TREE, root)
    (root / "seats").mkdir()
    (root / "seats" / "pool.yaml").write_text(POOL)
    (root / "seats" / "rowan.yaml").write_text(ROWAN)
    (root / "seats" / "kustomization.yaml").write_text("resources:\n- pool.yaml\n- rowan.yaml\n")
    return root


@pytest.fixture
def licence(homeroom: Homeroom, work: Path) -> Licence:
    def run(*arguments: object) -> Said:
        return homeroom("licence", *arguments, "--tree", work)

    return run


@pytest.fixture
def in_use(tmp_path: Path) -> Path:
    """A store: 33 of the 40 seats are in use, and two teachers are connected."""
    data = tmp_path / "data"
    data.mkdir()
    store = open_store(data)
    epoch, now = 1, datetime.now(UTC)
    rows = [("lakeside/lakeside", f"u-{n}", "lakeside/rowan", date(2026, 9, 1), None) for n in range(33)]
    grants = pl.DataFrame([("lakeside/rowan", 40, None)], GRANTS_SCHEMA, orient="row")
    seating = Seating(grants=grants, seats=pl.DataFrame(rows, SEATS_SCHEMA, orient="row"))
    store.save_seating(seating, namespace="lakeside", pool="seats", epoch=epoch)
    store.licences.make_keys({LicenceName("lakeside", "rowan"): "d"}, at=now, epoch=epoch)
    for teacher in ("u-8", "u-9"):
        store.licences.connect("d", district="lakeside", teacher=teacher, how=Connected.KEY, at=now)
    store.close()
    return data


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def refused(said: Said, work: Path, before: dict[str, bytes]) -> str:
    """What it said; and nothing has changed."""
    assert said.code == 1
    assert snapshot(work) == before
    return said.err


def _samples() -> list[Any]:
    """What the docs show of the example, with its answer."""
    found = [
        (command, dedent(answer).strip())
        for page in ("cli.md", "seats.md")
        for command, answer in re.findall(
            r"^    \$ homeroom (licence .*)\n((?:    .*\n|\n(?=    ))+)",
            (ROOT / "docs" / page).read_text(),
            re.MULTILINE,
        )
    ]
    return [pytest.param(command, answer, id=command.split(" --")[0]) for command, answer in found]


@pytest.mark.parametrize(("command", "answer"), _samples())
def test_samples_are_true(command: str, answer: str, homeroom: Homeroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    said = homeroom(*shlex.split(command))
    assert (said.code, dedent(said.out).strip()) == (0, answer)


def test_the_example_is_without_fault(homeroom: Homeroom) -> None:
    said = homeroom("validate", TREE, SEATS, "--export", RECORDS, "--today", "2026-11-22")
    assert (said.code, said.err) == (0, "")


# ---------------------------------------------------------------------------------------------------------------------
# new


@pytest.mark.usefixtures("in_use")
def test_a_new_licence_gets_a_file_beside_the_others_and_is_listed(
    licence: Licence, homeroom: Homeroom, work: Path
) -> None:
    """R2, R5, R9."""
    said = licence("new", "sable", "--search", "creek", "--seats", 30, "--yes")
    assert (said.code, said.err) == (0, "")
    assert (work / "seats" / "sable.yaml").read_text() == NEW
    assert (
        work / "seats" / "kustomization.yaml"
    ).read_text() == "resources:\n- pool.yaml\n- rowan.yaml\n- sable.yaml\n"
    assert "\n+- sable.yaml\n" in said.out
    assert (
        "SchoolLicense 'sable' for unit 0002 (Sable Creek) requests 30 seats of LicensePool 'seats'; "
        "it fits: 30 of 100 stay free" in said.out
    )
    assert homeroom("validate", work).code == 0


@pytest.mark.usefixtures("in_use")
def test_who_does_not_fit_is_told_and_may_wait(licence: Licence, work: Path) -> None:
    said = licence("new", "sable", 61, "--unit", "0002", "--yes")
    assert said.code == 0
    assert "it will wait: 60 of 100 are free, and 1 more have to fall free" in said.out
    assert "seats: 61" in (work / "seats" / "sable.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--unit", "0002", "--seats", 9999), "9,999 seats requested, 0 granted; the whole pool has 100: request less"),
        (("--unit", "0009", "--seats", 9), "no unit '0009': --search finds it; ask licences@lakeside.example"),
        (("--unit", "0004", "--seats", 9), "unit '0004' is closed"),
        (("--search", "old mill", "--seats", 9), "the register has no unit 'old mill'"),
        (("--search", "sable", "--seats", 9), "choose one with --unit\n0002   Sable Creek\n0003   Sable Park"),
        (("--unit", "0002", "--seats", 9, "--pool", "lakeside/saets"), "no LicensePool 'saets'"),
        (
            ("--unit", "0002", "--seats", 9, "--pool", "far/seats", "--district", "lakeside"),
            "no District 'far/lakeside'",
        ),
        (("--unit", "0002", "--seats", 9, "--district", "lakside"), "no District 'lakeside/lakside' in"),
        (("--unit", "0002", "--seats", 9, "-n", "elsewhere"), "the pool does not admit licences of this namespace"),
        (("--unit", "0002", "--seats", 9, "--file", "/tmp/sable.yaml"), "is not below"),
    ],
)
@pytest.mark.usefixtures("in_use")
def test_what_would_get_nothing_is_not_written(
    arguments: tuple[object, ...], words: str, licence: Licence, work: Path
) -> None:
    """R6, R8, and a typing error."""
    before = snapshot(work)
    assert words in refused(licence("new", "sable", *arguments, "--yes"), work, before)


def test_a_name_is_given_once(licence: Licence, work: Path) -> None:
    before = snapshot(work)
    said = refused(licence("new", "rowan", 5, "--unit", "0002", "--yes", "--offline"), work, before)
    assert "is there already, in" in said
    assert "rowan.yaml:1" in said
    said = refused(licence("new", "Sable Creek", 5, "--unit", "0002", "--yes", "--offline"), work, before)
    assert "metadata.name" in said


@pytest.mark.usefixtures("in_use")
def test_a_unit_that_the_register_lacks_is_written_with_its_reason(licence: Licence, work: Path) -> None:
    why = ("--unlisted", 'Otter "Beach"', "--reason", "opens in January: council")
    said = licence("new", "otter", 9, "--unit", "0009", *why, "--yes")
    assert said.code == 0
    (document,) = load_all((work / "seats" / "otter.yaml").read_text(), file="otter.yaml")
    spec: Any = document.data["spec"]
    assert spec["unitOverride"] == {"name": 'Otter "Beach"', "reason": "opens in January: council"}
    assert licence("new", "sable", 9, "--unit", "0002", *why, "--yes").code == 0
    assert "unitOverride" not in (work / "seats" / "sable.yaml").read_text()  # the register has it


@pytest.mark.usefixtures("in_use")
def test_a_new_licence_has_a_place_in_line_and_its_key_goes_by_mail(licence: Licence, work: Path) -> None:
    licence("new", "first", 60, "--unit", "0003", "--yes")
    assert "it will wait" in licence("new", "sable", 55, "--unit", "0002", "--dry-run").out
    mailed = ("--deliver-key-to", "sable-contacts", "--language", "Swedish", "--yes")
    said = licence("new", "sable", 55, "--unit", "0002", "--priority", 7, *mailed)
    assert "it fits" in said.out, "none of the 60 that are free was given to the first one yet"
    (document,) = load_all((work / "seats" / "sable.yaml").read_text(), file="sable.yaml")
    licence_made = parse(document.data)
    assert isinstance(licence_made, SchoolLicense)
    delivery = licence_made.spec.deliver_key_to
    assert delivery is not None
    assert (licence_made.spec.priority, delivery.contact_secret_ref.name) == (7, "sable-contacts")
    assert delivery.language is Language.SWEDISH
    refused = licence("new", "mill", 5, "--unit", "0003", "--access", "Automatic", *mailed)
    assert (refused.code, "deliverKeyTo" in refused.err) == (1, True)


@pytest.mark.usefixtures("in_use")
def test_force_writes_what_was_refused(licence: Licence, work: Path) -> None:
    assert licence("new", "sable", 9999, "--unit", "0002", "--yes", "--force").code == 0
    said = licence("new", "mill", 9, "--unit", "0004", "--yes", "--force")
    assert said.code == 0
    assert "unit '0004' is closed" in said.err
    assert {"sable.yaml", "mill.yaml"} <= {path.name for path in (work / "seats").iterdir()}


@pytest.mark.usefixtures("in_use")
def test_a_file_with_several_licences_takes_the_new_one_in_its_line_ends(licence: Licence, work: Path) -> None:
    file = work / "seats" / "rowan.yaml"
    second = ROWAN.replace("rowan", "rowan-two").replace("seats: 40", "seats: 0")
    text = f"{ROWAN}---\n{second}".replace("\n", "\r\n")
    file.write_bytes(text.encode())
    assert licence("new", "sable", 30, "--unit", "0002", "--yes").code == 0
    assert file.read_bytes().decode() == text + ("---\n" + NEW).replace("\n", "\r\n")


@pytest.mark.usefixtures("in_use")
def test_a_file_of_choice_is_listed_where_its_neighbours_are(licence: Licence, work: Path) -> None:
    outer = work / "kustomization.yaml"
    outer.write_text(outer.read_text().replace(LISTED, f"{LISTED}  - more/one.yaml # by name\n"))
    (work / "more").mkdir()
    (work / "more" / "one.yaml").write_text("# nothing yet\n")
    file = work / "more" / "two.yaml"
    assert licence("new", "sable", 30, "--unit", "0002", "--yes", "--file", file).code == 0
    assert file.read_text() == NEW
    assert "  - more/two.yaml\n" in outer.read_text()
    (work / "more" / "list.yaml").write_text('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}')
    before = snapshot(work)
    said = licence("new", "three", 3, "--unit", "0003", "--yes", "--file", work / "more" / "list.yaml")
    assert "is JSON, to which no YAML can be added" in refused(said, work, before)


def test_the_units_are_the_schools_of_an_export(licence: Licence, work: Path) -> None:
    pool = work / "seats" / "pool.yaml"
    head, _, _ = POOL.partition("  unitRegistry")
    pool.write_text(f"{head}  unitRegistry: {{type: Source, districtRef: {{name: lakeside}}}}\n")
    before = snapshot(work)
    asked = ("new", "sable", 30, "--search", "rowan", "--yes", "--offline")
    assert "give them with --records" in refused(licence(*asked), work, before)
    said = licence(*asked, "--records", RECORDS)
    assert said.code == 0
    assert 'schoolUnit: "00001" # Rowan Hill Elementary School\n' in (work / "seats" / "sable.yaml").read_text()
    assert licence("new", "other", 3, "--unit", "s-001", "--yes", "--offline", "--records", RECORDS).code == 0
    twice = work.parent / "twice"
    shutil.copytree(RECORDS, twice)
    (twice / "orgs.csv").write_text((RECORDS / "orgs.csv").read_text().replace(",00003,", ",00001,"))
    before = snapshot(work)
    said = licence("new", "third", 3, "--unit", "00001", "--yes", "--offline", "--records", twice)
    assert "the register has no unit '00001'" in refused(said, work, before)
    said = licence("new", "third", 3, "--search", "sparrow", "--dry-run", "--offline", "--records", twice)
    assert '+  schoolUnit: "s-003" # Sparrow Park High School' in said.out
    said = licence("new", "third", 3, "--unit", "00002", "--yes", "--offline", "--force")
    assert said.code == 0  # nobody could look
    assert "the unit was not checked" in said.err


def test_the_units_are_those_of_skolverket(licence: Licence, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R7."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with serving(Register(units=[Unit(code="10983605", name="Utterbäckens skola")])) as register:
        head, _, _ = POOL.partition("  unitRegistry")
        monkeypatch.setattr("homeroom.reconcile.connect.REGISTER", register.url)
        registry = '  unitRegistry: {type: Skolverket, municipalityCode: "1285"}\n'
        (work / "seats" / "pool.yaml").write_text(head + registry)
        asked = ("--yes", "--offline", "--allow-loopback")
        assert licence("new", "utter", 30, "--search", "utterback", *asked).code == 0
        assert 'schoolUnit: "10983605" # Utterbäckens skola\n' in (work / "seats" / "utter.yaml").read_text()
        assert "no unit '10983606'" in licence("new", "other", 3, "--unit", "10983606", *asked).err


# ---------------------------------------------------------------------------------------------------------------------
# resize


@pytest.mark.usefixtures("in_use")
@pytest.mark.parametrize(("seats", "words"), [(60, "it fits: 40 of 100 stay free"), (33, "it fits: 67 of 100")])
def test_a_resize_changes_one_number(seats: int, words: str, licence: Licence, work: Path) -> None:
    """R4, R16."""
    file, before = work / "seats" / "rowan.yaml", snapshot(work)
    file.chmod(0o640)
    said = licence("resize", "rowan", seats, "--yes")
    assert (said.code, said.err) == (0, "")
    assert f"SchoolLicense 'rowan' requests {seats} seats instead of 40; {words}" in said.out
    assert file.read_text() == ROWAN.replace("seats: 40", f"seats: {seats}")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert {name for name, text in snapshot(work).items() if text != before[name]} == {"seats/rowan.yaml"}
    assert "nothing to do" in licence("resize", "rowan", "--seats", seats, "--yes").out


@pytest.mark.usefixtures("in_use")
def test_nobody_loses_a_seat_by_a_resize(licence: Licence, work: Path) -> None:
    """R17."""
    before = snapshot(work)
    said = refused(licence("resize", "rowan", 32, "--yes"), work, before)
    assert "33 seats are in use, and nobody loses one by a resize: request at least 33" in said
    said_ = licence("resize", "rowan", 32, "--yes", "--force")
    assert said_.code == 0
    assert "32 seats requested, 33 in use; keeps 33 until use drops" in said_.out
    assert "seats: 32\t#" in (work / "seats" / "rowan.yaml").read_text()


@pytest.mark.usefixtures("in_use")
def test_a_pool_that_gives_nothing_does_not_stand_in_the_way_of_a_smaller_licence(licence: Licence, work: Path) -> None:
    pool = work / "seats" / "pool.yaml"
    pool.write_text(POOL.replace("  timeZone", "  suspend: true\n  timeZone"))
    before = snapshot(work)
    assert "the pool is suspended" in refused(licence("resize", "rowan", 41, "--yes"), work, before)
    assert "33 seats are in use" in refused(licence("resize", "rowan", 32, "--yes"), work, before)
    said = licence("resize", "rowan", 39, "--yes")
    assert said.code == 0
    assert "the pool is suspended" in said.out


@pytest.mark.usefixtures("in_use")
def test_a_licence_that_nobody_knows_there_is_told(licence: Licence, homeroom: Homeroom, work: Path) -> None:
    assert licence("new", "sable", 5, "--unit", "0001", "--yes").err.startswith("warning: unit 0001 (Rowan Hill) has a")
    said = licence("resize", "sable", 6, "--yes")
    assert said.code == 0
    assert "'sable' has no seats there: it was not applied yet, or waits, or has another name" in said.err
    assert homeroom("validate", work).code == 0


def test_what_another_repository_was_granted_is_not_free(licence: Licence, in_use: Path) -> None:
    store = open_store(in_use)
    rows = [("far/otter", 30, None), ("lakeside/rowan", 40, None)]
    seating = Seating(grants=pl.DataFrame(rows, GRANTS_SCHEMA, orient="row"))
    store.save_seating(seating, namespace="lakeside", pool="seats", epoch=1)
    store.close()
    assert "it fits: 0 of 100 stay free" in licence("resize", "rowan", 70, "--dry-run").out
    assert "keeps 40 till then: 30 of 100 are free" in licence("resize", "rowan", 71, "--dry-run").out


@pytest.mark.usefixtures("in_use")
def test_a_resize_above_the_pool_is_refused_and_one_that_waits_is_told(licence: Licence, work: Path) -> None:
    assert licence("new", "sable", 60, "--unit", "0002", "--yes").code == 0
    before = snapshot(work)
    assert "the whole pool has 100" in refused(licence("resize", "rowan", 400, "--yes"), work, before)
    said = licence("resize", "rowan", 50, "--yes", "--dry-run")
    assert said.code == 0
    # What is declared and not granted yet stands behind what grows: it is younger.
    assert "it fits: 50 of 100 stay free" in said.out
    assert snapshot(work) == before


def test_without_store_and_cluster_the_files_count_and_that_is_said(licence: Licence, work: Path) -> None:
    assert licence("new", "sable", 60, "--unit", "0002", "--yes", "--offline").code == 0
    said = licence("resize", "rowan", 50, "--yes")
    assert said.code == 0
    assert "it will wait, and keeps 40 till then: 0 of 100 are free, and 10 more have to fall free" in said.out
    assert "how seats are used is not known here, the files alone count: there is no API server" in said.err
    assert "seats: 50" in (work / "seats" / "rowan.yaml").read_text()


def test_the_cluster_tells_what_is_in_use(licence: Licence, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = [document.data for document in load_all(f"{POOL}---\n{ROWAN}", file="cluster")]
    there = {**objects[1], "status": {"used": 35, "granted": 40, "connectedTeachers": 3}}
    other = {**there, "metadata": {"name": "other", "namespace": "lakeside"}, "status": {"used": 5, "granted": 40}}

    @asynccontextmanager
    async def connected(_: str | None) -> AsyncIterator[None]:
        yield

    async def every(_: None, kind: str, namespace: str) -> list[Any]:
        return [obj for obj in (objects[0], there, other) if obj["kind"] == kind] if namespace == "lakeside" else []

    monkeypatch.setattr(cluster, "connected", connected)
    monkeypatch.setattr(cluster, "every", every)
    before = snapshot(work)
    assert "35 seats are in use" in refused(licence("resize", "rowan", 34, "--yes"), work, before)
    said = licence("resize", "rowan", 61, "--yes", "--dry-run")  # another repository has 40 of the 100
    assert "it will wait, and keeps 40 till then: 20 of 100 are free, and 1 more have to fall free" in said.out
    objects[0] = {**objects[0], "status": {"granted": 90}}  # ten of them in namespaces that the caller may not see
    assert "it will wait, and keeps 40 till then: 10 of 100 are free" in licence("resize", "rowan", 61, "--dry-run").out
    said = licence("remove", "rowan", "--dry-run")
    assert "35 of its 40 seats are in use, and these students lose them; 3 teachers are connected" in said.out
    (work / "seats" / "pool.yaml").unlink()
    (work / "seats" / "kustomization.yaml").unlink()
    assert licence("new", "sable", 20, "--unit", "0002", "--pool", "lakeside/seats", "--yes").code == 0


# ---------------------------------------------------------------------------------------------------------------------
# remove


@pytest.mark.usefixtures("in_use")
def test_a_removed_licence_goes_with_its_file_and_says_who_loses_what(
    licence: Licence, homeroom: Homeroom, work: Path
) -> None:
    """R18, R20."""
    said = licence("remove", "rowan", "--yes")
    assert (said.code, said.err) == (0, "")
    assert (
        "SchoolLicense 'rowan' for unit 0001 is removed; 33 of its 40 seats are in use, and these students lose them; "
        "2 teachers are connected by its key, and lose their access; its key dies; "
        "its 40 seats return to the pool; accounts and work stay" in said.out
    )
    assert not (work / "seats" / "rowan.yaml").exists()
    assert (work / "seats" / "kustomization.yaml").read_text() == "resources:\n- pool.yaml\n"
    assert homeroom("validate", work).code == 0


def test_of_a_file_with_several_only_the_licence_goes(licence: Licence, work: Path) -> None:
    file = work / "seats" / "pool.yaml"
    file.write_text(f"{POOL}---\n# a note\n{ROWAN.replace('rowan', 'sable')}")
    before = snapshot(work)
    assert licence("remove", "sable", "--yes", "--offline").code == 0
    assert file.read_text() == POOL
    assert snapshot(work)["seats/kustomization.yaml"] == before["seats/kustomization.yaml"]


# ---------------------------------------------------------------------------------------------------------------------
# Asked before


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("in_use")
def test_nothing_is_written_before_somebody_says_so(
    licence: Licence, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R19."""
    before = snapshot(work)
    said = licence("remove", "rowan")
    assert (said.code, snapshot(work)) == (2, before)
    assert "without a terminal, say --yes or --dry-run" in said.err
    for typed, *arguments in (("n\n", "resize", "rowan", 60), ("y\n", "remove", "rowan"), ("\n", "remove", "rowan")):
        monkeypatch.setattr("sys.stdin", Terminal(typed))
        said = licence(*arguments)
        assert (said.code, snapshot(work)) == (1, before)
        assert "nothing was written" in said.out
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert licence("resize", "rowan", 60).code == 0
    monkeypatch.setattr("sys.stdin", Terminal("2\ny\n"))
    said = licence("new", "sable", 5, "--search", "sable")
    assert said.code == 0
    assert "0003" in (work / "seats" / "sable.yaml").read_text()
    monkeypatch.setattr("sys.stdin", Terminal("rowan\n"))
    assert licence("remove", "rowan").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("resize", "rowan"),
        ("remove", "rowan", 5),
        ("new", "sable", 5),
        ("new", "sable", 5, "--unit", "1", "--search", "x"),
        ("new", "sable", "--unit", "1"),
        ("resize", "rowan", 5, "--unit", "1"),
        ("new", "sable", 5, "--unit", "1", "--unlisted", "x"),
        ("new", "sable", 5, "--unit", "1", "--language", "Swedish"),
        ("resize", "rowan", 5, "--priority", 1),
    ],
)
def test_a_wrong_command_line_is_told(arguments: tuple[object, ...], licence: Licence) -> None:
    said = licence(*arguments, "--yes")
    assert said.code == 2
    assert "homeroom licence --help" in said.err


# ---------------------------------------------------------------------------------------------------------------------
# Files that are not edited


PATCH = """\
resources: [pool.yaml, rowan.yaml]
patches:
- target: {kind: SchoolLicense}
  patch: |-
    - {op: replace, path: /spec/seats, value: 7}
"""


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("more.yaml", ROWAN, "is declared in"),
        ("kustomization.yaml", PATCH, "seats/kustomization.yaml:3: changes SchoolLicense 'rowan' on its way"),
        ("rowan.yaml", "{{- if .x }}\n" + ROWAN + "{{ end }}\n", "seats/rowan.yaml:1: not YAML"),
        (
            "rowan.yaml",
            ROWAN.replace("seats: 40", 'seats: "{{ .Values.seats }}"'),
            "seats/rowan.yaml:9: spec.seats: must",
        ),
        (
            "rowan.yaml",
            ROWAN.replace("seats: 40", "priority: &n 40\n    seats: *n"),
            "rowan.yaml:10: spec.seats stands",
        ),
    ],
    ids=["twice", "patched", "template", "template in quotes", "anchor"],
)
@pytest.mark.usefixtures("in_use")
def test_what_is_made_in_another_way_is_named_and_left_alone(
    file: str, text: str, words: str, licence: Licence, work: Path
) -> None:
    (work / "seats" / file).write_text(text)
    before = snapshot(work)
    assert words in refused(licence("resize", "rowan", 50, "--yes"), work, before)


@pytest.mark.usefixtures("in_use")
def test_an_item_of_a_list_is_resized_and_not_removed(licence: Licence, work: Path) -> None:
    item = "  - " + ROWAN.replace("\n", "\n    ").rstrip()
    (work / "seats" / "rowan.yaml").write_text(f"apiVersion: v1\nkind: List\nitems:\n{item}\n")
    assert licence("resize", "rowan", 50, "--yes").code == 0
    before = snapshot(work)
    assert "is an item of a List: edit it by hand" in refused(licence("remove", "rowan", "--yes"), work, before)


@pytest.mark.usefixtures("in_use")
def test_a_link_does_not_lead_out_of_the_tree(licence: Licence, work: Path, tmp_path: Path) -> None:
    outside, file = tmp_path / "outside.yaml", work / "seats" / "rowan.yaml"
    file.rename(outside)
    file.symlink_to(outside)
    assert "where a link leads is not edited" in licence("resize", "rowan", 50, "--yes").err
    assert outside.read_text() == ROWAN
    inside = work / "rowan-itself.yaml"
    outside.rename(inside)
    file.unlink()
    file.symlink_to("../rowan-itself.yaml")
    assert licence("resize", "rowan", 50, "--yes").code == 0
    assert file.is_symlink()
    assert inside.read_text() == ROWAN.replace("seats: 40", "seats: 50")


@pytest.mark.usefixtures("in_use")
def test_what_was_changed_meanwhile_is_not_overwritten(
    licence: Licence, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = work / "seats" / "rowan.yaml"

    def slow(*_: object, **__: object) -> bool:
        file.write_text(ROWAN.replace("telephone", "letter"))
        return True

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("typer.confirm", slow)
    said = licence("resize", "rowan", 50)
    assert said.code == 1
    assert "was changed meanwhile: nothing was written" in said.err
    assert file.read_text() == ROWAN.replace("telephone", "letter")
