"""A made-up district of any size, written as a OneRoster CSV export: for the demo, the tests and the benchmarks.

Flow: `generate` lays out schools, slots (a slot is one group of at most 25 pupils in a grade of a school) and students
as integer columns, derives everything else from those integers by arithmetic, and writes the files in blocks. There is
no loop over rows and no random number generator: whatever looks random is a hash of (seed, purpose, index), so the same
arguments give the same bytes everywhere.

What the district contains on purpose, because real ones do: namesakes; siblings who share guardians, and a few students
who have none; people without a chat account; names with accents, apostrophes, hyphens, spaces and in Cyrillic script;
commas in titles; teachers in two schools; principals who teach; students who visit a class of another school;
co-teachers; enrollments that have ended or have not begun; sections without a grade; disabled accounts; passwords of a
few staff; e-mail only from grade 03 on. Every name is invented, every domain ends in `.example`.

Neighbours: `homeroom generate` and the benchmarks call this; `homeroom.sources` reads what it writes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import IO, Literal

import polars as pl

from homeroom.errors import InvalidSpecError

Version = Literal["1.1", "1.2", "1.2.1"]

ARCHIVE = "export.zip"
"""The file that `generate(..., zip=True)` writes into the directory."""

HOMEROOM_SIZE = 25
"""At most so many students share a homeroom."""

STUDENTS_PER_SCHOOL = 700
"""The mean; single schools have between some 400 and 1000."""

BLOCK = 250_000
"""Students per written block: bounds memory, does not change a byte."""

GRADES = ("KG", *(f"{grade:02}" for grade in range(1, 13)))
FIRST_SECONDARY_GRADE = 6
"""From here on (an index into GRADES) subjects are taught by subject teachers, and not to the homeroom as a whole."""
FIRST_GRADE_WITH_EMAIL = 3


@dataclass(frozen=True, slots=True)
class _Subject:
    code: str
    title: str
    subjects: str
    codes: str


# The subject words are those of Clever, the codes the two-digit areas of the American course classification.
# Number 0 is the homeroom; one course exists per subject and grade, one class per subject and slot.
SUBJECTS = (
    _Subject("HR", "Homeroom", "homeroom/advisory", "22"),
    _Subject("MATH", "Mathematics", "math", "02"),
    _Subject("ELA", "English", "english/language arts", "01"),
    _Subject("SCI", "Science", "science,technology and engineering", "03,21"),
    _Subject("SOC", "Social Studies", "social studies", "04"),
    _Subject("PE", "Physical Education", "PE and health", "08"),
    _Subject("ART", "Art, Music and Drama", "arts and music", "05"),
)
_HOMEROOM, _MATH, _SCIENCE, _SPORT, _ART = 0, 1, 3, 5, 6

# What a school teaches: `span` grades from `low`, an index into GRADES. Thirteen schools in a row give each grade about
# the same share.
_KINDS = pl.DataFrame(
    [
        ("E", "Elementary School", 0, 6),
        ("M", "Middle School", 6, 3),
        ("H", "High School", 9, 4),
        ("A", "School", 0, 13),
    ],
    schema={"kind": pl.String, "type": pl.String, "low": pl.UInt64, "span": pl.UInt64},
    orient="row",
)
_KINDS_IN_A_ROW = "EMHEHEMEHEMHE"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_DATED = "sourcedId status dateLastModified"
_ROSTER = {
    "academicSessions": _words(f"{_DATED} title type startDate endDate parentSourcedId schoolYear"),
    "orgs": _words(f"{_DATED} name type identifier parentSourcedId"),
    "courses": _words(f"{_DATED} schoolYearSourcedId title courseCode grades orgSourcedId subjects subjectCodes"),
    "classes": _words(
        f"""{_DATED} title grades courseSourcedId classCode classType location schoolSourcedId termSourcedIds
        subjects subjectCodes periods"""
    ),
    "enrollments": _words(f"{_DATED} classSourcedId schoolSourcedId userSourcedId role primary beginDate endDate"),
}
_ROLES = _words(f"{_DATED} userSourcedId roleType role beginDate endDate orgSourcedId userProfileSourcedId")
_PERSON = """username userIds givenName familyName middleName identifier email sms phone agentSourcedIds
    grades password"""
_PREFERRED = "preferredGivenName preferredMiddleName preferredFamilyName primaryOrgSourcedId pronouns"

HEADERS: Mapping[Version, Mapping[str, tuple[str, ...]]] = {
    "1.1": {**_ROSTER, "users": _words(f"{_DATED} enabledUser orgSourcedIds role {_PERSON}")},
    "1.2": {
        **_ROSTER,
        "users": _words(f"{_DATED} enabledUser {_PERSON} userMasterIdentifier resourceSourcedIds {_PREFERRED}"),
        "roles": _ROLES,
    },
    "1.2.1": {
        **_ROSTER,
        "users": _words(f"{_DATED} enabledUser {_PERSON} userMasterIdentifier {_PREFERRED}"),
        "roles": _ROLES,
    },
}
"""Per version and written file the columns, in the order that the 1EdTech CSV binding gives."""

_FILES_1_1 = _words(
    """academicSessions categories classes classResources courses courseResources demographics enrollments lineItems
    orgs resources results users"""
)
_FILES_1_2 = _FILES_1_1 + _words(
    """lineItemLearningObjectiveIds lineItemScoreScales resultLearningObjectiveIds resultScoreScales roles scoreScales
    userProfiles userResources"""
)
_MANIFEST_FILES: Mapping[Version, tuple[str, ...]] = {"1.1": _FILES_1_1, "1.2": _FILES_1_2, "1.2.1": _FILES_1_2}

# Invented, and long and odd enough that none of them turns up by accident in a log line or a metric.
_GIVEN = _words(
    """Aldwena Arikko Aurélinde Belvane Bréonwy Caldrin Cassovia Céliane Corvina Daldric Delphora Dorvane Égrite
    Eldwyna Evrikke Faldora Féolin Gaspéria Gislane Grévin Halvdora Hesprin Ilvane Ingrelde Jalisko Jorvenna Kaldis
    Kéthra Kirvane Lisandrou Lorvik Lunéva Maldric Marvolie Mélusande Nalvora Nivélle Norwinka Oldéric Orsvika Palvina
    Pélagor Quillane Quorvin Rasvelle Rhédyn Rovanka Saldora Sélvik Sigrande Talvine Thésalie Torvina Ulvande Ursélie
    Valdoriel Vélimke Virgane Wenzolde Wilvara Xandrelle Yldéric Ysvane Zandorin Zoëlinde
    N'Dalivé Marie-Solvane D'Arvielle Jean-Tolvé Aïnhoave Søldrik Łuczanna Šimvelka"""
)
_STEMS = (
    *_words(
        """Abbern Aldvar Baldern Bràsk Brannik Corvel Cáldor Dreshk Eldov Fárnik Feldwar Galdrev Grünval Haldisk Hölvan
        Ivrask Jaldem Jørvel Kaldrim Kestov Lévorn Lurdask Maldev Mørsk Naldrov Ñarvel Oldermir Peldrask Quarvel Raldov
        Rystev Saldrin Skårv Taldresk Trévim Ulmarsk Valdrem Vörnik Waldesk Ystral Zaldrev Žarnik
        O'Brask D'Alvor N'Gorv"""
    ),
    "van Doldr",
    "de la Vésk",
)
_ENDINGS = _words(
    """aque arde aux averin eby egaard eldine elius emark enko eraux estad etto evald iakos idalle iensen ikova ingar
    iskay ofte oldsen onnet ovel uyden"""
)
_FAMILY = tuple(stem + ending for stem in _STEMS for ending in _ENDINGS)
_GIVEN_CYRILLIC = _words(
    """Адвиана Бронислэя Велимирка Градивой Дарвения Ельмира Жадвига Златовея Ирвинка Кассияна Лютомилка Мирослэв
    Надвинья Ольгердия Пересвета Радомилка Светояра Твердивой Услэва Фёдоринка Хвалимир Цветолика Юрвенна Ярополка"""
)
_STEMS_CYRILLIC = _words("Бранов Вельтов Гордын Дубрав Жемчуг Заревн Колыван Лесов Мирозв Ночвен Острогл Пересл")
_ENDINGS_CYRILLIC = _words("енко ейчук овляк ильюк увайло ашвили")
_FAMILY_CYRILLIC = tuple(stem + ending for stem in _STEMS_CYRILLIC for ending in _ENDINGS_CYRILLIC)
_CYRILLIC_IN = 12
"""One family in so many writes its name in Cyrillic script."""

_PLACES = _words(
    """Alder Amber Beacon Birch Bramble Cedar Clover Copper Coral Crane Elm Falcon Fern Flint Granite Hazel Heron Ivy
    Juniper Kestrel Larch Linden Maple Meadow Mill Oak Osprey Pebble Pine Quarry Raven Reed River Rowan Sable Sparrow
    Spruce Stone Thistle Willow"""
)
_SITES = _words("Hill Creek Park Grove Bridge Point Lake Field Harbour Ridge Valley")

_STAFF_ROLES = ("principal", "siteAdministrator", "aide")
"""One of each per school, beside its teachers."""

_ROLES_1_1 = {
    "student": "student",
    "teacher": "teacher",
    "aide": "aide",
    "guardian": "guardian",
    "principal": "administrator",
    "siteAdministrator": "administrator",
    "districtAdministrator": "administrator",
}

_DISTRICT = "d-1"
_NAME_KEY_STAFF, _NAME_KEY_GUARDIANS = 1 << 40, 1 << 41  # far above any student's index
_NAMESAKE_EVERY, _NAMESAKE_DISTANCE = 97, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was written. People are counted once, however many roles and records they have."""

    schools: int
    students: int
    teachers: int
    other_staff: int
    guardians: int
    rows: Mapping[str, int]
    """Rows per file, without the header; by the names of the manifest, such as `enrollments`."""

    @property
    def total_rows(self) -> int:
        """All rows of all files but the manifest."""
        return sum(self.rows.values())


def generate(
    directory: Path,
    *,
    students: int,
    seed: int,
    today: date,
    schools: int | None = None,
    version: Version = "1.2",
    zip: bool = False,  # noqa: A002 - the word that callers and the command line use
) -> Counts:
    """Write a complete bulk export of a made-up district into `directory`, which is made when missing.

    The same arguments give the same bytes. Without `schools` there are three of them, or one per 700 students where
    that is more (a single one below 150 students). `today` falls inside the written school year, which runs from
    August to July. With `zip` the export is one archive, `export.zip`, which replaces an older one in a single step;
    otherwise it is a folder. About twelve rows per student, 80 bytes each.

    Raises InvalidSpecError when there are no students, fewer students than schools, or (folder) when `directory` holds
    files that do not belong to this export, because the manifest would then contradict the folder.
    """
    if schools is None:
        schools = max(3, round(students / STUDENTS_PER_SCHOOL)) if students >= 150 else 1
    if not 1 <= schools <= students:
        raise InvalidSpecError(f"cannot make {schools} schools for {students} students: each needs at least one")
    directory.mkdir(parents=True, exist_ok=True)
    district = _District(students=students, schools=schools, seed=seed, today=today)
    if not zip:
        _refuse_strangers(directory, version)
        (directory / "manifest.csv").unlink(missing_ok=True)
        return _write(district, version, lambda name: (directory / name).open("wb"))
    unfinished = directory / f".{ARCHIVE}.part"
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        counts = _write(district, version, lambda name: archive.open(_entry(name), "w", force_zip64=True))
    unfinished.replace(directory / ARCHIVE)
    return counts


def _entry(name: str) -> zipfile.ZipInfo:
    """An archive entry with a fixed date, so that the archive's bytes depend on its contents only."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _refuse_strangers(directory: Path, version: Version) -> None:
    ours = {"manifest.csv", *(f"{name}.csv" for name in HEADERS[version])}
    strangers = sorted(path.name for path in directory.iterdir() if path.name not in ours)
    if strangers:
        raise InvalidSpecError(
            f"{directory} holds {strangers[0]}, which is no part of a {version} export: use an empty directory"
        )


def _write(
    district: _District, version: Version, open_file: Callable[[str], AbstractContextManager[IO[bytes]]]
) -> Counts:
    """Write all files, the manifest last: a folder without one is visibly unfinished."""
    contents: dict[str, Iterable[pl.DataFrame]] = {
        "academicSessions": district.sessions(),
        "orgs": district.orgs(),
        "courses": district.courses(),
        "classes": district.classes(),
        "users": district.users_1_1() if version == "1.1" else district.people(),
        "roles": district.roles(),
        "enrollments": district.enrollments(version),
    }
    rows = {}
    for name, columns in HEADERS[version].items():
        with open_file(f"{name}.csv") as file:
            rows[name] = _write_blocks(file, columns, contents[name])
    manifest = pl.DataFrame(
        [
            ("manifest.version", "1.0"),
            ("oneroster.version", version),
            *((f"file.{name}", "bulk" if name in rows else "absent") for name in _MANIFEST_FILES[version]),
            ("source.systemName", "Homeroom's made-up district"),
            ("source.systemCode", "homeroom-generate"),
        ],
        schema=["propertyName", "value"],
        orient="row",
    )
    with open_file("manifest.csv") as file:
        _write_blocks(file, ("propertyName", "value"), [manifest])
    return Counts(
        schools=district.schools.height,
        students=district.students.height,
        teachers=district.slots.height,
        other_staff=district.staff.height - district.slots.height,
        guardians=district.guardians.height,
        rows=rows,
    )


def _write_blocks(file: IO[bytes], columns: tuple[str, ...], blocks: Iterable[pl.DataFrame]) -> int:
    """Append the blocks and return their rows; columns that a block lacks stay empty; line ends as RFC 4180 wants."""
    rows = 0
    for number, block in enumerate(blocks):
        empty = [pl.lit(None, dtype=pl.String).alias(name) for name in columns if name not in block.columns]
        block.with_columns(empty).select(columns).write_csv(file, include_header=number == 0, line_terminator="\r\n")
        rows += block.height
    return rows


def _u64(value: int) -> pl.Expr:
    return pl.lit(value, dtype=pl.UInt64)


def _id(prefix: str, index: pl.Expr) -> pl.Expr:
    """A source id; indexes count from 0, ids from 1."""
    return pl.concat_str(pl.lit(prefix), (index + 1).cast(pl.String))


def _constants(frame: pl.DataFrame, **values: str) -> pl.DataFrame:
    return frame.with_columns(pl.lit(value).alias(name) for name, value in values.items())


class _District:
    """The layout as integer columns, and each file derived from it as an iterable of frames.

    schools   school, id, name, first (student), pupils, low (grade), span (grades)
    slots     slot, school, school_id, grade, letter, letters (in the grade), grade_slot, school_slot (the first ones),
              position (in the school), school_slots, title, neighbour_slot, neighbour_slots (of the school before)
    students  student, position (in the grade), slot_position, and columns of the slot
    staff     id, role, school_id, name_key: the teacher of each slot, then the others
    guardians id, number, student (the eldest child), name_key
    """

    def __init__(self, *, students: int, schools: int, seed: int, today: date) -> None:
        self._seed = seed
        self._size = students
        self._today = today
        first_year = today.year if today.month >= 8 else today.year - 1
        self._start, self._end = date(first_year, 8, 1), date(first_year + 1, 8, 1)
        self._year = f"sy-{first_year + 1}"  # OneRoster calls a school year by the year in which it ends
        self._families = students // 5
        self.schools = self._lay_out_schools(schools)
        self.slots = self._lay_out_slots()
        self.students = self._seat_students()
        self.staff = self._hire_staff()
        self.guardians = self._find_guardians()
        self._teaching = self._assign_teachers()
        self._transfers = self._plan_transfers()
        self._second_roles = self._collect_second_roles()

    # Dice

    def _roll(self, index: pl.Expr, purpose: str, sides: int) -> pl.Expr:
        """A number below `sides` that depends on seed, purpose and index only; unsigned arithmetic wraps around."""
        key = int.from_bytes(blake2b(f"{self._seed}/{purpose}".encode(), digest_size=8).digest())
        mixed = (index.cast(pl.UInt64) ^ _u64(key)) * _u64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed // _u64(1 << 32))) * _u64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed // _u64(1 << 29))) * _u64(0x94D049BB133111EB)
        return (mixed // _u64(1 << 32)) % _u64(sides)

    # Layout

    def _lay_out_schools(self, count: int) -> pl.DataFrame:
        school = pl.col("school")
        kinds = [_KINDS_IN_A_ROW[n % len(_KINDS_IN_A_ROW)] if count >= 3 else "A" for n in range(count)]
        frame = pl.select(school=pl.int_range(count, dtype=pl.UInt64)).with_columns(
            weight=400 + self._roll(school, "weight", 600),
            site=(school + self._roll(pl.lit(0), "site", len(_PLACES))) % len(_PLACES),
            kind=pl.Series(kinds),
        )
        # Shares of the students by weight, exact: everybody gets one student, the rest is cut at the cumulated weights.
        cut = school + 1 + pl.col("weight").cum_sum() * (self._size - count) // pl.col("weight").sum()
        frame = frame.with_columns(end=cut).with_columns(first=pl.col("end").shift(1, fill_value=0))
        width = max(3, len(str(count)))
        return frame.join(_KINDS, on="kind", maintain_order="left").select(
            *("school", "first", "low", "span"),
            id=pl.concat_str(pl.lit("s-"), (school + 1).cast(pl.String).str.zfill(width)),
            name=pl.concat_str(
                _word(_PLACES, pl.col("site")),
                _word(_SITES, (school // len(_PLACES) + school) % len(_SITES)),
                "type",
                separator=" ",
            ),
            pupils=pl.col("end") - pl.col("first"),
        )

    def _lay_out_slots(self) -> pl.DataFrame:
        step = pl.col("grade") - pl.col("low")
        grades = (
            self.schools.with_columns(
                grade=pl.int_ranges(pl.col("low"), pl.col("low") + pl.col("span"), dtype=pl.UInt64)
            )
            .explode("grade", empty_as_null=False)
            .with_columns(
                grade_first=pl.col("first") + pl.col("pupils") * step // pl.col("span"),
                grade_end=pl.col("first") + pl.col("pupils") * (step + 1) // pl.col("span"),
            )
            .with_columns(in_grade=pl.col("grade_end") - pl.col("grade_first"))
            .with_columns(letters=(pl.col("in_grade") + HOMEROOM_SIZE - 1) // HOMEROOM_SIZE)
        )
        letter = pl.col("letter")
        slots = (
            grades.filter(pl.col("in_grade") > 0)
            .with_columns(letter=pl.int_ranges(0, pl.col("letters"), dtype=pl.UInt64))
            .explode("letter", empty_as_null=False)
            .with_row_index("slot")
            .with_columns(pl.col("slot").cast(pl.UInt64))
            .with_columns(
                pupils=pl.col("in_grade") * (letter + 1) // pl.col("letters")
                - pl.col("in_grade") * letter // pl.col("letters"),
                grade_slot=pl.col("slot") - letter,
                school_slot=pl.col("slot").min().over("school"),
                school_slots=pl.len().over("school").cast(pl.UInt64),
                title=pl.concat_str(
                    _word(tuple(grade.lstrip("0") for grade in GRADES), pl.col("grade")),
                    _word(tuple("abcdefghijklmnopqrstuvwxyz"), letter % 26),
                    pl.when(letter >= 26).then((letter // 26).cast(pl.String)).otherwise(pl.lit("")),
                ),
            )
            .with_columns(position=pl.col("slot") - pl.col("school_slot"))
        )
        before = slots.select(
            school=pl.col("school") + 1, neighbour_slot="school_slot", neighbour_slots="school_slots"
        ).unique()
        return slots.join(before, on="school", how="left", maintain_order="left").rename({"id": "school_id"})

    def _seat_students(self) -> pl.DataFrame:
        """One row per student, in the order of their homerooms."""
        return (
            self.slots.select(
                *("slot", "school", "school_id", "grade", "letter", "letters", "grade_slot", "grade_first"),
                *("school_slot", "school_slots"),
                slot_position="position",
                seat=pl.int_ranges(0, pl.col("pupils"), dtype=pl.UInt64),
            )
            .explode("seat", empty_as_null=False)
            .drop("seat")
            .with_row_index("student")
            .with_columns(pl.col("student").cast(pl.UInt64))
            .with_columns(position=pl.col("student") - pl.col("grade_first"))
        )

    def _hire_staff(self) -> pl.DataFrame:
        school = pl.col("school")
        teachers = self.slots.select(id=_id("t-", pl.col("slot")), role=pl.lit("teacher"), school_id="school_id")
        head = pl.DataFrame({"id": ["a-1"], "role": ["districtAdministrator"], "school_id": [_DISTRICT]})
        others = [
            self.schools.select(id=_id("a-", school * len(_STAFF_ROLES) + place + 1), role=pl.lit(role), school_id="id")
            for place, role in enumerate(_STAFF_ROLES)
        ]
        staff = pl.concat([teachers, head, *others]).with_row_index("number")
        return staff.with_columns(name_key=pl.col("number").cast(pl.UInt64) + _NAME_KEY_STAFF)

    def _find_guardians(self) -> pl.DataFrame:
        """One or two for each family, 1.6 per student; siblings have the same ones."""
        student, number = pl.col("student"), pl.col("number")
        eldest = pl.select(student=pl.int_range(self._size, dtype=pl.UInt64)).filter(
            ~self._is_younger(student) & self._has_guardian(student)
        )
        both = pl.concat(
            [
                eldest.with_columns(number=student * 2),
                eldest.filter(self._has_two_guardians(student)).with_columns(number=student * 2 + 1),
            ]
        )
        return both.select("number", "student", id=_id("g-", number), name_key=number + _NAME_KEY_GUARDIANS)

    @staticmethod
    def _has_guardian(eldest: pl.Expr) -> pl.Expr:
        return eldest % 50 != 49

    @staticmethod
    def _has_two_guardians(eldest: pl.Expr) -> pl.Expr:
        return (eldest % 5 == 0) | (eldest % 5 == 2)

    # Names

    def _family_key(self, student: pl.Expr) -> pl.Expr:
        """The index that a student's family name comes from: siblings share it (see `_agents`), namesakes too."""
        own = self._name_key(student)
        if self._families == 0:
            return own
        return pl.when(self._is_younger(own)).then(self._elder(own)).otherwise(own)

    @staticmethod
    def _name_key(student: pl.Expr) -> pl.Expr:
        """The index that a student's given name comes from: every 97th student is a namesake of another one."""
        namesake = student % _NAMESAKE_EVERY == _NAMESAKE_DISTANCE * 2
        return pl.when(namesake).then(student - _NAMESAKE_DISTANCE).otherwise(student)

    def _is_younger(self, student: pl.Expr) -> pl.Expr:
        return (student % 5 == 1) & (student < self._families * 5)

    def _elder(self, student: pl.Expr) -> pl.Expr:
        """The elder sibling of a younger one: a third of the district away, so mostly in another grade or school."""
        family = (student // 5 + self._families - self._families // 3) % self._families
        return family * 5

    def _agents(self, student: pl.Expr) -> pl.Expr:
        """The guardians of a student, as the list that `agentSourcedIds` holds."""
        eldest = student
        if self._families:
            eldest = pl.when(self._is_younger(student)).then(self._elder(student)).otherwise(student)
        first, second = _id("g-", eldest * 2), _id("g-", eldest * 2 + 1)
        both = pl.when(self._has_two_guardians(eldest)).then(pl.concat_str(first, second, separator=","))
        return pl.when(self._has_guardian(eldest)).then(both.otherwise(first))

    def _given(self, key: pl.Expr, family_key: pl.Expr, purpose: str = "given") -> pl.Expr:
        latin = self._roll(key, purpose, len(_GIVEN))
        cyrillic = len(_GIVEN) + self._roll(key, purpose, len(_GIVEN_CYRILLIC))
        index = pl.when(self._is_cyrillic(family_key)).then(cyrillic).otherwise(latin)
        return _word(_GIVEN + _GIVEN_CYRILLIC, index)

    def _family(self, key: pl.Expr) -> pl.Expr:
        latin = self._roll(key, "family", len(_FAMILY))
        cyrillic = len(_FAMILY) + self._roll(key, "family", len(_FAMILY_CYRILLIC))
        name = _word(_FAMILY + _FAMILY_CYRILLIC, pl.when(self._is_cyrillic(key)).then(cyrillic).otherwise(latin))
        doubled = pl.concat_str(name, pl.lit("-"), _word(_FAMILY, self._roll(key, "second family", len(_FAMILY))))
        return pl.when((self._roll(key, "doubled", 25) == 0) & ~self._is_cyrillic(key)).then(doubled).otherwise(name)

    def _is_cyrillic(self, family_key: pl.Expr) -> pl.Expr:
        return self._roll(family_key, "script", _CYRILLIC_IN) == 0

    # Who teaches what, and where

    def _assign_teachers(self) -> pl.DataFrame:
        """Columns class, school_id, user, primary, principal (bool), away (bool: not the user's own school)."""
        return pl.concat(frame for subject in range(len(SUBJECTS)) for frame in self._teachers_of(subject))

    def _teachers_of(self, subject: int) -> Iterator[pl.DataFrame]:
        slots = pl.col("school_slots")
        lead = pl.col("slot")
        if subject != _HOMEROOM:
            # Teacher n of a school teaches subject n mod 6; those of one subject take turns. Where a small school
            # has none for a subject, any other teacher does it.
            kinds = len(SUBJECTS) - 1
            turns = pl.max_horizontal((slots + kinds - subject) // kinds, _u64(1))
            specialist = pl.col("school_slot") + (subject - 1 + kinds * (pl.col("position") % turns)) % slots
            whole = (pl.col("grade") < FIRST_SECONDARY_GRADE) & pl.lit(subject not in {_SPORT, _ART})
            lead = pl.when(whole).then(lead).otherwise(specialist)
        away = pl.lit(subject == _ART) & (pl.col("school") % 2 == 1) & (pl.col("position") % 8 == 1)
        visitor = pl.col("neighbour_slot") + (_ART - 1) % pl.col("neighbour_slots")
        number = pl.col("slot") * len(SUBJECTS) + subject
        frame = self.slots.with_columns(lead=pl.when(away).then(visitor).otherwise(lead), away=away, number=number)
        shape = {"class": _id("c-", pl.col("number")), "school_id": pl.col("school_id")}
        no, yes = pl.lit(value=False), pl.lit(value=True)
        yield frame.select(**shape, user=_id("t-", pl.col("lead")), primary=yes, principal=no, away="away")
        teaching_principal = pl.lit(subject == _HOMEROOM) & (pl.col("school") % 3 == 0) & (pl.col("position") == 0)
        co_taught = (number % 9 == 0) & (slots > 1) & ~teaching_principal
        second = pl.col("school_slot") + (pl.col("lead") - pl.col("school_slot") + 1) % slots
        yield frame.filter(co_taught & ~pl.col("away")).select(
            **shape, user=_id("t-", second), primary=no, principal=no, away=no
        )
        principal = _id("a-", pl.col("school") * len(_STAFF_ROLES) + 1)
        yield frame.filter(teaching_principal).select(**shape, user=principal, primary=no, principal=yes, away=no)

    @staticmethod
    def _class_number(subject: int) -> pl.Expr:
        """The class that a student attends in a subject."""
        mixed = pl.col("grade_slot") + (pl.col("position") + subject * pl.col("letter")) % pl.col("letters")
        apart = (pl.col("grade") >= FIRST_SECONDARY_GRADE) & pl.lit(subject != _HOMEROOM)
        return pl.when(apart).then(mixed).otherwise(pl.col("slot")) * len(SUBJECTS) + subject

    def _plan_transfers(self) -> pl.DataFrame:
        """The extra enrollments of a few students. Columns class, school_id, user, beginDate, endDate, visit (bool).

        One student in a hundred has left a mathematics class, one joins a second science class later in the year, one
        attends an art class of the next school.
        """
        start, end, today = self._start, self._end, self._today
        left = start + (today - start) // 2
        joins = today + max(timedelta(days=1), (end - today) // 2)
        beside = pl.col("school_slot") + (pl.col("slot_position") + 1) % pl.col("school_slots")
        next_schools = self.slots.filter(pl.col("position") == 0).select(
            "school",
            next_id=pl.col("school_id").shift(-1).fill_null(pl.col("school_id").first()),
            next_slot=pl.col("slot").shift(-1, fill_value=0),
        )
        hundredth = pl.col("student") % 100
        frames = []
        for turn, subject, begins, ends in ((10, _MATH, start, left), (20, _SCIENCE, joins, end)):
            if begins >= ends:  # on the first or last day of the school year
                continue
            other = beside * len(SUBJECTS) + subject
            frames.append(
                self.students.filter((hundredth == turn) & (other != self._class_number(subject))).select(
                    **{"class": _id("c-", other)},
                    school_id="school_id",
                    user=_id("u-", pl.col("student")),
                    beginDate=pl.lit(begins.isoformat()),
                    endDate=pl.lit(ends.isoformat()),
                    visit=pl.lit(value=False),
                )
            )
        frames.append(
            self.students.filter((hundredth == 50) & pl.lit(self.schools.height > 1))
            .join(next_schools, on="school", maintain_order="left")
            .select(
                **{"class": _id("c-", pl.col("next_slot") * len(SUBJECTS) + _ART)},
                school_id="next_id",
                user=_id("u-", pl.col("student")),
                beginDate=pl.lit(start.isoformat()),
                endDate=pl.lit(end.isoformat()),
                visit=pl.lit(value=True),
            )
        )
        return pl.concat(frames)

    def _collect_second_roles(self) -> pl.DataFrame:
        """Columns user, role, school_id: teachers and students in a second school, principals who teach."""
        teaching = self._teaching.filter(pl.col("away") | pl.col("principal"))
        visiting = self._transfers.filter("visit")
        return (
            pl.concat(
                [
                    teaching.select("user", "school_id", role=pl.lit("teacher")),
                    visiting.select("user", "school_id", role=pl.lit("student")),
                ]
            )
            .unique()
            .sort("user", "school_id")
        )

    # Files

    def sessions(self) -> Iterator[pl.DataFrame]:
        """The school year, two semesters in it, two terms in each; end dates are exclusive."""
        start, end, year = self._start, self._end, self._year
        middle = date(end.year, 1, 16)
        rows = [
            (year, f"{start.year}-{end.year}", "schoolYear", start, end, None),
            (f"{year}-s1", "Autumn semester", "semester", start, middle, year),
            (f"{year}-s2", "Spring semester", "semester", middle, end, year),
            (f"{year}-t1", "Term 1", "term", start, date(start.year, 10, 24), f"{year}-s1"),
            (f"{year}-t2", "Term 2", "term", date(start.year, 10, 24), middle, f"{year}-s1"),
            (f"{year}-t3", "Term 3", "term", middle, date(end.year, 4, 10), f"{year}-s2"),
            (f"{year}-t4", "Term 4", "term", date(end.year, 4, 10), end, f"{year}-s2"),
        ]
        columns = ["sourcedId", "title", "type", "startDate", "endDate", "parentSourcedId"]
        yield _constants(pl.DataFrame(rows, schema=columns, orient="row"), schoolYear=str(end.year))

    def orgs(self) -> Iterator[pl.DataFrame]:
        """The district and its schools."""
        yield pl.DataFrame({"sourcedId": [_DISTRICT], "name": ["Lakeside Unified"], "type": ["district"]})
        schools = self.schools.select(
            sourcedId="id", name="name", identifier=(pl.col("school") + 1).cast(pl.String).str.zfill(5)
        )
        yield _constants(schools, type="school", parentSourcedId=_DISTRICT)

    def courses(self) -> Iterator[pl.DataFrame]:
        """One course per grade and subject, all of them the district's."""
        courses = pl.DataFrame(
            [
                (
                    *(f"co-{subject.code}-{grade}", f"{subject.title} {grade.lstrip('0')}", f"{subject.code}-{grade}"),
                    *(grade, subject.subjects, subject.codes),
                )
                for grade in GRADES
                for subject in SUBJECTS
            ],
            schema=["sourcedId", "title", "courseCode", "grades", "subjects", "subjectCodes"],
            orient="row",
        )
        yield _constants(courses, schoolYearSourcedId=self._year, orgSourcedId=_DISTRICT)

    def classes(self) -> Iterator[pl.DataFrame]:
        """Per subject one class for every slot; some have no grade, as real exports do."""
        for index, subject in enumerate(SUBJECTS):
            homeroom = index == _HOMEROOM
            number = pl.col("slot") * len(SUBJECTS) + index
            grade = _word(GRADES, pl.col("grade"))
            course = pl.concat_str(pl.lit(f"{subject.code}-"), grade)
            name = pl.col("title") if homeroom else pl.concat_str(pl.lit(f"{subject.title} "), pl.col("title"))
            classes = self.slots.select(
                sourcedId=_id("c-", number),
                title=name,
                grades=grade if homeroom else pl.when(number % 41 != 40).then(grade),
                courseSourcedId=pl.concat_str(pl.lit("co-"), course),
                classCode=pl.concat_str(course, pl.lit("-"), pl.col("title")),
                location=pl.concat_str(pl.lit("Room "), (pl.col("position") + 101).cast(pl.String)),
                schoolSourcedId="school_id",
            )
            yield _constants(
                classes,
                classType="homeroom" if homeroom else "scheduled",
                termSourcedIds=self._year if homeroom else f"{self._year}-s1,{self._year}-s2",
                subjects=subject.subjects,
                subjectCodes=subject.codes,
                periods=str(index),
            )

    def people(self) -> Iterator[pl.DataFrame]:
        """Everybody, once: the users of 1.2, and a column `role` for the primary role at the primary organisation."""
        yield self._staff_people()
        yield from (self._student_people(block) for block in self._student_blocks())
        yield from (self._guardian_people(block) for block in self.guardians.iter_slices(BLOCK))

    def _student_blocks(self) -> Iterator[pl.DataFrame]:
        return self.students.iter_slices(BLOCK)

    def _student_people(self, students: pl.DataFrame) -> pl.DataFrame:
        student = pl.col("student")
        people = students.select(
            sourcedId=_id("u-", student),
            userIds=_accounts(_id("u-", student), has_one=student % 10 != 6),
            enabledUser=pl.when(student % 150 == 77).then(pl.lit("false")).otherwise(pl.lit("true")),
            givenName=self._given(self._name_key(student), self._family_key(student)),
            familyName=self._family(self._family_key(student)),
            middleName=pl.when(student % 3 == 0).then(
                self._given(self._name_key(student), self._family_key(student), "middle")
            ),
            identifier=(student + 1).cast(pl.String).str.zfill(8),
            agentSourcedIds=self._agents(student),
            grades=_word(GRADES, pl.col("grade")),
            preferredGivenName=pl.when(student % 40 == 7).then(
                self._given(student, self._family_key(student), "preferred")
            ),
            primaryOrgSourcedId="school_id",
            old_enough=pl.col("grade") >= FIRST_GRADE_WITH_EMAIL,
        )
        address = pl.concat_str(pl.col("sourcedId"), pl.lit("@pupils.lakeside.example"))
        return _constants(_with_username(people), role="student").with_columns(
            email=pl.when("old_enough").then(address)
        )

    def _staff_people(self) -> pl.DataFrame:
        key = pl.col("name_key")
        password = pl.concat_str(pl.lit("chalk-"), self._roll(key, "password", 10**6).cast(pl.String).str.zfill(6))
        address = pl.concat_str(pl.col("id"), pl.lit("@staff.lakeside.example"))
        people = self.staff.select(
            "role",
            sourcedId="id",
            userIds=pl.concat_str(pl.lit("{Fed:"), address, pl.lit("},"), _accounts(pl.col("id"))),
            givenName=self._given(key, key),
            familyName=self._family(key),
            email=address,
            password=pl.when(pl.col("number") % 8 == 0).then(password),
            primaryOrgSourcedId="school_id",
        )
        return _constants(_with_username(people), enabledUser="true")

    def _guardian_people(self, guardians: pl.DataFrame) -> pl.DataFrame:
        family_key = self._family_key(pl.col("student"))
        people = guardians.join(
            self.students.select("student", "school_id"), on="student", maintain_order="left"
        ).select(
            sourcedId="id",
            userIds=_accounts(pl.col("id"), has_one=pl.col("number") % 6 != 4),
            givenName=self._given(pl.col("name_key"), family_key),
            familyName=self._family(family_key),
            email=pl.concat_str(pl.col("id"), pl.lit("@families.lakeside.example")),
            primaryOrgSourcedId="school_id",
        )
        return _constants(_with_username(people), role="guardian", enabledUser="true")

    def users_1_1(self) -> Iterator[pl.DataFrame]:
        """Version 1.1 has no roles file: one user record per person and role, with all the schools of that role."""
        second = self._second_roles.with_columns(role_1_1=pl.col("role").replace_strict(_ROLES_1_1))
        for block in self.people():
            records = block.with_columns(pl.col("role").replace_strict(_ROLES_1_1)).join(
                second.select(sourcedId="user", role_1_1="role_1_1", second_school="school_id"),
                on="sourcedId",
                how="left",
                maintain_order="left",
            )
            same_role = records.filter((pl.col("role") == pl.col("role_1_1")).fill_null(value=True))
            both = pl.concat_str("primaryOrgSourcedId", "second_school", separator=",", ignore_nulls=True)
            yield same_role.with_columns(orgSourcedIds=both)
            other_role = records.filter(pl.col("role") != pl.col("role_1_1"))
            yield other_role.with_columns(orgSourcedIds="primaryOrgSourcedId")
            yield other_role.with_columns(
                sourcedId=_teaching_record(pl.col("sourcedId")), role="role_1_1", orgSourcedIds="second_school"
            )

    def roles(self) -> Iterator[pl.DataFrame]:
        """One primary role per person, and the second roles."""
        primary = (
            block.select(userSourcedId="sourcedId", role="role", orgSourcedId="primaryOrgSourcedId")
            for block in self.people()
        )
        second = self._second_roles.select(userSourcedId="user", role="role", orgSourcedId="school_id")
        first = 0
        for block, kind in [*((block, "primary") for block in primary), (second, "secondary")]:
            yield _constants(_numbered(block, "r-", first), roleType=kind)
            first += block.height

    def enrollments(self, version: Version) -> Iterator[pl.DataFrame]:
        """Teachers first, then students subject by subject, then the transfers."""
        first = 0
        for block in self._enrollment_blocks(version):
            yield _numbered(block, "e-", first)
            first += block.height

    def _enrollment_blocks(self, version: Version) -> Iterator[pl.DataFrame]:
        user = pl.col("user")
        if version == "1.1":
            user = pl.when("principal").then(_teaching_record(user)).otherwise(user)
        teaching = self._teaching.select(
            classSourcedId="class",
            schoolSourcedId="school_id",
            userSourcedId=user,
            primary=pl.when("primary").then(pl.lit("true")).otherwise(pl.lit("false")),
        )
        yield _constants(teaching, role="teacher")
        for subject in range(len(SUBJECTS)):
            for block in self._student_blocks():
                attending = block.select(
                    classSourcedId=_id("c-", self._class_number(subject)),
                    schoolSourcedId="school_id",
                    userSourcedId=_id("u-", pl.col("student")),
                )
                dates = {"beginDate": self._start.isoformat(), "endDate": self._end.isoformat()}
                yield _constants(attending, role="student", **dates)
        transfers = self._transfers.select(
            "beginDate", "endDate", classSourcedId="class", schoolSourcedId="school_id", userSourcedId="user"
        )
        yield _constants(transfers, role="student")


def _word(words: tuple[str, ...], index: pl.Expr) -> pl.Expr:
    """The word at each index."""
    return pl.lit(pl.Series(words)).gather(index)


def _accounts(identity: pl.Expr, *, has_one: pl.Expr | None = None) -> pl.Expr:
    """The chat account of each person, as an item of `userIds`."""
    account = pl.concat_str(pl.lit("{Matrix:@"), identity, pl.lit(":lakeside.example}"))
    return account if has_one is None else pl.when(has_one).then(account)


def _with_username(people: pl.DataFrame) -> pl.DataFrame:
    """User names as student systems make them: letters of the name as they are, unique by the number of the record."""
    family = pl.col("familyName").str.replace_all(" ", "", literal=True)
    number = pl.col("sourcedId").str.replace("-", "", literal=True)
    name = pl.concat_str("givenName", family, number, separator=".").str.to_lowercase()
    return people.with_columns(username=name)


def _teaching_record(user: pl.Expr) -> pl.Expr:
    """The id of the second 1.1 record of a principal who teaches."""
    return pl.concat_str(user, pl.lit(".teacher"))


def _numbered(block: pl.DataFrame, prefix: str, first: int) -> pl.DataFrame:
    return block.with_row_index("number", offset=first).with_columns(sourcedId=_id(prefix, pl.col("number")))
