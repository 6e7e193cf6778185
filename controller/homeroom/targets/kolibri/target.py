"""The Kolibri driver: opens a server for one run, reads it whole, and hands batches to those who know how.

`people`, `classes` and `memberships` make the changes, by way of `door` and `writing`. In all of them the order within
a change is such that it can break off after any call, and the next run finds and finishes it: objects are made under a
name or a mark that says so, then registered, then named (`marks`); an account is suspended by taking roles and
memberships first and marking it last; a class is archived likewise, and restored the other way.
"""

from __future__ import annotations

import contextlib
import secrets
import ssl as tls
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

import aiohttp
import polars as pl

from homeroom.errors import HomeroomError, IncompleteReadError, InvalidSpecError, TerminalError
from homeroom.hop import Hop, name_resolution
from homeroom.plan import Change, Kind, Op, Outcome
from homeroom.roster.state import Actual
from homeroom.targets import Capabilities, Fields, Known, Password
from homeroom.targets.kolibri import activity
from homeroom.targets.kolibri import marks as m
from homeroom.targets.kolibri.api import Api
from homeroom.targets.kolibri.classes import Classes
from homeroom.targets.kolibri.door import Door
from homeroom.targets.kolibri.memberships import Memberships
from homeroom.targets.kolibri.people import People
from homeroom.targets.kolibri.reading import NAME, Listed, Row, Site, actual, adoptable_sites, fit, sites
from homeroom.targets.kolibri.writing import PARALLEL, Writer, applied, failed, skipped, tried
from homeroom.wire import gathered

_MARK_KEY_MINIMUM: Final = 16
_TESTED: Final = "0.19."

Step = Callable[[Site, Sequence[Change]], Awaitable[Mapping[int, Outcome]]]
"""Carries out one batch in one school; an outcome for each change, by `seq`."""


def _secret() -> str:
    """An unguessable password; an administrator gives the person a new one."""
    return secrets.token_urlsafe(24)


@contextlib.contextmanager
def _as_tested() -> Iterator[None]:
    """Turn a surprise in what Kolibri lists into the error that says so."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise IncompleteReadError(
            f"kolibri's lists lack something that they have in version {_TESTED}x: `homeroom check` tells its version",
            reason="TargetIncomplete",
        ) from error


class KolibriTarget:
    """One Kolibri server, for one run. Implements `homeroom.targets.Target`.

    `credentials`: `username`, `password` of a superuser, or of a facility's administrator together with `facility`
    (its id), and `markKey`, at least 16 characters that never change: with another key nothing is ours any more.
    `owner`: who we are in the world. `former`: who managed this before and hands it over to us. `rate`: writes a second
    at most. `secret` makes passwords; `connector`, `middlewares`, `proxy` and `ssl` are how to get there.
    """

    def __init__(
        self,
        *,
        url: str,
        credentials: Fields,
        owner: str,
        password: Password,
        former: str | None = None,
        connector: Callable[[], aiohttp.BaseConnector] | None = None,
        middlewares: Sequence[aiohttp.ClientMiddlewareType] = (),
        proxy: str | None = None,
        ssl: tls.SSLContext | None = None,
        rate: float | None = None,
        secret: Callable[[], str] = _secret,
    ) -> None:
        missing = [name for name in ("username", "password", "markKey") if not credentials.get(name)]
        if missing:
            raise TerminalError(f"the Secret lacks {', '.join(missing)}: add it", reason="SecretNotFound")
        if len(credentials["markKey"]) < _MARK_KEY_MINIMUM:
            raise InvalidSpecError(f"`markKey` in the Secret is too short: {_MARK_KEY_MINIMUM} characters at least")
        if not owner:
            raise InvalidSpecError("a target needs an owner: set `--owner-id`")
        self._marks = m.Marks(key=credentials["markKey"], owner=owner)
        self._former = m.Marks(key=credentials["markKey"], owner=former) if former else None
        self._password = password
        self._secret = secret
        self._sites: dict[str, Site] = {}
        self._open: Callable[[], Api] = lambda: Api(
            url=url,
            username=credentials["username"],
            password=credentials["password"],
            facility=credentials.get("facility"),
            connector=connector() if connector else None,
            middlewares=middlewares,
            proxy=proxy,
            tls=ssl,
            rate=rate,
        )
        self._opened: Api | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Kolibri has no guardians, terms, subjects, grades and e-mails."""
        return Capabilities(adopt=True)

    @property
    def _api(self) -> Api:
        if self._opened is None:
            message = "a target is used inside `async with`"
            raise RuntimeError(message)
        return self._opened

    async def __aenter__(self) -> Self:
        """Connect and log in."""
        self._opened = self._open()
        try:
            await self._opened.login()
        except BaseException:
            await self._opened.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Log out and close."""
        try:
            await self._api.logout()
        finally:
            await self._api.close()
            self._opened = None

    # Reading

    async def read(self, known: Known) -> Actual:
        """Read everything, live.

        Raises IncompleteReadError when the session was not ours all the time, TerminalError (`OwnedElsewhere`) when a
        school of ours is somebody else's.
        """
        before = await self._api.sure()
        facilities = await self._api.fetch("facility/")
        with _as_tested():
            found, elsewhere = sites(facilities, marks=self._marks, schools=known.schools)
            doubtful: set[str] = set()
            if known.adoptable is not None:
                fitting, doubtful = adoptable_sites(
                    facilities,
                    marks=self._marks,
                    former=self._former,
                    schools=known.adoptable.schools,
                    found=found,
                    elsewhere=elsewhere,
                )
                elsewhere -= fitting.keys() | doubtful
                found |= fitting
        if elsewhere:
            raise TerminalError(
                f"{len(elsewhere)} of the schools ({', '.join(sorted(elsewhere)[:3])}) are managed by another owner in "
                "this kolibri: let one owner manage each school",
                reason="OwnedElsewhere",
            )
        memberships: list[dict[str, object]] = []
        roles: list[dict[str, object]] = []
        listed: list[Listed] = []
        if found:
            memberships, roles = await self._api.fetch("membership/"), await self._api.fetch("role/")
            listed = await gathered(self._listed, found.values(), at_once=PARALLEL)
        after = await self._api.whoami()
        if after != before:
            raise IncompleteReadError(
                "kolibri ended the session, or changed its rights, while we were reading: nothing of it counts",
                reason="TargetIncomplete",
            )
        with _as_tested():
            answer = actual(
                facilities=facilities,
                listed=listed,
                memberships=memberships,
                roles=roles,
                known=known,
                marks=self._marks,
                former=self._former,
                doubtful_schools=doubtful,
            )
        self._sites = found
        return answer

    async def _listed(self, site: Site) -> Listed:
        return Listed(
            site=site,
            users=await self._api.fetch("facilityuser/", member_of=site.id),
            deleted=await self._api.fetch("deletedfacilityuser/", member_of=site.id),
            classes=await self._api.fetch("classroom/", parent=site.id),
        )

    async def activity(self, actual: Actual) -> pl.DataFrame:
        """When the accounts were last used that `read` found to be ours: `homeroom.targets.ACTIVITY_SCHEMA`, sorted.

        No rows have schools that were unsure, people in conflict, and accounts that are still to be adopted or were
        deleted. Raises TerminalError (`CapabilityMissing`) where Kolibri lacks the plugin that tells it,
        IncompleteReadError when the session was not ours all the time.
        """
        return await activity.read(self._api, actual)

    # Applying

    async def apply(self, batch: Sequence[Change]) -> Sequence[Outcome]:
        """Carry out one batch; see `homeroom.targets.Target.apply`. Needs a `read` before."""
        if not batch:
            return []
        me = await self._api.sure()
        writer = Writer(self._api, self._marks)
        kind, op = batch[0].kind, batch[0].op
        if (kind, op) == (Kind.SCHOOL, Op.CREATE):

            async def create(change: Change) -> Outcome:
                return await self._create_school(change, writer, superuser=me.superuser)

            return [await tried(change, create) for change in batch]
        site = self._sites.get(batch[0].school)
        if site is None:
            return [skipped(change, "its school is not there") for change in batch]
        if (kind, op) == (Kind.SCHOOL, Op.ADOPT):
            return [await self._adopt_school(change, site, writer) for change in batch]
        await writer.claim(site)
        step = self._steps(writer).get((kind, op))
        if step is None:
            return [failed(change, f"kolibri has no {op.value} for {kind.value}") for change in batch]
        outcomes = await step(site, batch)
        return [outcomes[change.seq] for change in batch]

    def _steps(self, writer: Writer) -> dict[tuple[Kind, Op], Step]:
        door = Door(writer, self._password, self._secret)
        people, classes, memberships = People(writer, door), Classes(writer), Memberships(writer, door)

        async def rename_school(site: Site, batch: Sequence[Change]) -> Mapping[int, Outcome]:
            async def do(change: Change) -> Outcome:
                return await self._name_school(change, site)

            return await writer.each(batch, do)

        return {
            (Kind.SCHOOL, Op.UPDATE): rename_school,
            (Kind.PERSON, Op.ADOPT): people.adopt,
            (Kind.PERSON, Op.CREATE): people.create,
            (Kind.PERSON, Op.UPDATE): people.update,
            (Kind.PERSON, Op.SUSPEND): people.suspend,
            (Kind.PERSON, Op.RESTORE): people.restore,
            (Kind.CLASS, Op.ADOPT): classes.adopt,
            (Kind.CLASS, Op.CREATE): classes.create,
            (Kind.CLASS, Op.UPDATE): classes.rename,
            (Kind.CLASS, Op.ARCHIVE): classes.archive,
            (Kind.CLASS, Op.RESTORE): classes.restore,
            (Kind.MEMBERSHIP, Op.ADOPT): memberships.adopt,
            (Kind.MEMBERSHIP, Op.CREATE): memberships.enrol,
            (Kind.MEMBERSHIP, Op.REMOVE): memberships.unenrol,
            (Kind.RIGHT, Op.ADOPT): memberships.adopt,
            (Kind.RIGHT, Op.CREATE): memberships.grant,
            (Kind.RIGHT, Op.REMOVE): memberships.revoke,
        }

    async def _create_school(self, change: Change, writer: Writer, *, superuser: bool) -> Outcome:
        """A facility under a temporary name, then its settings and marks, then its name."""
        found, elsewhere = sites(await self._api.fetch("facility/"), marks=self._marks, schools=[change.key])
        if elsewhere:
            raise TerminalError(
                f"school {change.key} is managed by another owner in this kolibri", reason="OwnedElsewhere"
            )
        if change.key in found and change.key not in self._sites:
            return skipped(change, "the school has appeared since we read: the next run reads it")
        if change.key not in found:
            if not superuser:
                return failed(
                    change, "only a superuser of kolibri can make facilities: put such an account in the Secret"
                )
            facility = await self._facility(self._marks.temporary_school(change.key))
            site = Site(key=change.key, id=facility["id"], dataset=facility["dataset"]["id"])
            owner = self._marks.owner(school=change.key, facility=site.id)
            marked = {m.OWNER: owner, m.SCHOOL: self._marks.school(change.key)}
            await writer.set_extra(site, {**(facility["dataset"]["extra_fields"] or {}), **marked})
            self._sites[change.key] = site
        return await self._name_school(change, self._sites[change.key])

    async def _adopt_school(self, change: Change, site: Site, writer: Writer) -> Outcome:
        """Our marks on a facility that is there already; nothing else of it is touched."""
        rows = await self._api.fetch("facilitydataset/", facility_id=site.id)
        extra = (rows[0].get("extra_fields") or {}) if len(rows) == 1 else None
        if extra is None or change.external_id != site.id:
            return skipped(change, "the facility is not there any more")
        owner = extra.get(m.OWNER)
        if not self._marks.owns(owner, school=site.key, facility=site.id):
            if owner is not None and not (self._former and self._former.owns(owner, school=site.key, facility=site.id)):
                return skipped(change, "the facility is managed by another owner now")
            marked = {
                m.OWNER: self._marks.owner(school=site.key, facility=site.id),
                m.SCHOOL: self._marks.school(site.key),
            }
            await writer.set_extra(site, {**extra, **marked})
        site.is_ours = True
        return applied(change, site.id)

    async def _facility(self, name: str) -> Row:
        """The facility of this name, made when it is not there."""
        for attempt in range(2):
            rows = [row for row in await self._api.fetch("facility/") if row["name"] == name]
            if rows:
                return min(rows, key=lambda row: str(row["id"]))
            if attempt == 0:
                # Kolibri answers without the id of what it made. The other call that makes facilities tells it, and
                # lets everybody sign up until the settings are changed.
                await self._api.write("POST", "facility/create_facility/", {"name": name, "preset": "formal"})
        raise IncompleteReadError("kolibri does not list the facility that it has just made", reason="TargetIncomplete")

    async def _name_school(self, change: Change, site: Site) -> Outcome:
        name = fit(change.name or "", NAME) or fit(change.key, NAME)
        await self._api.write("PATCH", f"facility/{site.id}/", {"name": name})
        return applied(change, site.id)

    # Looking

    async def check(self) -> Sequence[Hop]:
        """Try every step to the server, from its name to our rights."""
        hops: list[Hop] = []
        async with contextlib.AsyncExitStack() as stack:
            api = self._open()
            stack.push_async_callback(api.close)
            hops.append(await name_resolution(*api.first_hop))
            if not hops[-1].ok:
                return hops
            try:
                info = await api.info()
            except HomeroomError as error:
                return [*hops, Hop(name="server", ok=False, words=error.message)]
            version = str(info.get("kolibri_version"))
            good = info.get("application") == "kolibri" and version.startswith(_TESTED)
            advice = "" if good else f": Homeroom is tested with {_TESTED}x, other versions may answer differently"
            hops.append(Hop(name="server", ok=good, words=f"Kolibri {version} answers{advice}"))
            try:
                me = await api.login()
                stack.push_async_callback(api.logout)
            except HomeroomError as error:
                return [*hops, Hop(name="log-in", ok=False, words=error.message)]
            hops.append(Hop(name="log-in", ok=True, words="the account in the Secret can log in"))
            may = (
                "a superuser: may make and manage all schools"
                if me.superuser
                else f"an administrator of facility {me.facility} only: may manage it, and make no schools"
            )
            hops.append(Hop(name="permissions", ok=True, words=f"the account is {may}"))
            try:
                told = await activity.installed(api)
            except HomeroomError as error:
                return [*hops, Hop(name="activity", ok=False, words=error.message)]
            words = "Kolibri tells when accounts were last used" if told else activity.MISSING
            hops.append(Hop(name="activity", ok=True, words=words))  # only who asks for it needs it
        return hops
