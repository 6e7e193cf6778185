"""What a pool and its licences come to, and what each of them says of it. Pure: no cluster, no store, no clock.

::

    licences, what was granted, who held a seat --+
    register of units, records of districts ------+--> `decide` --> Outcome --> `said_of_licence`, `said_of_pool`

Neighbours: `licensepool` (gathers and applies), `homeroom.seats` (who gets what), `homeroom.api.conditions` (states).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import polars as pl
from pydantic import ValidationError

from homeroom.api import (
    Access,
    District,
    LicensePool,
    LicensePoolSpec,
    LicensePoolStatus,
    Reason,
    RegistryType,
    SchoolLicense,
    SchoolLicenseStatus,
    UnitStatus,
    conditions,
)
from homeroom.api.conditions import ConditionType
from homeroom.plan import Hold
from homeroom.reconcile.activity import Activity, remembered, unused, use_of
from homeroom.reconcile.approvals import held_message, hold_statuses
from homeroom.reconcile.keys import KeyState, with_key, without_key
from homeroom.reconcile.ports import Cluster, Key, Object, key_of
from homeroom.reconcile.run import Ending
from homeroom.roster.shared import View, barring
from homeroom.roster.tables import Roster, repeated
from homeroom.seats.access import CONNECTED_SCHEMA, NO_TEACHERS, settle_access
from homeroom.seats.arbiter import Claim, Grant, Pool, Unit, told
from homeroom.seats.assignment import DEMAND_SCHEMA, SEATS_SCHEMA, pairs_of, students_of, teachers_of
from homeroom.seats.revocation import NONE_REVOKED
from homeroom.seats.settlement import Settlement, licence_id, settle
from homeroom.seats.units import UNIT_SCHEMA, SchoolUnit, resolve_all
from homeroom.seats.usage import TAUGHT_SCHEMA
from homeroom.store import CONNECTIONS_SCHEMA, GRANTS_SCHEMA, LICENCE_DAYS_SCHEMA, LICENCE_SCHEMA, Day, Seating

_NO_KEYS: Final[Mapping[str, KeyState]] = MappingProxyType({})
_NOBODY: Final = pl.DataFrame(schema=CONNECTIONS_SCHEMA)
_LICENCE_DAY: Final = pl.Schema({name: type_ for name, type_ in LICENCE_DAYS_SCHEMA.items() if name != "day"})
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def pool_of(licence: Object) -> Key:
    """The pool that a SchoolLicense names."""
    return _named_pool(licence.get("spec"), licence)


def apps_of_pool(cluster: Cluster, pool: Key) -> Iterator[Key]:
    """LearningApps, of any namespace, that are for those who hold a seat of this pool."""
    for obj in cluster.every("LearningApp"):
        if _named_pool(obj["spec"].get("seating"), obj) == pool:
            yield key_of(obj)


def _named_pool(part: Mapping[str, Any] | None, obj: Object) -> Key:
    """The pool that `poolRef` in a part of an object names; one without a name where there is none."""
    reference = (part or {}).get("poolRef") or {}
    return Key("LicensePool", reference.get("namespace") or obj["metadata"]["namespace"], reference.get("name", ""))


def pools_of_district(cluster: Cluster, district: Key) -> list[Key]:
    """The pools that look at a district: for the students of their licences, or for its schools as units."""
    licences = cluster.list("SchoolLicense", district.namespace)
    found = [pool_of(obj) for obj in licences if _names(obj.get("spec"), district.name)]
    pools = cluster.list("LicensePool", district.namespace)
    found += [
        Key("LicensePool", district.namespace, obj["metadata"]["name"])
        for obj in pools
        if _names((obj.get("spec") or {}).get("unitRegistry"), district.name)
    ]
    return list(dict.fromkeys(found))


def _names(part: Mapping[str, object] | None, district: str) -> bool:
    reference = (part or {}).get("districtRef")
    return isinstance(reference, Mapping) and reference.get("name") == district


# ---------------------------------------------------------------------------------------------------------------------
# Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """One SchoolLicense of a pool. Without a `model` it stands still, for a `reason`: what it is is in `raw`."""

    namespace: str
    name: str
    model: SchoolLicense | None = None
    raw: Object = field(default_factory=dict)
    reason: Reason = Reason.INVALID_SPEC
    error: str = ""

    @property
    def id(self) -> str:
        """Namespace and name."""
        return licence_id(self.namespace, self.name)

    @property
    def district(self) -> str | None:
        """The district whose students take its seats: namespace and name."""
        reference = self.model.spec.district_ref if self.model is not None else None
        return None if reference is None else licence_id(self.namespace, reference.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What one district has for a pool. `problem`: why its records are not known now; then the rest says nothing.

    `digest`: of the records. `schools`: columns UNIT_SCHEMA, each under its identifier and its source id. `demand`:
    DEMAND_SCHEMA. `school_of`: source id of the school of each licence; None: several have the identifier.
    `schoolless`: ids of licences whose school is not known by that. `denied`: source ids of people who get nothing.
    `connected`: CONNECTED_SCHEMA, teachers.
    `taught`: columns TAUGHT_SCHEMA, only where it was asked for; a teacher without students has a null.
    """

    problem: str = ""
    digest: str = ""
    schools: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=UNIT_SCHEMA))
    demand: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=DEMAND_SCHEMA))
    school_of: Mapping[str, str | None] = field(default_factory=dict)
    schoolless: frozenset[str] = frozenset()
    denied: Sequence[str] = ()
    connected: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=CONNECTED_SCHEMA))
    taught: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TAUGHT_SCHEMA))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a pool is decided by. `pool` None: there is none; then of registers and records nothing is known.

    `gone`: ids of licences that are revoked: what they gave is taken back now. `missing`: ids of those that are not
    there, though nobody saw them deleted, and since when. `revoked`: REVOKED_SCHEMA, what the store keeps of those that
    went. `connections`: CONNECTIONS_SCHEMA, of all that the pool knows. `admitted`: namespaces that may have licences.
    `units`: the register, UNIT_SCHEMA; None: not known. `register_problem`: why not, or why it is an old list.
    `records`: by district. `grace` None: the clock is in doubt, and nothing ends because of time. `activity`: what is
    known of the use of seats.
    """

    pool: LicensePoolSpec | None
    licences: Sequence[Licence]
    gone: Collection[str]
    before: Seating
    today: date
    grace: timedelta | None
    missing: Mapping[str, date] = field(default_factory=dict)
    revoked: pl.DataFrame = field(default_factory=NONE_REVOKED.clear)
    connections: pl.DataFrame = field(default_factory=_NOBODY.clear)
    admitted: Collection[str] = ()
    units: pl.DataFrame | None = None
    register_problem: str = ""
    records: Mapping[str, Records] = field(default_factory=dict)
    activity: Activity = field(default_factory=Activity)


_NO_RECORDS: Final = Records()


def records_of(
    roster: Roster,
    district: District,
    licences: Sequence[Licence],
    *,
    digest: str,
    today: date,
    connections: pl.DataFrame = _NOBODY,
    by_teacher: bool = False,
) -> Records:
    """What the records of a district have for `licences`, which are all of that district. `today`: the district's.

    `connections`: CONNECTIONS_SCHEMA, who is connected by a key. `by_teacher`: with `taught`, which no run needs, and
    which is many times as long.
    """
    place = licence_id(district.metadata.namespace, district.metadata.name)
    coded = schools_by_code(roster)
    schools = coded.unique("code", keep="first", maintain_order=True).select(
        "code",
        name=pl.col("name").fill_null(pl.col("id")),
        status=pl.lit(UnitStatus.ACTIVE.value),
        municipality=pl.lit(None, pl.String),
    )
    denied = district.spec.denied()
    wanted = pl.DataFrame(
        [
            (
                each.id,
                each.model.spec.school or each.model.spec.school_unit,
                each.model.spec.school is not None,
                each.model.spec.access is Access.KEY,
            )
            for each in licences
            if each.model
        ],
        {"licence": pl.String, "code": pl.String, "by_id": pl.Boolean, "by_key": pl.Boolean},
        orient="row",
    ).join(_found(coded), on=["code", "by_id"], how="left", maintain_order="left")
    view = View(roster=barring(roster, denied), homeroom=district.spec.homeroom, today=today)
    enrolled = view.enrolled.filter(~view.disabled[view.enrolled["user"]])
    school, rows = roster.classes["school"], wanted["row"]
    automatic = wanted.select(pl.when(~pl.col("by_key")).then("row")).to_series()
    by_key = wanted.with_row_index("number").filter("by_key", pl.col("row").is_not_null())
    of_school = teachers_of(enrolled, school=school, licences=automatic)
    with_key = _by_key(by_key, connections, district=district.metadata.name)
    users = roster.users.select(teacher="id").with_row_index("user")
    connected = pl.concat(
        [of_school, with_key.join(users, on="teacher").select(pl.col("number").alias("licence"), "user")]
    )
    students = students_of(enrolled, connected, school=school, licences=rows)
    taught = pl.DataFrame(schema=TAUGHT_SCHEMA)
    if by_teacher:
        pairs = pairs_of(enrolled, connected, school=school, licences=rows)
        taught = pairs.select(
            licence=wanted["licence"][pairs["licence"]],
            district=pl.repeat(place, pl.len(), dtype=pl.String),
            teacher=roster.users["id"][pairs["teacher"]],
            student=roster.users["id"][pairs["user"]],
        )
    return Records(
        digest=digest,
        schools=schools,
        demand=pl.DataFrame(
            {
                "district": repeated(place, students.height, dtype=pl.String),
                "student": roster.users["id"][students["user"]],
                "licence": wanted["licence"][students["licence"]],
            }
        ),
        school_of=dict(wanted.filter(pl.col("schools").is_not_null()).select("licence", "id").iter_rows()),
        schoolless=frozenset(wanted.filter(pl.col("row").is_null())["licence"]),
        denied=denied,
        connected=pl.concat(
            [
                of_school.select(
                    teacher=users["teacher"][of_school["user"]],
                    licence=wanted["licence"][of_school["licence"]],
                    by_key=pl.lit(value=False),
                ),
                with_key.select("teacher", "licence", by_key=pl.lit(value=True)),
            ]
        )
        .filter(~pl.col("teacher").is_in(list(denied)))
        .select(pl.lit(place).alias("district"), pl.all()),
        taught=taught,
    )


def schools_by_code(roster: Roster) -> pl.DataFrame:
    """The schools [code, by_id, row, id, name], each under its identifier, if it has one, and under its source id."""
    schools = roster.orgs.with_row_index("row").filter(pl.col("type") == "school")
    codes = [
        schools.filter(pl.col("identifier").is_not_null()).with_columns(code="identifier", by_id=False),
        schools.with_columns(code="id", by_id=True),
    ]
    return pl.concat(codes).select("code", "by_id", "row", "id", "name")


def _found(coded: pl.DataFrame) -> pl.DataFrame:
    """Which school a code means [code, by_id, schools, row, id]: `by_id` as `spec.school`, else as that of a unit.

    The code of a unit is the identifier of its school, else the source id. `schools`: how many it could be; if several
    have it as their identifier it means none of them, nobody guesses, and row and id are null.
    """
    one = pl.len() == 1
    meant = [pl.len().alias("schools"), *(pl.when(one).then(pl.first(name)).alias(name) for name in ("row", "id"))]
    found = coded.group_by("code", "by_id").agg(meant)
    by_identifier = found.filter(~pl.col("by_id"))
    rest = found.filter("by_id").join(by_identifier, on="code", how="anti").with_columns(by_id=pl.lit(value=False))
    return pl.concat([found, rest])


def _by_key(licences: pl.DataFrame, connections: pl.DataFrame, *, district: str) -> pl.DataFrame:
    """[teacher, licence, number]: whom a key connected to these, by ids; the records may not have them any more.

    `licences` [number, licence, ...]: row numbers of `Records`' licences, and their ids.
    """
    return (
        keyed_in(connections.filter(pl.col("district") == district))
        .select("teacher", "licence")
        .join(licences.select("licence", "number"), on="licence")
    )


def keyed_in(connections: pl.DataFrame) -> pl.DataFrame:
    """[district, teacher, licence] of CONNECTIONS_SCHEMA: district and licence by namespace and name."""
    return connections.select(
        pl.concat_str("namespace", pl.lit("/"), "district").alias("district"),
        "teacher",
        pl.concat_str("namespace", pl.lit("/"), "licence").alias("licence"),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came out. `units`: per licence, what the register says. `after`: what the store keeps.

    `use`: as `homeroom.reconcile.activity.use_of` has it; None: it is not known now.
    """

    settlement: Settlement
    claims: Mapping[str, Claim]
    units: Mapping[str, SchoolUnit | Reason]
    counts: Mapping[str, tuple[int, int, int]]
    after: Seating
    use: pl.DataFrame | None = None

    @property
    def holding(self) -> frozenset[str]:
        """Ids of the licences by which somebody has a seat, or classes."""
        return in_use(self.after)


def in_use(seating: Seating) -> frozenset[str]:
    """Ids of the licences by which somebody has a seat, or is connected."""
    teachers = NO_TEACHERS if seating.teachers is None else seating.teachers.filter("connected")
    return frozenset(seating.seats["licence"].unique()) | frozenset(teachers["licence"].unique())


def missing_since(before: Seating, present: Collection[str], *, today: date, in_doubt: bool) -> dict[str, date]:
    """Licences that are not `present`, though nobody saw them deleted, and since when; sorted.

    `in_doubt`: the clock may have jumped, and every time of grace begins anew.
    """
    since: dict[str, date | None] = dict.fromkeys(in_use(before))
    since |= dict(before.grants.select("licence", "missing").iter_rows())
    return {
        licence: today if in_doubt else day or today for licence, day in sorted(since.items()) if licence not in present
    }


def decide(facts: Facts) -> Outcome:
    """Share the pool out to all its licences, and seat their students."""
    present = {each.id for each in facts.licences}
    granted = dict(facts.before.grants.select("licence", "granted").iter_rows())
    seats = _without_denied(facts.before.seats, facts.records).filter(~pl.col("licence").is_in(list(facts.gone)))
    missing = {licence: day for licence, day in facts.missing.items() if licence not in facts.gone}
    seats = seats.filter(pl.col("licence").is_in([*present, *missing]))
    units = _units(facts)
    claims = [_claim(each, facts, granted.get(each.id, 0), units[each.id]) for each in facts.licences]
    # Who vanished without a word gives nothing back that is in use: perhaps the cluster is being built anew.
    held = set(seats["licence"].unique())
    claims += [_ghost(licence) for licence in missing if licence in held]
    unsure = [district for district, found in facts.records.items() if found.problem]
    if facts.pool is None:
        unsure = [*seats["district"].unique(), *facts.before.reclaimed["district"].unique()]
    demand = pl.concat([pl.DataFrame(schema=DEMAND_SCHEMA), *(found.demand for found in facts.records.values())])
    doubtful = facts.pool is not None and facts.grace is None
    idle = unused(facts.before, seats, facts.activity, pool=facts.pool, today=facts.today, doubtful=doubtful)
    settlement = settle(
        _pool(facts.pool),
        claims,
        demand,
        seats,
        today=facts.today,
        grace=facts.grace,
        unsure=unsure,
        still=frozenset().union(*(found.schoolless for found in facts.records.values())),
        idle=idle.yielding,
    )
    held_now = settlement.assignment.seats
    noticed, reclaimed = remembered(
        idle, facts.before.reclaimed, seats=held_now, demand=demand, unsure=unsure, today=facts.today
    )
    now = {licence_id(*claim.key): settlement.grant(claim).seats for claim in settlement.claims}
    rows: list[tuple[str, int, date | None]] = [(licence, now[licence], None) for licence in present]
    rows += [(licence, granted.get(licence, 0), day) for licence, day in missing.items()]
    after = Seating(
        grants=pl.DataFrame(rows, GRANTS_SCHEMA, orient="row").sort("licence"),
        seats=held_now if facts.grace is not None else _anew(settlement, facts.today),
        records=_digests(facts),
        noticed=noticed,
        reclaimed=reclaimed,
        teachers=_teachers(facts, settlement, missing),
        revoked=facts.revoked,
    )
    if facts.pool is None and not rows:  # neither pool nor licence
        after = Seating()
    use = None
    if facts.pool is not None and facts.grace is not None and not facts.activity.problem:
        use = use_of(held_now, noticed, facts.activity, pool=facts.pool, today=facts.today)
    return Outcome(
        settlement=settlement,
        claims={licence_id(*claim.key): claim for claim in settlement.claims},
        units=units,
        counts={licence: (used, demand, waits) for licence, used, demand, waits in settlement.assignment.counts.rows()},
        after=after,
        use=use,
    )


def _without_denied(seats: pl.DataFrame, records: Mapping[str, Records]) -> pl.DataFrame:
    for district, found in records.items():
        if found.denied:
            seats = seats.filter((pl.col("district") != district) | ~pl.col("student").is_in(list(found.denied)))
    return seats


def _teachers(facts: Facts, settlement: Settlement, missing: Collection[str]) -> pl.DataFrame | None:
    """Whom the licences connect. None stays None until it can be known of all: nobody may lose classes before."""
    open_, still = set[str](), {*missing}
    grants = {licence_id(*claim.key): settlement.grant(claim) for claim in settlement.claims}
    unknown = facts.before.teachers is None
    if unknown and facts.pool is None:
        return None
    for each in facts.licences:
        if unknown and each.namespace not in facts.admitted:
            continue  # a stranger's
        records = facts.records.get(each.district or "")
        known = records is not None and not records.problem and each.id not in records.schoolless
        known = known and each.namespace in facts.admitted
        is_open = known and (unknown or grants[each.id].open)
        (open_ if is_open else still).add(each.id)
    if unknown and still:
        return None
    before = NO_TEACHERS if facts.before.teachers is None else facts.before.teachers
    for district, found in facts.records.items():
        if found.denied:
            before = before.filter((pl.col("district") != district) | ~pl.col("teacher").is_in(list(found.denied)))
    return settle_access(
        before,
        pl.concat([pl.DataFrame(schema=CONNECTED_SCHEMA), *(found.connected for found in facts.records.values())]),
        keyed=keyed_in(facts.connections),
        open_=open_,
        still=still,
    )


def _anew(settlement: Settlement, today: date) -> pl.DataFrame:
    """Who holds a seat, with the grace beginning today for whoever has left: the clock it ran by is in doubt."""
    return settlement.assignment.seats.with_columns(
        left=pl.when(pl.col("left").is_not_null()).then(pl.lit(today))
    ).select(SEATS_SCHEMA.names())


def _digests(facts: Facts) -> dict[str, str]:
    """By which records the students of each district were seated last."""
    kept = {name: digest for name, digest in facts.before.records.items() if name in facts.records or not facts.pool}
    return kept | {name: found.digest for name, found in facts.records.items() if found.digest}


def _units(facts: Facts) -> dict[str, SchoolUnit | Reason]:
    codes = [each.model.spec.school_unit if each.model else "" for each in facts.licences]
    units = pl.DataFrame(schema=UNIT_SCHEMA) if facts.units is None else facts.units
    return dict(zip((each.id for each in facts.licences), resolve_all(codes, units), strict=True))


def _claim(licence: Licence, facts: Facts, previous: int, unit: SchoolUnit | Reason) -> Claim:
    model = licence.model
    if model is None:  # invalid is not absent, nor is what may not go yet: it keeps what it has
        return Claim(
            namespace=licence.namespace,
            name=licence.name,
            unit="",
            requested=previous,
            created=_LONG_AGO,
            previous=previous,
            revoking=True,
        )
    spec = model.spec
    state = Unit.KNOWN
    if unit is Reason.SCHOOL_UNIT_CLOSED:
        state = Unit.CLOSED
    elif unit is Reason.SCHOOL_UNIT_UNKNOWN and spec.unit_override is None:
        state = Unit.UNKNOWN
    return Claim(
        namespace=licence.namespace,
        name=licence.name,
        unit=spec.school_unit,
        requested=spec.seats,
        created=model.metadata.creation_timestamp or _LONG_AGO,
        priority=spec.priority,
        previous=previous,
        allowed=licence.namespace in facts.admitted,
        unit_state=state,
    )


def _ghost(licence: str) -> Claim:
    namespace, _, name = licence.partition("/")
    return Claim(namespace=namespace, name=name, unit="", requested=0, created=_LONG_AGO, revoking=True)


def _pool(spec: LicensePoolSpec | None) -> Pool | None:
    return None if spec is None else Pool.of(spec)


# ---------------------------------------------------------------------------------------------------------------------
# Words


def told_to_teachers(
    licences: Sequence[SchoolLicense], said: Mapping[str, SchoolLicenseStatus], records: Collection[Records]
) -> pl.DataFrame:
    """What the web service may tell of licences, by what was `said` of each: LICENCE_SCHEMA."""
    school_of = {licence: school for found in records for licence, school in found.school_of.items()}
    rows = []
    for licence in licences:
        spec, name, namespace = licence.spec, licence.metadata.name, licence.metadata.namespace
        status = said[licence_id(namespace, name)]
        if spec.district_ref is not None:
            school = school_of.get(licence_id(namespace, name)) or spec.school or spec.school_unit
            place = (namespace, name, spec.district_ref.name, school)
            seats = (status.granted, status.used, status.waiting_students)
            rows.append((*place, status.unit_name or spec.school_unit, *seats))
    return pl.DataFrame(rows, LICENCE_SCHEMA, orient="row")


def said_of_licences(
    facts: Facts, outcome: Outcome, *, pool: Key, now: datetime, keys: Mapping[str, KeyState] = _NO_KEYS
) -> Iterator[tuple[Licence, SchoolLicenseStatus]]:
    """The status of each licence. `keys`: of those with `access: Key`, by id."""
    shared = _pool(facts.pool)
    capacity = shared.capacity if shared is not None else 0
    use = _use_of_each(facts, outcome)
    ask = f"; ask {facts.pool.contact}" if facts.pool is not None and facts.pool.contact else ""
    for licence in facts.licences:
        if licence.model is None:
            yield licence, _still(licence, outcome, now=now)
            continue
        claim = outcome.claims[licence.id]
        grant = outcome.settlement.grant(claim)
        words = told(claim, grant, capacity=capacity)
        if grant.reason is Reason.POOL_NOT_FOUND:
            words = f"LicensePool '{pool.namespace}/{pool.name}' is missing; {words}"
        if grant.reason is Reason.SCHOOL_UNIT_UNKNOWN and facts.register_problem:
            words = f"{facts.register_problem}; {words}"
        granted = grant.reason is Reason.GRANTED
        status = conditions.with_condition(
            licence.model.status,
            type_=ConditionType.SEATS_GRANTED,
            value=granted,
            reason=grant.reason,
            message=words if granted else words + ask,
            generation=licence.model.metadata.generation,
            now=now,
        ).model_copy(update={"granted": grant.seats, "used": claim.used, **use.get(licence.id, {})})
        if facts.pool is None:
            yield licence, _in_state(licence.model, status, grant.reason, words, now=now)
            continue
        status = _with_unit(licence.model, status, outcome.units[licence.id], ask=ask, facts=facts, now=now)
        reason, seated = _seated(licence, facts, outcome, grant)
        status = conditions.with_condition(
            status,
            type_=ConditionType.SEATED,
            value=reason is Reason.SEATED,
            reason=reason,
            message=seated,
            generation=licence.model.metadata.generation,
            now=now,
        )
        if reason is not Reason.DEPENDENCY_NOT_READY:  # else what was known stays
            _, demand, waiting = outcome.counts.get(licence.id, (0, 0, 0))
            status = status.model_copy(update={"demand": demand, "waiting_students": waiting})
        key = keys.get(licence.id)
        status = without_key(status) if key is None else with_key(licence.model, status, key, now=now)
        if not granted:
            reason, words = grant.reason, words + ask
        elif key is not None and key.problem is not None:
            reason, words = key.problem
        elif reason in {Reason.DEPENDENCY_NOT_READY, Reason.SCHOOL_NOT_FOUND}:
            words = seated
        else:
            words = words if reason is Reason.SEATED else f"{words}; {seated}"
            reason = Reason.GRANTED
        yield licence, _in_state(licence.model, status, reason, words, now=now)


def _use_of_each(facts: Facts, outcome: Outcome) -> Mapping[str, Mapping[str, int]]:
    """What each licence says of who uses its seats; nothing, where that is not known now: what was known stays."""
    if outcome.use is None:
        return {}
    found = {row[0]: row[1:] for row in outcome.use.select("licence", "active", "idle").iter_rows()}
    each = ((licence.id, found.get(licence.id, (0, 0))) for licence in facts.licences)
    return {licence: {"active_students": active, "idle_seats": idle} for licence, (active, idle) in each}


def _still(licence: Licence, outcome: Outcome, *, now: datetime) -> SchoolLicenseStatus:
    """As it was, but for its seats: a pool that shrinks takes back what nobody uses from this one, too."""
    try:
        status = SchoolLicenseStatus.model_validate(licence.raw.get("status") or {})
    except ValidationError:  # of another release
        status = SchoolLicenseStatus()
    claim = outcome.claims[licence.id]
    status = status.model_copy(update={"granted": outcome.settlement.grant(claim).seats, "used": claim.used})
    generation = licence.raw["metadata"].get("generation", 0)
    return conditions.failed(status, generation=generation, reason=licence.reason, message=licence.error, now=now)


def _in_state(
    licence: SchoolLicense, status: SchoolLicenseStatus, reason: Reason, words: str, *, now: datetime
) -> SchoolLicenseStatus:
    """Ready, or what somebody has to change first: here, in the pool, or in another licence."""
    generation = licence.metadata.generation
    if reason is Reason.GRANTED:
        return conditions.done(status, generation=generation, reason=reason, message=words, now=now)
    return conditions.failed(status, generation=generation, reason=reason, message=words, now=now)


def _with_unit(
    licence: SchoolLicense,
    status: SchoolLicenseStatus,
    unit: SchoolUnit | Reason,
    *,
    ask: str,
    facts: Facts,
    now: datetime,
) -> SchoolLicenseStatus:
    override, name = licence.spec.unit_override, status.unit_name
    if isinstance(unit, SchoolUnit):
        reason, words, name = Reason.UNIT_RESOLVED, "the register knows the unit", unit.name
        if unit.status is not UnitStatus.ACTIVE:
            words += f", which is {unit.status.value.lower()}"
    elif unit is Reason.SCHOOL_UNIT_UNKNOWN and override is not None:
        reason, name = Reason.UNIT_OVERRIDDEN, override.name
        words = "the register does not know the unit; `spec.unitOverride` says that it is right"
    else:
        reason, words = unit, f"{unit.means.partition(':')[0]}; {unit.todo}{ask}"
        if unit is Reason.SCHOOL_UNIT_UNKNOWN and facts.register_problem:
            words = f"{facts.register_problem}{ask}"
        if unit is Reason.SCHOOL_UNIT_UNKNOWN:
            name = None
    return conditions.with_condition(
        status.model_copy(update={"unit_name": name[:255] if name else None}),
        type_=ConditionType.SCHOOL_UNIT_RESOLVED,
        value=reason in {Reason.UNIT_RESOLVED, Reason.UNIT_OVERRIDDEN},
        reason=reason,
        message=words,
        generation=licence.metadata.generation,
        now=now,
    )


def _seated(licence: Licence, facts: Facts, outcome: Outcome, grant: Grant) -> tuple[Reason, str]:
    """Reason and words of the condition `Seated`."""
    if grant.reason is Reason.NOT_ALLOWED_BY_POOL:
        return grant.reason, grant.reason.means.partition(":")[0]
    found = facts.records.get(licence.district or "", _NO_RECORDS)
    if found.problem:
        return Reason.DEPENDENCY_NOT_READY, f"{found.problem}; who holds a seat keeps it"
    if licence.id in found.schoolless:
        assert licence.model is not None
        school, todo = licence.model.spec.school or licence.model.spec.school_unit, Reason.SCHOOL_NOT_FOUND.todo
        if licence.id in found.school_of:
            return Reason.SCHOOL_NOT_FOUND, f"several schools of the records have the identifier '{school}': {todo}"
        return Reason.SCHOOL_NOT_FOUND, f"the records have no school '{school}': {todo}"
    _, _, waiting = outcome.counts.get(licence.id, (0, 0, 0))
    if not waiting:
        return Reason.SEATED, Reason.SEATED.means
    waits = "1 student waits" if waiting == 1 else f"{waiting:,} students wait"
    return (Reason.FULL if grant.open else grant.reason), f"{waits} for a seat"


def said_of_pool(
    pool: LicensePool, facts: Facts, outcome: Outcome, holds: Sequence[Hold], *, now: datetime
) -> tuple[LicensePoolStatus, Reason, str, Ending]:
    """The pool's status without its state, and the reason, the words and the ending of the run. `holds`: open ones."""
    shares, found = outcome.settlement.shares, outcome.settlement.assignment
    shared = _pool(facts.pool)
    assert shared is not None
    reasons = [outcome.settlement.grant(outcome.claims[each.id]).reason for each in facts.licences]
    lacking = sum(reason is not Reason.GRANTED for reason in reasons)
    demand = pl.concat([pl.DataFrame(schema=DEMAND_SCHEMA), *(each.demand for each in facts.records.values())])
    status = pool.status.model_copy(
        update={
            "capacity": shared.capacity,
            "granted": shares.granted,
            "used": shares.used,
            "demand": demand.select("district", "student").n_unique() if demand.height else 0,
            "waiting_students": found.waiting.select("district", "student").n_unique() if found.waiting.height else 0,
            "licenses": len(facts.licences),
            "waiting_licenses": lacking,
            "holds": hold_statuses(holds),
        }
    )
    told_of_holds = held_message(holds, contact=pool.spec.contact) if holds else None
    status = conditions.held(status, message=told_of_holds, generation=pool.metadata.generation, now=now)
    status = _with_activity(pool, _with_register(pool, status, facts, now=now), facts, outcome, now=now)
    words = f"{shares.granted:,} of {shared.capacity:,} seats granted, {shares.used:,} used"
    if lacking:
        words += f"; licences that are not granted what they request: {lacking:,}"
    ask = f"; ask {pool.spec.contact}" if pool.spec.contact else ""
    if told_of_holds is not None:
        return status, Reason.HELD_FOR_APPROVAL, f"{told_of_holds}; {words}", Ending.STALLED
    if shares.over_allocated:
        return status, Reason.OVER_ALLOCATED, f"{words}; {Reason.OVER_ALLOCATED.means}{ask}", Ending.STALLED
    if pool.spec.suspend:
        return status, Reason.SUSPENDED, f"suspended: no seats are given; {words}", Ending.STALLED
    if pool.spec.valid_until is not None and facts.today > pool.spec.valid_until:
        expired = f"valid until {pool.spec.valid_until}: no seats are given; {words}{ask}"
        return status, Reason.POOL_EXPIRED, expired, Ending.STALLED
    if pool.spec.unit_registry.type is RegistryType.SKOLVERKET and facts.units is None:
        return status, Reason.REGISTER_UNAVAILABLE, f"{facts.register_problem}; {words}", Ending.RETRY
    return status, Reason.SUCCEEDED, words, Ending.DONE


def _with_register(pool: LicensePool, status: LicensePoolStatus, facts: Facts, *, now: datetime) -> LicensePoolStatus:
    """With the condition `UnitsFresh`, where the register is one that has to answer."""
    if pool.spec.unit_registry.type is not RegistryType.SKOLVERKET:
        kept = conditions.without(status.conditions, ConditionType.UNITS_FRESH)
        return status.model_copy(update={"conditions": kept})
    reason = Reason.REGISTER_STALE if facts.register_problem else Reason.REGISTER_READ
    if facts.units is None:
        reason = Reason.REGISTER_UNAVAILABLE
    return conditions.with_condition(
        status,
        type_=ConditionType.UNITS_FRESH,
        value=reason is Reason.REGISTER_READ,
        reason=reason,
        message=facts.register_problem or reason.means,
        generation=pool.metadata.generation,
        now=now,
    )


def day_of(facts: Facts, outcome: Outcome, status: LicensePoolStatus) -> Day:
    """How the pool is used today; `status`: what it says of itself."""
    grants = pl.DataFrame(
        [(each.id, outcome.settlement.grant(outcome.claims[each.id]).seats) for each in facts.licences],
        {"licence": pl.String, "granted": pl.Int64},
        orient="row",
    )
    counts = outcome.settlement.assignment.counts.select("licence", "used", "demand")
    active = pl.DataFrame(schema={"licence": pl.String, "active": pl.UInt32})
    if outcome.use is not None:
        active = outcome.use.select("licence", "active")
    licences = grants.join(counts, on="licence", how="left").join(active, on="licence", how="left")
    known = ["used", "demand"] if outcome.use is None else ["used", "demand", "active"]
    return Day(
        day=facts.today,
        capacity=status.capacity,
        granted=status.granted,
        used=status.used,
        demand=status.demand,
        active=None if outcome.use is None else int(outcome.use["active"].sum()),
        licences=licences.with_columns(pl.col(known).fill_null(0))
        .match_to_schema(_LICENCE_DAY, integer_cast="upcast")
        .sort("licence"),
    )


def _with_activity(
    pool: LicensePool, status: LicensePoolStatus, facts: Facts, outcome: Outcome, *, now: datetime
) -> LicensePoolStatus:
    """With the condition `ActivityFresh`, and, where use is known, with how many are active; else these stay."""
    use, problem = outcome.use, facts.activity.problem
    words = f"{problem}: nothing is reclaimed" if problem else Reason.ACTIVITY_FRESH.means
    if use is not None:
        status = status.model_copy(update={"active_students": use["active"].sum(), "idle_seats": use["idle"].sum()})
        if unknown := use["unknown"].sum():
            words += f"; of {unknown:,} of the students who hold a seat they tell nothing"
    return conditions.with_condition(
        status,
        type_=ConditionType.ACTIVITY_FRESH,
        value=not problem,
        reason=Reason.ACTIVITY_STALE if problem else Reason.ACTIVITY_FRESH,
        message=words,
        generation=pool.metadata.generation,
        now=now,
    )
