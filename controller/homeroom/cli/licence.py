"""`homeroom licence`: a school's licence made, resized or removed in the files of the working tree, ready to commit.

Flow: read the tree, ask whoever knows more (the operator's store, else the cluster), check unit, use and pool by the
very code that the operator decides by, show what would change, ask, write. Neighbours: `tree` (files and their
changes), `homeroom.seats.arbiter` (what a pool has room for), `units` (the register by itself).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import polars as pl
import typer
from platformdirs import user_cache_path

from homeroom.api import (
    API_VERSION,
    Access,
    District,
    LicensePool,
    Reason,
    RegistryType,
    SchoolLicense,
    UnitStatus,
    parse,
)
from homeroom.api.validate import validate_texts
from homeroom.cli import cluster, options, records, terminal, tree
from homeroom.cli.files import read_export
from homeroom.cli.seats import Object, is_a, place, reference, same
from homeroom.cli.tree import Edit, Place, Tree
from homeroom.errors import DependencyNotReadyError, HomeroomError, InvalidSpecError, RefusedError
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.licences import schools_by_code
from homeroom.roster.tables import Roster
from homeroom.seats.arbiter import Claim, Grant, Pool, arbitrate, told
from homeroom.seats.units import UNIT_SCHEMA, resolve, search
from homeroom.sources import load
from homeroom.store import Store

_SEATS: Final = ("spec", "seats")
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN: Final = 20
_LICENCE: Final = SchoolLicense.__name__
_POOL: Final = LicensePool.__name__


def command(
    action: Annotated[
        Literal["new", "resize", "remove"], typer.Argument(help="Make one, change its seats, or remove it.")
    ],
    name: Annotated[str, typer.Argument(help="Name of the SchoolLicense.")],
    seats: Annotated[
        int | None, typer.Argument(metavar="[SEATS]", help="How many it gets; also as --seats.", min=0)
    ] = None,
    *,
    seats_option: Annotated[int | None, typer.Option("--seats", help="How many it gets.", min=0)] = None,
    unit: Annotated[
        str | None, typer.Option(metavar="CODE", help="new: the code of the school unit in the pool's register.")
    ] = None,
    search_text: Annotated[
        str | None, typer.Option("--search", metavar="TEXT", help="new: find the unit by words of its name instead.")
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option(metavar="[NS/]NAME", help="new: of which LicensePool; by default the only one of the tree."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="new: into this file; by default beside the other licences of the pool.", dir_okay=False),
    ] = None,
    access: Annotated[
        Access | None, typer.Option(help="new: how teachers are connected; by default as the pool's others, else Key.")
    ] = None,
    district: Annotated[
        str | None, typer.Option(metavar="NAME", help="new: the District that has the school, where several may.")
    ] = None,
    school: Annotated[
        str | None, typer.Option(metavar="ID", help="new: source id of the school, where it is not known by its unit.")
    ] = None,
    unlisted: Annotated[
        str | None,
        typer.Option(metavar="UNIT-NAME", help="new: the register lacks the unit, and it is right; needs --reason."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="With --unlisted: why; it stays in Git, so no names of people.")
    ] = None,
    root: Annotated[Path, typer.Option("--tree", help="The folder whose files are edited.", exists=True)] = Path(),
    namespace: options.Namespace = None,
    context: options.Context = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the cluster how seats are used.")] = False,
    export: options.Records = None,
    allow_loopback: options.AllowLoopback = False,
    store: options.Store = None,
    data: options.Data = options.DATA,
    force: Annotated[
        bool, typer.Option("--force", help="Write although a check fails; what the operator does then is said.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
) -> int:
    """Make, resize or remove a school licence in the files of the working tree, ready to commit.

    Every character outside of the change stays as it is. Unit, use and pool are checked first, by the operator's store
    where it is, else by the cluster of your kubeconfig. The change is shown; nothing is written before you say so, and
    nothing is applied: that is the commit's business.

    Exit codes: 0 done (or shown), 1 refused, declined or wrong.

    homeroom licence new rowan-hill --search rowan --seats 40

    homeroom licence resize rowan-hill 60

    homeroom licence remove rowan-hill
    """
    seats = seats if seats is not None else seats_option
    for wrong, words in (
        ((action == "remove") != (seats is None), "SEATS goes with `new` and `resize`, which need it"),
        (action == "new" and (unit is None) == (search_text is None), "`new` needs either --unit or --search"),
        (
            action != "new"
            and any(each is not None for each in (unit, search_text, pool, file, access, district, school)),
            "--unit, --search, --pool, --file, --access, --district and --school go with `new`",
        ),
        ((unlisted is None) != (reason is None), "--unlisted and --reason go together"),
        (unlisted is not None and unit is None, "--unlisted needs --unit"),
        (not (yes or dry_run or sys.stdin.isatty()), "without a terminal, say --yes or --dry-run"),
    ):
        if wrong:
            raise typer.BadParameter(words)
    work = Tree.read(root)
    with records.opened(store, data, needed=False) as opened:
        if action == "new":
            assert seats is not None
            draft = _draft(work, name, pool, namespace=namespace, access=access, district=district)
            known = _known(opened, draft.namespace, draft.pool, context=context, offline=offline)
            bought = _bought(work, draft.pool, known)
            register = _units(bought, opened, export=export, allow_loopback=allow_loopback, code=unit, force=force)
            chosen = _chosen(register, unit, search_text, bought, unlisted=unlisted, force=force)
            document = draft.document(chosen, seats, school=school, unlisted=unlisted, reason=reason)
            claim = _Wish(namespace=draft.namespace, name=name, unit=chosen.code, seats=seats)
            sentence = _fit(work, claim, draft.pool, bought, known, force=force)
            edits = work.with_document(_file(work, name, draft, file), document)
            _check(work, edits, pool_known=bool(work.every(_POOL)))
            asked = f"{seats:,} seats of LicensePool '{draft.pool[1]}'"
            what = f"SchoolLicense '{name}' for {chosen.named} requests {asked}; {sentence}"
        else:
            at = work.one(_LICENCE, namespace or "", name)
            licence = _valid(work, at)
            space, named = place(at.document.data)[0] or namespace or "", reference(at.document.data)
            known = _known(opened, space, named, context=context, offline=offline)
            if action == "remove":
                edits, what = work.without(at), _loses(licence, space, known)
            elif seats == licence.spec.seats:
                terminal.say(f"SchoolLicense '{name}' has {seats:,} seats already: nothing to do")
                return 0
            else:
                assert seats is not None
                edits = work.with_number(at, _SEATS, seats)
                wish = _Wish(namespace=space, name=name, unit=licence.spec.school_unit, seats=seats)
                words = _fit(work, wish, named, _bought(work, named, known), known, force=force)
                what = f"SchoolLicense '{name}' requests {seats:,} seats instead of {licence.spec.seats:,}; {words}"
    tree.show(edits)
    terminal.say(f"\n{what}")
    if dry_run:
        return 0
    if not (yes or _agreed(action, name)):
        terminal.say("nothing was written")
        return 1
    tree.write(edits)
    terminal.say(f"written: {', '.join(str(edit.file) for edit in edits)}; it holds once it is committed and applied")
    return 0


def _agreed(action: str, name: str) -> bool:
    """Whether somebody at the terminal wants it; to remove takes more than a key that was hit by chance (R19)."""
    if action == "remove":
        return str(typer.prompt(f"type the name ({name}) to remove it", default="", show_default=False)) == name
    return typer.confirm("write that?")


# ---------------------------------------------------------------------------------------------------------------------
# What is known beside the files


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the operator knows. Seats in `use`, `granted` ones and `teachers` connected by key: licence -> how many.

    `objects`: pools and licences of the cluster. `told`: somebody did.
    """

    use: Mapping[str, int] = field(default_factory=dict)
    granted: Mapping[str, int] = field(default_factory=dict)
    teachers: Mapping[str, int] = field(default_factory=dict)
    objects: Sequence[Object] = ()
    told: bool = False

    def of(self, what: Mapping[str, int], namespace: str, name: str) -> int:
        """The number of one licence; without a namespace the largest of all licences of its name."""
        return max((n for one, n in what.items() if same(_split(one), (namespace, name))), default=0)


def _split(licence: str) -> tuple[str, str]:
    namespace, _, name = licence.partition("/")
    return namespace, name


def _known(store: Store | None, namespace: str, pool: tuple[str, str], *, context: str | None, offline: bool) -> _Known:
    """How seats are used and granted, by the store if it is here, else by the cluster."""
    if store is not None:
        grants = store.seating(namespace=pool[0] or namespace, pool=pool[1]).grants.select("licence", "granted")
        connected = store.licences.connections([namespace]).group_by(pl.concat_str("namespace", pl.lit("/"), "licence"))
        return _Known(
            use=store.seats_in_use(),
            granted=dict(grants.iter_rows()),
            teachers=dict(connected.len().iter_rows()),
            told=True,
        )
    try:
        if offline:
            raise DependencyNotReadyError("the cluster was not asked (--offline)")
        with terminal.working("asking the cluster"):
            objects = asyncio.run(_listed({namespace, pool[0]}, context))
    except HomeroomError as error:
        terminal.warning(f"how seats are used is not known here, the files alone count: {error.message}")
        return _Known()
    status = {
        "/".join(place(each)): told
        for each in objects
        if is_a(each, _LICENCE) and isinstance(told := each.get("status"), Mapping)
    }

    def numbers(name: str) -> dict[str, int]:
        return {one: told[name] for one, told in status.items() if isinstance(told.get(name), int)}

    return _Known(
        use=numbers("used"),
        granted=numbers("granted"),
        teachers=numbers("connectedTeachers"),
        objects=objects,
        told=True,
    )


async def _listed(namespaces: set[str], context: str | None) -> list[Object]:
    spaces = {space for space in namespaces if space} or {cluster.current_namespace(context)}
    async with cluster.connected(context) as api:
        found = [await cluster.every(api, kind, space) for space in sorted(spaces) for kind in (_POOL, _LICENCE)]
    return [obj for each in found for obj in each]


# ---------------------------------------------------------------------------------------------------------------------
# The pool


def _bought(work: Tree, named: tuple[str, str], known: _Known) -> LicensePool:
    """The pool as the tree declares it, else as it is in the cluster."""
    if any(same(place(each.document.data), named) for each in work.every(_POOL)):
        found = work.one(_POOL, *named).document.data
    else:
        there = [each for each in known.objects if is_a(each, _POOL) and same(place(each), named)]
        if not there:
            unread = [each.message for each in work.broken if _POOL in Path(each.file).read_text(encoding="utf-8")]
            why = ", nor has the cluster" if known.objects else ""
            raise InvalidSpecError("\n".join([f"{work.root} has no LicensePool '{named[1]}'{why}", *unread]))
        found = there[0]
    metadata = found.get("metadata")
    space = place(found)[0] or named[0] or "default"
    assert isinstance(metadata, Mapping)
    pool = parse({**found, "metadata": {**metadata, "namespace": space}})
    assert isinstance(pool, LicensePool)
    return pool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What somebody wants a licence to have; `namespace` empty: its file does not say."""

    namespace: str
    name: str
    unit: str
    seats: int


def _claims(work: Tree, named: tuple[str, str], known: _Known, *, now: datetime) -> list[Claim]:
    """All licences of the pool but those whose seats are no number, as the tree has them, else as the cluster has.

    Who was granted something stands in front of who is only declared yet.
    """
    declared = [each.document.data for each in work.every(_LICENCE)]
    rest = [each for each in known.objects if not any(same(place(each), place(one)) for one in declared)]
    found = []
    for data in [*declared, *rest]:
        spec = data.get("spec")
        if not is_a(data, _LICENCE) or not isinstance(spec, Mapping) or not same(reference(data), named):
            continue
        seats, priority = spec.get("seats"), spec.get("priority")
        if not isinstance(seats, int):
            continue
        namespace, name = place(data)
        granted, used = (known.of(what, namespace, name) for what in (known.granted, known.use))
        found.append(
            Claim(
                namespace=namespace,
                name=name,
                unit=str(spec.get("schoolUnit")),
                requested=seats,
                created=_LONG_AGO if granted or used else now,
                priority=priority if isinstance(priority, int) else 0,
                previous=granted,
                used=used,
            )
        )
    return list({claim.key: claim for claim in found}.values())


def _fit(work: Tree, wish: _Wish, named: tuple[str, str], pool: LicensePool, known: _Known, *, force: bool) -> str:
    """Whether the pool has room for it, in words. Raises RefusedError where it would never be granted."""
    bought, now = Pool.of(pool.spec), datetime.now(UTC)
    today = pool.spec.day(now)
    before = _claims(work, named, known, now=now)
    if not known.granted:  # as if all that is declared now were applied
        shares = arbitrate(bought, before, today=today)
        before = [replace(claim, previous=shares.grants[claim.key].seats) for claim in before]
    mine = Claim(namespace=wish.namespace, name=wish.name, unit=wish.unit, requested=0, created=now)
    mine = next((claim for claim in before if same(claim.key, mine.key)), mine)
    admits = pool.spec.allowed_namespaces is not None or same((wish.namespace, ""), (pool.metadata.namespace, ""))
    claim = replace(mine, requested=wish.seats, allowed=admits)
    shares = arbitrate(bought, [claim, *(one for one in before if one.key != mine.key)], today=today)
    grant = shares.grants[claim.key]
    words = _told(claim, grant, capacity=bought.capacity, free=max(shares.free or 0, 0))
    if grant.reason not in {Reason.GRANTED, Reason.WAITING_FOR_SEATS, Reason.BELOW_USAGE} and not force:
        raise RefusedError(f"{words} (--force writes it all the same)", reason=grant.reason)
    if grant.reason is Reason.BELOW_USAGE and not force:
        raise RefusedError(
            f"{claim.used:,} seats are in use, and nobody loses one by a resize: request at least {claim.used:,} "
            f"(--force writes it; then the licence keeps the {claim.used:,} in use, and shrinks as they fall free)",
            reason=grant.reason,
        )
    return words


def _told(claim: Claim, grant: Grant, *, capacity: int, free: int) -> str:
    match grant.reason:
        case Reason.GRANTED:
            return f"it fits: {free:,} of {capacity:,} stay free"
        case Reason.WAITING_FOR_SEATS:
            keeps = f", and keeps {grant.seats:,} till then" if grant.seats else ""
            return f"it will wait{keeps}: {free:,} of {capacity:,} are free, and {grant.lacks:,} more have to fall free"
        case _:
            return told(claim, grant, capacity=capacity)


# ---------------------------------------------------------------------------------------------------------------------
# The school unit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    """A school unit to write; `name` None: the register does not tell."""

    code: str
    name: str | None

    @property
    def named(self) -> str:
        """In words."""
        return f"unit {self.code} ({self.name})" if self.name else f"unit {self.code}"


def _units(
    pool: LicensePool,
    store: Store | None,
    *,
    export: Path | None,
    allow_loopback: bool,
    code: str | None,
    force: bool,
) -> pl.DataFrame | None:
    """The pool's register: UNIT_SCHEMA; None: it cannot be looked at, and that is to be passed over."""
    try:
        return _register(pool, store, export=export, allow_loopback=allow_loopback, code=code)
    except HomeroomError as error:
        if not force or code is None:
            raise
        terminal.warning(f"the unit was not checked: {error.message}")
        return None


def _register(
    pool: LicensePool, store: Store | None, *, export: Path | None, allow_loopback: bool, code: str | None
) -> pl.DataFrame:
    registry = pool.spec.unit_registry
    if registry.type is RegistryType.SKOLVERKET:
        return asyncio.run(_skolverket(pool, allow_loopback=allow_loopback, code=code))
    if registry.type is RegistryType.INLINE:
        rows = [(unit.code, unit.name, (unit.status or UnitStatus.ACTIVE).value, None) for unit in registry.units or ()]
        return pl.DataFrame(rows, UNIT_SCHEMA, orient="row")
    assert registry.district_ref is not None
    schools = schools_by_code(_roster(pool.metadata.namespace, registry.district_ref.name, store, export))
    if code is None:  # to choose from: each school once
        schools = schools.unique("id", keep="first", maintain_order=True)
    return schools.unique("code", keep="first", maintain_order=True).select(
        "code",
        pl.col("name").fill_null(pl.col("id")),
        status=pl.lit(UnitStatus.ACTIVE.value),
        municipality=pl.lit(None, pl.String),
    )


async def _skolverket(pool: LicensePool, *, allow_loopback: bool, code: str | None) -> pl.DataFrame:
    async def secrets(*, namespace: str, name: str) -> Mapping[str, str]:
        words = f"the way to the register needs the Secret '{namespace}/{name}', which this command does not read"
        raise InvalidSpecError(words)

    outside = Outside(owner_id="", allow_loopback=allow_loopback)
    register = await outside.register(pool, secrets, directory=user_cache_path("homeroom") / "registers")
    with terminal.working("asking the register"):
        listed = await register.read(now=datetime.now(UTC), wanted=[code] if code else [])
    if listed.told is not None:
        terminal.warning(listed.told)
    return listed.units


def _roster(namespace: str, district: str, store: Store | None, export: Path | None) -> Roster:
    """The records whose schools are the units."""
    if export is not None:
        return read_export(export, previous=None).roster
    accepted = store.accepted(namespace=namespace, district=district) if store is not None else None
    if store is None or accepted is None:
        raise DependencyNotReadyError(
            f"the units of this pool are the schools of District '{district}', whose records are not known here: give "
            "them with --records, or run this where the operator's store is"
        )
    return load(store.snapshots(namespace=namespace, district=district), accepted.serving).roster


def _chosen(
    units: pl.DataFrame | None,
    code: str | None,
    text: str | None,
    pool: LicensePool,
    *,
    unlisted: str | None,
    force: bool,
) -> _Unit:
    """The unit, which the register has (R6, R8). Raises InvalidSpecError with what there is, and whom to ask."""
    ask = f"; ask {pool.spec.contact}" if pool.spec.contact else ""
    if code is None:
        assert units is not None
        code = _found(units.filter(pl.col("status") != UnitStatus.CLOSED.value), text or "", ask=ask)
    if units is None:
        return _Unit(code=code, name=unlisted)
    unit = resolve(code, units)
    if not isinstance(unit, Reason):
        return _Unit(code=code, name=unit.name)
    if unit is Reason.SCHOOL_UNIT_UNKNOWN and unlisted is not None:
        return _Unit(code=code, name=unlisted)
    if unit is Reason.SCHOOL_UNIT_CLOSED:
        words = f"the register says that unit '{code}' is closed"
    else:
        words = (
            f"the register has no unit '{code}': --search finds it{ask}; --unlisted and --reason say that it is right"
        )
    if not force:
        raise InvalidSpecError(words)
    terminal.warning(f"{words}; {unit.means.rpartition(': ')[2]}")
    return _Unit(code=code, name=None)


def _found(units: pl.DataFrame, text: str, *, ask: str) -> str:
    """The code of the one unit with these words; of several, somebody at the terminal chooses."""
    found = search(units, text).select("code", "name")
    if found.is_empty():
        raise InvalidSpecError(f"the register has no unit '{text}': try less of the name{ask}")
    if found.height == 1:
        return str(found.item(0, "code"))
    rows = found.head(_SHOWN).rows()
    if not sys.stdin.isatty():
        there = "\n".join(f"{code}   {name}" for code, name in rows)
        more = f"\n... and {found.height - _SHOWN} more" if found.height > _SHOWN else ""
        raise InvalidSpecError(f"{found.height} units have '{text}': choose one with --unit\n{there}{more}")
    terminal.table(["", "CODE", "NAME"], [(number, *row) for number, row in enumerate(rows, start=1)])
    number = typer.prompt(f"which (1 to {len(rows)})", type=int)
    if not 1 <= number <= len(rows):
        raise InvalidSpecError(f"there is no number {number}: choose with --unit")
    return str(rows[number - 1][0])


# ---------------------------------------------------------------------------------------------------------------------
# A new licence


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """What a new licence takes from its surroundings; `namespace` empty: its file does not say.

    `pool`: namespace (empty: not said) and name. `mates`: the other licences of the pool. `pool_at`: where the pool is.
    """

    name: str
    namespace: str
    pool: tuple[str, str]
    mates: Sequence[Place]
    pool_at: Place | None
    access: Access
    district: str

    def document(self, unit: _Unit, seats: int, *, school: str | None, unlisted: str | None, reason: str | None) -> str:
        """As YAML, in the order of the docs."""
        space = f"\n  namespace: {self.namespace}" if self.namespace else ""
        far = f", namespace: {self.pool[0]}" if self.pool[0] not in {"", self.namespace} else ""
        comment = " ".join((unit.name or "").split())
        override = (
            f"\n  unitOverride: {{name: {_quoted(unlisted)}, reason: {_quoted(reason or '')}}}" if unlisted else ""
        )
        return (
            f"apiVersion: {API_VERSION}\nkind: {_LICENCE}\nmetadata:\n  name: {_word(self.name)}{space}\nspec:\n"
            f"  poolRef: {{name: {_word(self.pool[1])}{far}}}\n"
            f"  schoolUnit: {_quoted(unit.code)}{f' # {comment}' if comment else ''}{override}\n"
            f"  seats: {seats}\n  access: {self.access.value}\n  districtRef: {{name: {_word(self.district)}}}\n"
            + (f"  school: {_quoted(school)}\n" if school else "")
        )


def _draft(
    work: Tree,
    name: str,
    pool: str | None,
    *,
    namespace: str | None,
    access: Access | None,
    district: str | None,
) -> _Draft:
    """Whatever was not said, as it is with the other licences of the pool."""
    for each in work.every(_LICENCE):
        if same(place(each.document.data), (namespace or "", name)):
            raise InvalidSpecError(
                f"SchoolLicense '{name}' is there already, in {each}: resize it, or choose another name"
            )
    pools = {place(each.document.data): each for each in work.every(_POOL)}
    if pool is None and len(pools) != 1:
        there = ", ".join(sorted("/".join(filter(None, each)) for each in pools)) or "none"
        raise InvalidSpecError(f"of which pool? Name it with --pool (in {work.root} there is {there})")
    named = next(iter(pools)) if pool is None else _split(pool if "/" in pool else f"/{pool}")
    pool_at = next((at for key, at in pools.items() if same(key, named)), None)
    if pool_at is not None:
        named = (named[0] or place(pool_at.document.data)[0], named[1])
    mates = [each for each in work.every(_LICENCE) if same(reference(each.document.data), named)]
    spaces = [place(each.document.data)[0] for each in mates]
    space = namespace or (Counter(spaces).most_common(1)[0][0] if spaces else named[0])
    mates = [each for each in mates if place(each.document.data)[0] == space] or mates
    specs = [spec for each in mates if isinstance(spec := each.document.data.get("spec"), Mapping)]
    usual = {spec.get("access") for spec in specs}
    if access is None:
        access = Access(str(usual.pop())) if len(usual) == 1 and usual <= {*Access} else Access.KEY
    return _Draft(
        name=name,
        namespace=space,
        pool=named,
        mates=mates,
        pool_at=pool_at,
        access=access,
        district=district or _district(work, specs, space),
    )


def _district(work: Tree, specs: Sequence[Mapping[str, object]], namespace: str) -> str:
    """The District of the other licences, else the only one of the namespace."""
    named = {str(ref.get("name")) for spec in specs if isinstance(ref := spec.get("districtRef"), Mapping)}
    if not named:
        found = [place(each.document.data) for each in work.every(District.__name__)]
        named = {each[1] for each in found if same((each[0], ""), (namespace, ""))}
    if len(named) != 1:
        there = f" ({', '.join(sorted(named))})" if named else ""
        raise InvalidSpecError(f"which District has the school? Name it with --district{there}")
    return named.pop()


def _file(work: Tree, name: str, draft: _Draft, file: Path | None) -> Path:
    """Where it goes: a file with several licences takes it, else it gets a file beside those of the others."""
    if file is not None:
        return next((known for known in work.texts if known.resolve() == file.resolve()), file)
    if draft.mates:
        last = draft.mates[-1].file
        if sum(each.file == last for each in draft.mates) > 1:
            return last
        return last.parent / f"{name}.yaml"
    if draft.pool_at is not None:
        return draft.pool_at.file.parent / f"{name}.yaml"
    raise InvalidSpecError(
        f"into which file? Neither the pool nor a licence of it is in {work.root}: name it with --file"
    )


def _check(work: Tree, edits: Sequence[Edit], *, pool_known: bool) -> None:
    """Raise InvalidSpecError where `homeroom validate` would find more than it does now."""
    before = {(each.file, each.field, each.text) for each in validate_texts(work.after(()))}
    passed = [] if pool_known else ["spec.poolRef.name"]
    passed += [] if work.every(District.__name__) else ["spec.districtRef.name"]
    for problem in validate_texts(work.after(edits)):
        if (problem.file, problem.field, problem.text) not in before and problem.field not in passed:
            raise InvalidSpecError(f"that would be wrong: {problem}")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _word(text: str) -> str:
    """A name, in quotation marks where it would be something else without: 0012, or on."""
    return (
        text
        if text[:1].isalpha() and text not in {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
        else _quoted(text)
    )


# ---------------------------------------------------------------------------------------------------------------------
# A licence that is there


def _valid(work: Tree, at: Place) -> SchoolLicense:
    """The licence, if `homeroom validate` finds nothing wrong with it."""
    alone = validate_texts({str(at.file): work.texts[at.file]})
    lines = set(at.document.lines.values())
    references = ("spec.poolRef.name", "spec.districtRef.name")
    for problem in alone:
        if problem.line in lines and problem.field not in references:
            raise InvalidSpecError(f"{problem}: mend that first")
    licence = parse(at.document.data)
    assert isinstance(licence, SchoolLicense)
    return licence


def _loses(licence: SchoolLicense, namespace: str, known: _Known) -> str:
    """Who loses what when a licence goes (R18, R20)."""
    name, seats = licence.metadata.name, licence.spec.seats
    head = f"SchoolLicense '{name}' for unit {licence.spec.school_unit} is removed"
    return "; ".join([head, *_losses(name, seats, licence.spec.access, namespace, known)])


def _losses(name: str, seats: int, access: Access, namespace: str, known: _Known) -> Iterator[str]:
    if known.told:
        used, teachers = (known.of(what, namespace, name) for what in (known.use, known.teachers))
        yield f"{used:,} of its {seats:,} seats are in use, and these students lose them"
        if access is Access.KEY:
            yield f"{teachers:,} teachers are connected by its key, and lose their access"
    if access is Access.KEY:
        yield "its key dies"
    yield f"its {seats:,} seats return to the pool; accounts and work stay"
