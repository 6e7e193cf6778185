"""A small valid export that tests change one thing at a time."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from homeroom.api import Extensions
from homeroom.roster.tables import Roster
from homeroom.sources import Snapshot
from homeroom.sources.oneroster_csv import OneRosterCSV
from homeroom.sources.package import Limits

NAMES = ("Vesperine", "Quorvaldsen", "Ysolde", "Brambleveil", "Tamsiniel", "Oakenthwaite", "Zephirine", "Dunmorrowe")
"""Made-up names in the export; none of them may appear in any finding or error."""

FILES: dict[str, str] = {
    "academicSessions.csv": """\
sourcedId,status,dateLastModified,title,type,startDate,endDate,parentSourcedId,schoolYear
sy-1,,,2026-2027,schoolYear,2026-08-01,2027-08-01,,2027
t-1,,,Autumn,term,2026-08-01,2027-01-16,sy-1,2027
t-2,,,Spring,term,2027-01-16,2027-08-01,sy-1,2027
""",
    "orgs.csv": """\
sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId
d-1,,,Lakeside Unified,district,,
s-1,,,Sparrow Hill,school,0001,d-1
s-2,,,Otter Creek,school,0002,d-1
""",
    "courses.csv": """\
sourcedId,status,dateLastModified,schoolYearSourcedId,title,courseCode,grades,orgSourcedId,subjects,subjectCodes
co-1,,,sy-1,Homeroom,HR,"01,02",d-1,homeroom/advisory,22
co-2,,,sy-1,Mathematics,MA,,d-1,"math,science","02,03"
""",
    "classes.csv": """\
sourcedId,status,dateLastModified,title,grades,courseSourcedId,classCode,classType,location,schoolSourcedId,\
termSourcedIds,subjects,subjectCodes,periods
c-1,,,1a,01,co-1,HR-1a,homeroom,101,s-1,sy-1,homeroom/advisory,22,0
c-2,,,2b,02,co-1,HR-2b,homeroom,102,s-2,sy-1,homeroom/advisory,22,0
c-3,,,Maths,,co-2,MA-1,scheduled,103,s-1,"t-1,t-2","math,science","02,03",1
""",
    "users.csv": """\
sourcedId,status,dateLastModified,enabledUser,username,userIds,givenName,familyName,middleName,identifier,email,sms,\
phone,agentSourcedIds,grades,password,userMasterIdentifier,preferredGivenName,preferredMiddleName,preferredFamilyName,\
primaryOrgSourcedId,pronouns
u-1,,,true,vq,{Fed:u-1},Vesperine,Quorvaldsen,,i1,vq@lakeside.example,,,,,chalk-1,,,,,s-1,
u-2,,,true,yb,,Ysolde,Brambleveil,,i2,,,,u-5,01,blue-2,,Tamsiniel,,,s-1,
u-3,,,false,to,"{Matrix:@to:school.example},{Fed:u-3}",Tamsin,Oakenthwaite,,i3,,,,,02,,,,,,s-2,
u-4,,,true,zd,,Zephirine,Dunmorrowe,,i4,zd@lakeside.example,,,"u-5,u-1","01,02",,,,,,s-1,
u-5,,,true,aa,,Zephirine,Quorvaldsen,,,,,,,01,,,,,,s-1,
""",
    "roles.csv": """\
sourcedId,status,dateLastModified,userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,userProfileSourcedId
r-1,,,u-1,primary,teacher,,,s-1,
r-2,,,u-2,primary,student,2026-08-01,2027-08-01,s-1,
r-3,,,u-3,primary,student,,,s-2,
r-4,,,u-4,primary,student,,,s-1,
r-5,,,u-1,secondary,principal,,,s-2,
r-6,,,u-5,primary,student,,,s-1,
""",
    "enrollments.csv": """\
sourcedId,status,dateLastModified,classSourcedId,schoolSourcedId,userSourcedId,role,primary,beginDate,endDate
e-1,,,c-1,s-1,u-1,teacher,true,,
e-2,,,c-1,s-1,u-2,student,,2026-08-01,2027-08-01
e-3,,,c-2,s-2,u-3,student,,,
e-4,,,c-1,s-1,u-4,student,,2026-08-01,2026-10-01
e-5,,,c-3,s-1,u-4,student,,,
e-6,,,c-3,s-1,u-1,teacher,false,,
e-7,,,c-2,s-2,u-1,teacher,true,,
e-8,,,c-3,s-1,u-5,student,,,
""",
    "manifest.csv": """\
propertyName,value
manifest.version,1.0
oneroster.version,1.2
file.academicSessions,bulk
file.classes,bulk
file.courses,bulk
file.demographics,absent
file.enrollments,bulk
file.orgs,bulk
file.roles,bulk
file.users,bulk
""",
}

USERS_1_1 = """\
sourcedId,status,dateLastModified,enabledUser,orgSourcedIds,role,username,userIds,givenName,familyName,middleName,\
identifier,email,sms,phone,agentSourcedIds,grades,password
u-1,,,true,"s-1,s-2",teacher,vq,,Vesperine,Quorvaldsen,,,,,,,,chalk-1
u-2,,,true,s-1,student,yb,,Ysolde,Brambleveil,,,,,,,01,
u-3,,,true,s-2,student,to,,Tamsin,Oakenthwaite,,,,,,,02,
u-4,,,true,s-1,student,zd,{Matrix:@zd},Zephirine,Dunmorrowe,,,,,,"u-5,u-2",01,
u-5,,,true,d-1,administrator,aa,,Zephirine,Quorvaldsen,,,,,,,,
"""


@dataclass
class Export:
    """Files as text or bytes, to be changed and written as a folder or archive."""

    files: dict[str, str | bytes] = field(default_factory=lambda: deepcopy(dict(FILES)))

    def text(self, file: str) -> str:
        content = self.files[file]
        assert isinstance(content, str)
        return content

    def table(self, file: str) -> list[list[str]]:
        """Header and rows."""
        return list(csv.reader(io.StringIO(self.text(file))))

    def put(self, file: str, table: list[list[str]]) -> Export:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(table)
        self.files[file] = out.getvalue()
        return self

    def set(self, file: str, row: int, column: str, value: str) -> Export:
        """Change one cell; row 2 is the first below the header."""
        table = self.table(file)
        table[row - 1][table[0].index(column)] = value
        return self.put(file, table)

    def replace(self, file: str, old: str, new: str) -> Export:
        assert old in self.text(file)
        self.files[file] = self.text(file).replace(old, new)
        return self

    def add_column(self, file: str, column: str, values: Mapping[str, str]) -> Export:
        """A column at the far right, its values by source id."""
        head, *rows = self.table(file)
        return self.put(file, [[*head, column], *([*row, values.get(row[0], "")] for row in rows)])

    def drop_column(self, file: str, column: str) -> Export:
        table = self.table(file)
        at = table[0].index(column)
        return self.put(file, [row[:at] + row[at + 1 :] for row in table])

    def bytes_of(self, file: str) -> bytes:
        content = self.files[file]
        return content.encode() if isinstance(content, str) else content

    def folder(self, path: Path) -> Path:
        for file in self.files:
            place = path / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(self.bytes_of(file))
        return path

    def archive(self, path: Path) -> Path:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in self.files:
                archive.writestr(file, self.bytes_of(file))
        return path


@pytest.fixture
def export() -> Export:
    """A valid export of version 1.2."""
    return Export()


@pytest.fixture
def export_1_1(export: Export) -> Export:
    """A valid export of version 1.1: roles are in users.csv."""
    del export.files["roles.csv"]
    export.files["users.csv"] = USERS_1_1
    return export.replace("manifest.csv", "version,1.2", "version,1.1").replace("manifest.csv", "file.roles,bulk\n", "")


Reader = Callable[..., Snapshot]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Write an export to a fresh folder (or take a path) and read it."""
    numbers = iter(range(1_000_000))

    def run(
        export: Export | Path,
        *,
        previous: Roster | None = None,
        limits: Limits | None = None,
        extensions: Extensions | None = None,
    ) -> Snapshot:
        source = OneRosterCSV(url="file:///x", file_root=tmp_path, limits=limits, extensions=extensions)
        path = export if isinstance(export, Path) else export.folder(tmp_path / f"export-{next(numbers)}")
        return source.read(path, previous=previous)

    return run


@pytest.fixture
def names() -> tuple[str, ...]:
    """Names of people in the export."""
    return NAMES
