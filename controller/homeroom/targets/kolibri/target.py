"""The Kolibri driver: reads a whole server, and carries out batches of changes. All that Kolibri cannot is in here.

Order within a change is chosen so that it can break off after any call, and the next run finds and finishes it:
objects are made under a name or a mark that says so, then registered, then named (`marks`); an account is suspended
by taking roles and memberships first and marking it last; a class is archived likewise, and restored the other way.

**The door.** Where learners log in without a password, Kolibri lets anybody enter *any* account that has no role,
whatever its password. So an account of staff always keeps a role: the facility's `classroom assignable coach`, which
gives no right over any class or person (Kolibri makes it itself for whoever coaches a class). It is there from before
the account is marked until the person is a learner again, also while suspended. And a learner's account, which
anybody may have entered, gets a password, which ends its sessions, before its first role.

Suspended learners can still log in where no password is asked; they see nothing of a class any more. Kolibri's own
deletion is never used: it destroys the account and its work after thirty days.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import ssl as tls
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp

from homeroom.errors import HomeroomError, IncompleteReadError, InvalidSpecError, TerminalError
from homeroom.plan import Change, Kind, Op, Outcome, Result, Role
from homeroom.roster.state import Actual
from homeroom.targets import Capabilities, Fields, Hop, Known, Password
from homeroom.targets.kolibri import marks as m
from homeroom.targets.kolibri import usernames
from homeroom.targets.kolibri.api import Api, Identity, RefusedCallError
from homeroom.targets.kolibri.reading import (
    ADMINISTRATOR,
    ARCHIVED,
    COACH,
    FULL_NAME,
    LOCK,
    NAME,
    Listed,
    Row,
    Site,
    actual,
    fit,
    membership_id,
    role_id,
    sites,
)

PARALLEL: Final = 4
"""Calls in flight. Kolibri is one process: more than these only queue there (measured: 1 in flight ..., see bench)."""

_NO_PASSWORD: Final = "NOT_SPECIFIED"  # noqa: S105 (Kolibri's word for an account without one)
_MARK_KEY_MINIMUM: Final = 16
_TESTED: Final = "0.19."
T = TypeVar("T")
_NO_MARK: Final = "the account does not carry our mark any more"


def _secret() -> str:
    """An unguessable password; an administrator gives the person a new one."""
    return secrets.token_urlsafe(24)


class KolibriTarget:
    """One Kolibri server, for one run. Implements `homeroom.targets.Target`.

    `credentials`: `username`, `password` of a superuser, or of a facility's administrator together with `facility`
    (its id), and `markKey`, at least 16 characters that never change: with another key nothing is ours any more.
    `owner`: who we are in the world. `rate`: writes a second at most. `secret` makes passwords; `connector`,
    `middlewares`, `proxy` and `ssl` are how to get there.
    """

    def __init__(
        self,
        *,
        url: str,
        credentials: Fields,
        owner: str,
        password: Password,
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
        return Capabilities()

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
        found, elsewhere = sites(facilities, marks=self._marks, schools=known.schools)
        if elsewhere:
            raise TerminalError(
                f"{len(elsewhere)} of the schools ({', '.join(sorted(elsewhere)[:3])}) are managed by another owner in "
                "this kolibri: let one owner manage each school",
                reason="OwnedElsewhere",
            )
        memberships, roles, listed = [], [], []
        if found:
            memberships, roles = await self._api.fetch("membership/"), await self._api.fetch("role/")
            listed = await _gathered(partial(self._listed, site) for site in found.values())
        after = await self._api.whoami()
        if after != before:
            raise IncompleteReadError(
                "kolibri ended the session, or changed its rights, while we were reading: nothing of it counts",
                reason="TargetIncomplete",
            )
        try:
            answer = actual(
                facilities=facilities,
                listed=listed,
                memberships=memberships,
                roles=roles,
                known=known,
                marks=self._marks,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise IncompleteReadError(
                f"kolibri's lists lack something that they had in version {_TESTED}x ({error!r}): check its version",
                reason="TargetIncomplete",
            ) from error
        self._sites = found
        return answer

    async def _listed(self, site: Site) -> Listed:
        return Listed(
            site=site,
            users=await self._api.fetch("facilityuser/", member_of=site.id),
            deleted=await self._api.fetch("deletedfacilityuser/", member_of=site.id),
            classes=await self._api.fetch("classroom/", parent=site.id),
        )

    # Applying

    async def apply(self, batch: Sequence[Change]) -> Sequence[Outcome]:
        """Carry out one batch; see `homeroom.targets.Target.apply`. Needs a `read` before."""
        if not batch:
            return []
        me = await self._api.sure()
        kind, op, school = batch[0].kind, batch[0].op, batch[0].school
        if kind is Kind.SCHOOL and op is Op.CREATE:
            return [await self._tried(change, partial(self._create_school, me)) for change in batch]
        site = self._sites.get(school)
        if site is None:
            return [_skipped(change, "its school is not there") for change in batch]
        await self._claim(site)
        steps = {
            (Kind.SCHOOL, Op.UPDATE): self._rename_school,
            (Kind.PERSON, Op.CREATE): self._create_people,
            (Kind.PERSON, Op.UPDATE): self._update_people,
            (Kind.PERSON, Op.SUSPEND): self._suspend_people,
            (Kind.PERSON, Op.RESTORE): self._restore_people,
            (Kind.CLASS, Op.CREATE): self._create_classes,
            (Kind.CLASS, Op.UPDATE): self._rename_classes,
            (Kind.CLASS, Op.ARCHIVE): self._archive_classes,
            (Kind.CLASS, Op.RESTORE): self._restore_classes,
            (Kind.MEMBERSHIP, Op.CREATE): self._enrol,
            (Kind.MEMBERSHIP, Op.REMOVE): self._unenrol,
            (Kind.RIGHT, Op.CREATE): self._grant,
            (Kind.RIGHT, Op.REMOVE): self._revoke,
        }
        step = steps.get((kind, op))
        if step is None:
            return [_failed(change, f"kolibri has no {op.value} for {kind.value}") for change in batch]
        outcomes = {outcome.seq: outcome for outcome in await step(site, batch)}
        return [outcomes[change.seq] for change in batch]

    async def _claim(self, site: Site) -> None:
        """Make sure that the facility is still ours, and learn its settings; TerminalError when it is not."""
        rows = await self._api.fetch("facilitydataset/", facility_id=site.id)
        extra = rows[0].get("extra_fields") if len(rows) == 1 else None
        site.extra = dict(extra) if isinstance(extra, Mapping) else {}
        if not self._marks.owns(site.extra.get(m.OWNER), school=site.key, facility=site.id):
            raise TerminalError(
                f"the facility of school {site.key} does not carry our mark any more: nothing is written there",
                reason="OwnedElsewhere",
            )
        site.passwordless = rows[0].get("learner_can_login_with_no_password") is True

    async def _each(self, changes: Iterable[Change], do: Callable[[Change], Awaitable[Outcome]]) -> list[Outcome]:
        """One outcome per change, some at a time; what Kolibri refuses fails alone."""
        return await _gathered(partial(self._tried, change, do) for change in changes)

    async def _tried(self, change: Change, do: Callable[[Change], Awaitable[Outcome]]) -> Outcome:
        try:
            return await do(change)
        except RefusedCallError as error:
            return _failed(change, error.message)

    async def _add(self, path: str, rows: Sequence[dict[str, str]]) -> dict[int, str]:
        """Add memberships or roles by lists, which Kolibri takes whole or not at all; the refused ones by position.

        A list that contains a bad row is halved until that row is alone. What is there already is no error.
        """
        refused: dict[int, str] = {}
        open_parts = [range(at, min(at + 500, len(rows))) for at in range(0, len(rows), 500)]
        while open_parts:
            part = open_parts.pop()
            try:
                await self._api.write("POST", path, [rows[at] for at in part])
            except RefusedCallError as error:
                if len(part) == 1:
                    refused[part[0]] = error.message
                else:
                    middle = len(part) // 2
                    open_parts += [part[:middle], part[middle:]]
        return refused

    # Schools

    async def _create_school(self, me: Identity, change: Change) -> Outcome:
        key, temporary = change.key, self._marks.temporary_school(change.key)
        facilities = await self._api.fetch("facility/")
        found, elsewhere = sites(facilities, marks=self._marks, schools=[key])
        if elsewhere:
            raise TerminalError(f"school {key} is managed by another owner in this kolibri", reason="OwnedElsewhere")
        site = found.get(key)
        if site is None:
            if not me.superuser:
                return _failed(change, "only a superuser of kolibri can make facilities: use such an account")
            if not any(row["name"] == temporary for row in facilities):
                # Kolibri answers without the id of what it made, and the preset is set only by this call: without it
                # everybody could sign up.
                await self._api.write("POST", "facility/create_facility/", {"name": temporary, "preset": "formal"})
                facilities = await self._api.fetch("facility/")
            row = min((row for row in facilities if row["name"] == temporary), key=lambda row: str(row["id"]))
            site = Site(key=key, id=row["id"], dataset=row["dataset"]["id"])
            mark = {m.OWNER: self._marks.owner(school=key, facility=site.id), m.SCHOOL: self._marks.school(key)}
            await self._set_extra(site, {**(row["dataset"]["extra_fields"] or {}), **mark})
            self._sites[key] = site
        elif key not in self._sites:
            return _skipped(change, "the school has appeared since we read: the next run reads it")
        await self._api.write("PATCH", f"facility/{site.id}/", {"name": _name(change)})
        return _applied(change, site.id)

    async def _set_extra(self, site: Site, extra: dict[str, Any]) -> None:
        """Replace the facility's extra fields, of which only ours differ from what was just read."""
        # Without this field Kolibri fails on every mark of a person; an empty list asks for nothing.
        extra.setdefault("demographic_fields", [])
        await self._api.write("PATCH", f"facilitydataset/{site.dataset}/", {"extra_fields": extra})
        site.extra = extra

    async def _rename_school(self, site: Site, batch: Sequence[Change]) -> list[Outcome]:
        async def do(change: Change) -> Outcome:
            await self._api.write("PATCH", f"facility/{site.id}/", {"name": _name(change)})
            return _applied(change, site.id)

        return await self._each(batch, do)

    # People

    async def _create_people(self, site: Site, batch: Sequence[Change]) -> list[Outcome]:
        """Accounts, then the role that locks those of staff, then the marks that make them ours."""
        if "demographic_fields" not in site.extra:
            await self._set_extra(site, site.extra)
        made: dict[int, Row] = {}

        async def account(change: Change) -> Outcome:
            if change.key in site.people:
                return _applied(change, site.people[change.key])
            made[change.seq] = site.unfinished.get(change.key) or await self._create_account(site, change)
            return _applied(change, made[change.seq]["id"], username=made[change.seq]["username"])

        outcomes = {outcome.seq: outcome for outcome in await self._each(batch, account)}
        fresh = [change for change in batch if change.seq in made]
        unlocked = await self._lock(site, [made[change.seq]["id"] for change in fresh if change.staff])

        async def mark(change: Change) -> Outcome:
            user = made[change.seq]
            if user["id"] in unlocked:
                return _failed(change, unlocked[user["id"]])
            whole = _shortened(change.name or "")
            mark = m.PersonMark(key=change.key, state=m.State.ACTIVE, staff=change.staff, name=whole)
            begun = self._marks.read_person(user)  # perhaps long ago, for somebody who was no staff then
            late = change.staff and not (begun and begun.staff)
            await self._mark(user, mark, **({"password": self._password_of(change.key)} if late else {}))
            site.unfinished.pop(change.key, None)
            site.people[change.key] = user["id"]
            return outcomes[change.seq]

        outcomes |= {outcome.seq: outcome for outcome in await self._each(fresh, mark)}
        return list(outcomes.values())

    async def _create_account(self, site: Site, change: Change) -> Row:
        """Make the account under the first user name that nobody has or had."""
        name = change.name or ""
        if change.staff:
            password = self._password_of(change.key)
        else:
            password = _NO_PASSWORD if site.passwordless else self._secret()
        refused: RefusedCallError | None = None
        for username in usernames.candidates(wish=change.username, name=name, key=change.key):
            if username in site.taken or site.reserved.get(username, change.key) != change.key:
                continue
            site.taken.add(username)
            mark = m.PersonMark(key=change.key, state=m.State.CREATING, staff=change.staff)
            subject = m.creating(facility=site.id, username=username)
            body = {
                "facility": site.id,
                "username": username,
                "full_name": fit(name, FULL_NAME),
                "password": password,
                "id_number": m.id_number(change.key),
                "extra_demographics": {m.PERSON: self._marks.person(mark, subject=subject)},
            }
            try:
                created: Row = await self._api.write("POST", "facilityuser/", body)
            except RefusedCallError as error:
                if error.code != "USERNAME_ALREADY_EXISTS":
                    site.taken.discard(username)
                    raise
                refused = error  # somebody has taken it since we read
            else:
                return created
        raise refused or RefusedCallError(status=400, code="USERNAME_ALREADY_EXISTS")

    def _password_of(self, key: str) -> str:
        """The password of somebody on the staff: the records', else one that nobody knows."""
        password = self._password(key)
        return password if password and password != _NO_PASSWORD else self._secret()

    async def _mark(self, user: Row, mark: m.PersonMark, **fields: str) -> None:
        """Write a person's mark, and other fields of the account with it; what others keep there stays."""
        extra = {**(user["extra_demographics"] or {}), m.PERSON: self._marks.person(mark, subject=user["id"])}
        await self._api.write("PATCH", f"facilityuser/{user['id']}/", {**fields, "extra_demographics": extra})

    async def _owned(self, site: Site, keys: Iterable[str]) -> dict[str, tuple[Row, m.PersonMark]]:
        """Live accounts of these people, by source id, with their marks read anew: only what still is ours."""
        ids = [site.people[key] for key in dict.fromkeys(keys) if key in site.people and key not in site.deleted]
        found: dict[str, tuple[Row, m.PersonMark]] = {}
        for user in await self._api.rows("facilityuser/", "by_ids", ids):
            mark = self._marks.read_person(user)
            if (
                mark is not None
                and mark.state is not m.State.CREATING
                and (user["facility"], user["id_number"]) == (site.id, m.id_number(mark.key))
                and site.people.get(mark.key) == user["id"]
            ):
                found[mark.key] = user, mark
        return found

    async def _update_people(self, site: Site, batch: Sequence[Change]) -> list[Outcome]:
        owned = await self._owned(site, (change.key for change in batch))

        async def do(change: Change) -> Outcome:
            if change.key not in owned:
                return _skipped(change, _NO_MARK)
            user, mark = owned[change.key]
            name = change.name or ""
            await self._mark(user, replace(mark, name=_shortened(name)), full_name=fit(name, FULL_NAME))
            return _applied(change, user["id"], username=user["username"])

        return await self._each(batch, do)

    async def _suspend_people(self, site: Site, batch: Sequence[Change]) -> list[Outcome]:
        owned = await self._owned(site, (change.key for change in batch))
        staff = [user["id"] for user, mark in owned.values() if mark.staff]
        unlocked = await self._lock(site, staff)
        await self._strip(site, [user["id"] for user, _ in owned.values()], keep_lock=set(staff))

        async def do(change: Change) -> Outcome:
            if change.key in site.deleted:
                return _applied(change, site.people[change.key])
            if change.key not in owned:
                return _skipped(change, _NO_MARK)
            user, mark = owned[change.key]
            if user["id"] in unlocked:
                return _failed(change, unlocked[user["id"]])
            password = {"password": self._secret()} if mark.staff else {}
            await self._mark(user, replace(mark, state=m.State.SUSPENDED), **password)
            return _applied(change, user["id"], username=user["username"])

        return await self._each(batch, do)

    async def _restore_people(self, site: Site, batch: Sequence[Change]) -> list[Outcome]:
        undeleted = {outcome.seq: outcome for outcome in await self._each(batch, partial(self._undelete, site))}
        owned = await self._owned(site, (change.key for change in batch))
        staff = [owned[change.key][0]["id"] for change in batch if change.staff and change.key in owned]
        fresh = [owned[change.key] for change in batch if change.staff and change.key in owned]
        doorless = await self._give_passwords(fresh)
        unlocked = await self._lock(site, staff)
        await self._unlock(site, [user["id"] for key, (user, _) in owned.items() if user["id"] not in staff])

        async def do(change: Change) -> Outcome:
            if undeleted[change.seq].result is not Result.APPLIED:
                return undeleted[change.seq]
            if change.key not in owned:
                return _skipped(change, _NO_MARK)
            user, mark = owned[change.key]
            if error := doorless.get(user["id"]) or unlocked.get(user["id"]):
                return _failed(change, error)
            name = change.name if change.name is not None else mark.name or user["full_name"]
            fields = {"full_name": fit(name, FULL_NAME)}
            if change.staff and mark.staff and self._password(change.key):
                fields["password"] = self._password_of(change.key)
            mark = replace(mark, state=m.State.ACTIVE, staff=change.staff, name=_shortened(name))
            await self._mark(user, mark, **fields)
            return _applied(change, user["id"], username=user["username"])

        return await self._each(batch, do)

    async def _undelete(self, site: Site, change: Change) -> Outcome:
        """Bring back an account that somebody deleted by hand, without what it could do."""
        user = site.deleted.get(change.key)
        if user is None:
            return _applied(change)
        if user["username"].casefold() in site.live_names:
            # Kolibri would then have two accounts of one name, and fail whenever one of them is touched.
            return _failed(change, "its account was deleted, and another one has its user name now: rename that one")
        await self._strip(site, [user["id"]], keep_lock={user["id"]})
        await self._api.restore(user["id"])
        site.live_names.add(user["username"].casefold())
        del site.deleted[change.key]
        return _applied(change)

    async def _strip(self, site: Site, users: Sequence[str], *, keep_lock: set[str]) -> None:
        """Take all roles and memberships, rights first; those in `keep_lock` keep the role that locks the account."""
        roles = await self._api.rows("role/", "user_ids", users)
        locks = [row["id"] for row in roles if row["kind"] == LOCK and row["user"] not in keep_lock]
        # Those of groups within a class go with the class's.
        members = await self._api.rows("membership/", "user_ids", users)
        await self._api.delete("role/", [row["id"] for row in roles if row["kind"] != LOCK])
        await self._api.delete("role/", locks)  # Kolibri deletes coach roles along with these: one after the other
        await self._api.delete("membership/", [row["id"] for row in members if row["collection"] in site.all_classes])

    async def _lock(self, site: Site, users: Sequence[str]) -> dict[str, str]:
        """Give accounts of staff the role that keeps them shut; those that Kolibri refused, with why."""
        rows = [{"user": user, "collection": site.id, "kind": LOCK} for user in users]
        return {users[at]: error for at, error in (await self._add("role/", rows)).items()}

    async def _unlock(self, site: Site, users: Sequence[str]) -> None:
        """Take that role from people who are learners again. Kolibri takes all coach roles along with it."""
        await self._api.delete(
            "role/", [role_id(dataset=site.dataset, user=user, collection=site.id, kind=LOCK) for user in users]
        )

    async def _give_passwords(self, owned: Iterable[tuple[Row, m.PersonMark]]) -> dict[str, str]:
        """Before somebody gets a role: a password for an account that anybody may have entered until now.

        Answers with those accounts that Kolibri refused, and why: they must not get a role.
        """
        accounts = {user["id"]: (user, mark) for user, mark in owned}
        locked = {row["user"] for row in await self._api.rows("role/", "user_ids", list(accounts))}
        refused: dict[str, str] = {}

        async def give(user: Row, mark: m.PersonMark) -> None:
            try:
                mark = replace(mark, staff=True)
                await self._mark(user, mark, password=self._password_of(mark.key))
            except RefusedCallError as error:
                refused[user["id"]] = error.message

        open_accounts = [(user, mark) for user, mark in accounts.values() if not (mark.staff and user["id"] in locked)]
        await _gathered(partial(give, user, mark) for user, mark in open_accounts)
        return refused

    # Classes

    async def _create_classes(self, site: Site, batch: Sequence[Change]) -> list[Outcome]:
        """Classes under temporary names, then the registry, then their names."""
        present = await self._api.fetch("classroom/", parent=site.id)
        by_name = {row["name"]: row["id"] for row in present}
        ids: dict[str, str] = {key: id_ for key, id_ in site.classes.items() if id_ in by_name.values()}

        async def make(change: Change) -> Outcome:
            if change.key not in ids:
                temporary = self._marks.temporary_class(school=site.key, key=change.key)
                if (found := by_name.get(temporary)) is None:
                    created = await self._api.write("POST", "classroom/", {"name": temporary, "parent": site.id})
                    found = created["id"]
                    by_name[temporary] = found
                ids[change.key] = found
            return _applied(change, ids[change.key])

        outcomes = {outcome.seq: outcome for outcome in await self._each(batch, make)}
        made = [change for change in batch if outcomes[change.seq].result is Result.APPLIED]
        for change in made:
            site.classes[change.key] = ids[change.key]
            site.all_classes.add(ids[change.key])
        await self._register(site, [change.key for change in made], archived=False)
        names = {id_: name for name, id_ in by_name.items()}
        fresh = [
            change
            for change in made
            if names[ids[change.key]] == self._marks.temporary_class(school=site.key, key=change.key)
        ]
        outcomes |= {outcome.seq: outcome for outcome in await self._name_classes(site, fresh)}
        return list(outcomes.values())

    async def _register(self, site: Site, keys: Iterable[str], *, archived: bool) -> None:
        """Write these classes into the facility's registry, when they are not there like that."""
        entries = {}
        for key in keys:
            entry = m.ClassEntry(token=self._marks.class_token(school=site.key, key=key), archived=archived)
            entries[site.classes[key]] = self._marks.class_entry(entry, class_id=site.classes[key])
        if not entries.items() <= self._registry(site).items():
            await self._claim(site)  # the whole JSON is replaced: read it as late as possible
            await self._set_extra(site, {**site.extra, m.CLASSES: {**self._registry(site), **entries}})

    @staticmethod
    def _registry(site: Site) -> Mapping[str, Any]:
        registry = site.extra.get(m.CLASSES)
        return registry if isinstance(registry, Mapping) else {}

    async def _name_classes(self, site: Site, changes: Sequence[Change], *, prefix: str = "") -> list[Outcome]:
        """Name classes as wished; with a digest of the source id behind where another class has that name.

        One after the other, as Kolibri lets two equal names through that are given at once; and those with a digest
        once more, as names may go round in a circle.
        """
        crowded: list[Change] = []

        async def do(change: Change) -> Outcome:
            id_ = site.classes[change.key]
            suffix = f" ({self._marks.class_token(school=site.key, key=change.key)[:6]})"
            for ending in ("", suffix):
                name = fit(prefix + _name(change), NAME - len(ending)) + ending
                try:
                    await self._api.write("PATCH", f"classroom/{id_}/", {"name": name})
                    break
                except RefusedCallError as error:
                    if error.code != "UNIQUE" or ending:
                        raise
                    crowded.append(change)
            return _applied(change, id_)

        outcomes = {change.seq: await self._tried(change, do) for change in changes}
        for change in crowded[:]:
            outcomes[change.seq] = await self._tried(change, do)
        return list(outcomes.values())

    def _managed(self, site: Site, batch: Sequence[Change]) -> tuple[list[Change], list[Outcome]]:
        """Those changes whose class still is in the registry, and outcomes for the others."""
        entries = self._registry(site)
        ours, others = [], []
        for change in batch:
            id_ = site.classes.get(change.key)
            if id_ is not None and self._marks.read_class(entries.get(id_), class_id=id_) is not None:
                ours.append(change)
            else:
                others.append(_skipped(change, "the class does not carry our mark any more"))
        return ours, others

    async def _rename_classes(self, site: Site, batch: Sequence[Change]) -> list[Outcome]:
        ours, outcomes = self._managed(site, batch)
        return outcomes + await self._name_classes(site, ours)

    async def _archive_classes(self, site: Site, batch: Sequence[Change]) -> list[Outcome]:
        """Everybody out, a name that tells, and last the registry."""
        ours, outcomes = self._managed(site, batch)
        names = {row["id"]: row["name"] for row in await self._api.fetch("classroom/", parent=site.id)}

        async def empty(change: Change) -> Outcome:
            id_ = site.classes[change.key]
            if id_ in names:  # or somebody has deleted it
                await self._api.delete("role/", [row["id"] for row in await self._api.fetch("role/", collection=id_)])
                members = await self._api.fetch("membership/", collection=id_)
                await self._api.delete("membership/", [row["id"] for row in members])
            return _applied(change, id_)

        done = {outcome.seq: outcome for outcome in await self._each(ours, empty)}
        plain = [
            replace(change, name=name)
            for change in ours
            if done[change.seq].result is Result.APPLIED
            and not (name := names.get(site.classes[change.key], ARCHIVED)).startswith(ARCHIVED)
        ]
        done |= {outcome.seq: outcome for outcome in await self._name_classes(site, plain, prefix=ARCHIVED)}
        gone = [change.key for change in ours if done[change.seq].result is Result.APPLIED]
        await self._register(site, gone, archived=True)
        return [*outcomes, *done.values()]

    async def _restore_classes(self, site: Site, batch: Sequence[Change]) -> list[Outcome]:
        """The name first, and last the registry."""
        ours, outcomes = self._managed(site, batch)
        done = {outcome.seq: outcome for outcome in await self._name_classes(site, ours)}
        back = [change.key for change in ours if done[change.seq].result is Result.APPLIED]
        await self._register(site, back, archived=False)
        return [*outcomes, *done.values()]

    # Memberships and rights

    async def _enrol(self, site: Site, batch: Sequence[Change]) -> list[Outcome]:
        owned = await self._owned(site, (change.key for change in batch))
        registry = self._registry(site)
        coaches = [owned[c.key] for c in batch if c.role is Role.COACH and c.key in owned]
        doorless = await self._give_passwords(coaches) if coaches else {}
        outcomes: list[Outcome] = []
        rows: dict[str, list[tuple[Change, dict[str, str]]]] = {"membership/": [], "role/": []}
        for change in batch:
            class_id = site.classes.get(change.class_key or "")
            if class_id is None or self._marks.read_class(registry.get(class_id), class_id=class_id) is None:
                outcomes.append(_skipped(change, "the class is not there, or does not carry our mark any more"))
            elif change.key not in owned:
                outcomes.append(_skipped(change, "the account is not there, or does not carry our mark any more"))
            elif change.role is Role.LEARNER:
                rows["membership/"].append((change, {"user": owned[change.key][0]["id"], "collection": class_id}))
            elif error := doorless.get(owned[change.key][0]["id"]):
                outcomes.append(_failed(change, error))
            else:
                row = {"user": owned[change.key][0]["id"], "collection": class_id, "kind": COACH}
                rows["role/"].append((change, row))
        for path, wanted in rows.items():
            refused = await self._add(path, [row for _, row in wanted])
            for at, (change, row) in enumerate(wanted):
                identifier = membership_id if path == "membership/" else role_id
                external = identifier(dataset=site.dataset, **row)
                outcomes.append(_failed(change, refused[at]) if at in refused else _applied(change, external))
        return outcomes

    async def _unenrol(self, site: Site, batch: Sequence[Change]) -> list[Outcome]:
        """Delete by ids. Whose they are does not matter, intruders have no mark; that the class is ours does."""
        ids = {change.seq: self._row_id(site, change) for change in batch}
        ours = set(site.classes.values())
        outcomes: list[Outcome] = []
        learners: list[str] = []
        for path, role in (("role/", Role.COACH), ("membership/", Role.LEARNER)):
            changes = [change for change in batch if change.role is role]
            wanted = [id_ for change in changes if (id_ := ids[change.seq]) is not None]
            rows = {row["id"]: row for row in await self._api.rows(path, "by_ids", wanted)}
            gone = [id_ for id_ in wanted if id_ in rows and rows[id_]["collection"] in ours]
            await self._api.delete(path, gone)
            if role is Role.COACH:
                learners = [rows[id_]["user"] for id_ in gone]
            for change in changes:
                id_ = ids[change.seq]
                if id_ is None or (id_ in rows and id_ not in gone):
                    outcomes.append(_skipped(change, "the class is not there, or does not carry our mark any more"))
                else:
                    outcomes.append(_applied(change, id_))
        if learners:
            await self._learners_again(site, set(learners))
        return outcomes

    def _row_id(self, site: Site, change: Change) -> str | None:
        """The id of the membership or role that a change takes away."""
        if change.external_id is not None:
            return change.external_id
        user, collection = site.people.get(change.key), site.classes.get(change.class_key or "")
        if user is None or collection is None:
            return None
        if change.role is Role.COACH:
            return role_id(dataset=site.dataset, user=user, collection=collection, kind=COACH)
        return membership_id(dataset=site.dataset, user=user, collection=collection)

    async def _learners_again(self, site: Site, users: set[str]) -> None:
        """Turn accounts into learners' again: of those who coach and manage nothing any more, and learn in a class.

        Staff without any class keep the role that locks their account, see the module's words.
        """
        keys = [key for key, id_ in site.people.items() if id_ in users]
        owned = await self._owned(site, keys)
        ids = [user["id"] for user, _ in owned.values()]
        busy = {row["user"] for row in await self._api.rows("role/", "user_ids", ids) if row["kind"] != LOCK}
        members = await self._api.rows("membership/", "user_ids", ids)
        learning = {row["user"] for row in members if row["collection"] in set(site.classes.values())}
        again = [
            (user, mark)
            for user, mark in owned.values()
            if user["id"] not in busy and (user["id"] in learning or not mark.staff)
        ]
        await self._unlock(site, [user["id"] for user, _ in again])
        for user, mark in again:
            if mark.staff:
                await self._mark(user, replace(mark, staff=False))

    async def _grant(self, site: Site, batch: Sequence[Change]) -> list[Outcome]:
        owned = await self._owned(site, (change.key for change in batch))
        doorless = await self._give_passwords(owned.values())
        outcomes = [_skipped(change, _NO_MARK) for change in batch if change.key not in owned]
        wanted = []
        for change in batch:
            if change.key in owned:
                error = doorless.get(owned[change.key][0]["id"])
                if error is None:
                    wanted.append(change)
                else:
                    outcomes.append(_failed(change, error))
        rows = [{"user": site.people[c.key], "collection": site.id, "kind": ADMINISTRATOR} for c in wanted]
        refused = await self._add("role/", rows)
        for at, (change, row) in enumerate(zip(wanted, rows, strict=True)):
            external = role_id(dataset=site.dataset, **row)
            outcomes.append(_failed(change, refused[at]) if at in refused else _applied(change, external))
        # Kolibri's pages show one facility role of each person. This one locks the account as well as the other did.
        users = [row["user"] for at, row in enumerate(rows) if at not in refused]
        coaching = {row["user"] for row in await self._api.rows("role/", "user_ids", users) if row["kind"] == COACH}
        await self._unlock(site, [user for user in users if user not in coaching])
        return outcomes

    async def _revoke(self, site: Site, batch: Sequence[Change]) -> list[Outcome]:
        owned = await self._owned(site, (change.key for change in batch))
        unlocked = await self._lock(site, [user["id"] for user, mark in owned.values() if mark.staff])
        outcomes, going = [], []
        for change in batch:
            if change.key not in owned:
                outcomes.append(_skipped(change, _NO_MARK))
                continue
            user = owned[change.key][0]["id"]
            right = role_id(dataset=site.dataset, user=user, collection=site.id, kind=ADMINISTRATOR)
            if user in unlocked:
                outcomes.append(_failed(change, unlocked[user]))
            else:
                going.append(right)
                outcomes.append(_applied(change, right))
        await self._api.delete("role/", going)
        await self._learners_again(site, {user["id"] for user, _ in owned.values()})
        return outcomes

    # Looking

    async def check(self) -> Sequence[Hop]:
        """Try every step to the server, from its name to our rights."""
        hops: list[Hop] = []
        async with contextlib.AsyncExitStack() as stack:
            api = self._open()
            stack.push_async_callback(api.close)
            host, port = api.first_hop
            try:
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError:
                text = f"the name {host} is not known here: check the address, and the DNS of the cluster"
                return [Hop(name="name resolution", ok=False, text=text)]
            text = f"{host} is {', '.join(sorted({str(entry[4][0]) for entry in found}))}"
            hops.append(Hop(name="name resolution", ok=True, text=text))
            try:
                info = await api.info()
            except HomeroomError as error:
                return [*hops, Hop(name="server", ok=False, text=error.message)]
            version = str(info.get("kolibri_version"))
            good = info.get("application") == "kolibri" and version.startswith(_TESTED)
            advice = "" if good else f": Homeroom is tested with {_TESTED}x, other versions may answer differently"
            hops.append(Hop(name="server", ok=good, text=f"Kolibri {version} answers{advice}"))
            try:
                me = await api.login()
                stack.push_async_callback(api.logout)
            except HomeroomError as error:
                return [*hops, Hop(name="log-in", ok=False, text=error.message)]
            hops.append(Hop(name="log-in", ok=True, text="the account in the Secret can log in"))
            may = (
                "a superuser: may make and manage all schools"
                if me.superuser
                else f"an administrator of facility {me.facility} only: may manage it, and make no schools"
            )
            hops.append(Hop(name="permissions", ok=True, text=f"the account is {may}"))
        return hops


def _applied(change: Change, external_id: str | None = None, *, username: str | None = None) -> Outcome:
    return Outcome(seq=change.seq, result=Result.APPLIED, external_id=external_id, username=username)


def _failed(change: Change, error: str) -> Outcome:
    return Outcome(seq=change.seq, result=Result.FAILED, error=error)


def _skipped(change: Change, error: str) -> Outcome:
    return Outcome(seq=change.seq, result=Result.SKIPPED, error=error)


def _name(change: Change) -> str:
    """The name of a school or class, which Kolibri wants to have one."""
    return fit(change.name or "", NAME) or fit(change.key, NAME)


def _shortened(name: str) -> str | None:
    """What a person's mark has to remember of the name: all of it, where Kolibri cannot hold that."""
    return None if fit(name, FULL_NAME) == name else name


async def _gathered(work: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Results in order, `PARALLEL` at a time. The first error ends all, and comes out as itself."""
    gate = asyncio.Semaphore(PARALLEL)

    async def one(do: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await do()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(do)) for do in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]
