"""Accounts: made, adopted, changed, put out of use and given back. Kolibri's own deletion is never used.

It destroys an account with all its work after thirty days. Suspended means: no role that gives a right, no membership,
nobody knows the password of staff any more, and a mark that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from homeroom.plan import Change, Outcome, Result
from homeroom.targets.kolibri import adopting, usernames
from homeroom.targets.kolibri import marks as m
from homeroom.targets.kolibri.api import RefusedCallError
from homeroom.targets.kolibri.door import Door
from homeroom.targets.kolibri.reading import ADMINISTRATOR, FULL_NAME, NO_PASSWORD, Row, Site, fit
from homeroom.targets.kolibri.writing import NO_ACCOUNT, Writer, applied, failed, skipped


@dataclass(frozen=True, slots=True)
class People:
    """Changes of kind Person, a batch at a time; outcomes by `seq`."""

    writer: Writer
    door: Door

    async def create(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """Accounts, then the role that locks those of staff, then the marks that make them ours."""
        if "demographic_fields" not in site.extra:
            await self.writer.set_extra(site, site.extra)
        made: dict[int, Row] = {}

        async def account(change: Change) -> Outcome:
            if change.key in site.people:
                return applied(change, site.people[change.key])
            user = site.unfinished.get(change.key) or await self._account(site, change)
            made[change.seq] = user
            return applied(change, user["id"], username=user["username"])

        outcomes = await self.writer.each(batch, account)
        fresh = [change for change in batch if change.seq in made]
        unlocked = await self.door.lock(site, [made[change.seq]["id"] for change in fresh if change.staff])

        async def finish(change: Change) -> Outcome:
            user = made[change.seq]
            if error := unlocked.get(user["id"]):
                return failed(change, error)
            begun = self.writer.marks.read_person(user)  # perhaps long ago, for somebody who was no staff then
            late = change.staff and not (begun and begun.staff)
            name = _shortened(change.name or "")
            mark = m.PersonMark(key=change.key, state=m.State.ACTIVE, staff=change.staff, name=name)
            await self.door.mark(user, mark, **({"password": self.door.password(change.key)} if late else {}))
            site.unfinished.pop(change.key, None)
            site.people[change.key] = user["id"]
            return outcomes[change.seq]

        return outcomes | await self.writer.each(fresh, finish)

    async def _account(self, site: Site, change: Change) -> Row:
        """Make the account, under the first user name that nobody has or had."""
        name = change.name or ""
        open_to_all = site.passwordless and not change.staff
        password = (
            NO_PASSWORD if open_to_all else self.door.password(change.key) if change.staff else self.door.secret()
        )
        refused: RefusedCallError | None = None
        for username in usernames.candidates(wish=change.username, name=name, key=change.key):
            if not site.free(username, key=change.key):
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
                "extra_demographics": {m.PERSON: self.writer.marks.person(mark, subject=subject)},
            }
            try:
                created: Row = await self.writer.api.write("POST", "facilityuser/", body)
            except RefusedCallError as error:
                if error.code != "USERNAME_ALREADY_EXISTS":
                    site.taken.discard(username)
                    raise
                refused = error  # somebody has taken it since we read
            else:
                return created
        raise refused or RefusedCallError(status=400, code="USERNAME_ALREADY_EXISTS")

    async def adopt(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """Accounts that were there before: password and work stay; the role that locks those of staff, then the mark.

        Taken is only what still is as it was found: whoever is to be staff has had a role, so nobody else came in.
        Administrators need no other role to be locked.
        """
        if "demographic_fields" not in site.extra:
            await self.writer.set_extra(site, site.extra)
        rows = await self.writer.api.rows("facilityuser/", "by_ids", [one.external_id or "" for one in batch])
        now = {row["id"]: row for row in rows if row["facility"] == site.id}
        found: dict[int, Row] = {}
        outcomes: dict[int, Outcome] = {}
        for change in batch:
            user, seen = now.get(change.external_id or ""), site.adopting.get(change.key)
            if user is None or seen is None or _found_by(user) != _found_by(seen):
                outcomes[change.seq] = skipped(change, "the account is not there, or has changed since we read it")
            else:
                found[change.seq] = user
        teaching = [found[one.seq] for one in batch if one.staff and one.seq in found]
        refused = await self.door.lock(
            site, [user["id"] for user in teaching if ADMINISTRATOR not in adopting.roles(user)]
        )

        async def take(change: Change) -> Outcome:
            user, name = found[change.seq], change.name or ""
            if error := refused.get(user["id"]):
                return failed(change, error)
            mark = m.PersonMark(key=change.key, state=m.State.ACTIVE, staff=change.staff, name=_shortened(name))
            await self.door.mark(user, mark, full_name=fit(name, FULL_NAME), id_number=m.id_number(change.key))
            site.people[change.key] = user["id"]
            return applied(change, user["id"], username=user["username"])

        return outcomes | await self.writer.each([one for one in batch if one.seq in found], take)

    async def update(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """Change names."""
        owned = await self.writer.owned(site, (change.key for change in batch))

        async def do(change: Change) -> Outcome:
            if change.key not in owned:
                return skipped(change, NO_ACCOUNT)
            user, mark = owned[change.key]
            name = change.name or ""
            await self.door.mark(user, replace(mark, name=_shortened(name)), full_name=fit(name, FULL_NAME))
            return applied(change, user["id"], username=user["username"])

        return await self.writer.each(batch, do)

    async def suspend(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """Roles, then memberships, then password and mark."""
        owned = await self.writer.owned(site, (change.key for change in batch))
        staff = [user["id"] for user, mark in owned.values() if mark.staff]
        refused = await self.door.lock(site, staff)
        refused |= await self.door.strip(site, [user["id"] for user, _ in owned.values()], keep_locked=set(staff))

        async def do(change: Change) -> Outcome:
            if change.key in site.deleted:
                return applied(change, site.people[change.key])
            if change.key not in owned:
                return skipped(change, NO_ACCOUNT)
            user, mark = owned[change.key]
            if error := refused.get(user["id"]):
                return failed(change, error)
            password = {"password": self.door.secret()} if mark.staff else {}
            await self.door.mark(user, replace(mark, state=m.State.SUSPENDED), **password)
            return applied(change, user["id"], username=user["username"])

        return await self.writer.each(batch, do)

    async def restore(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """The same account again, with what it is now and nothing of what it was."""

        async def undelete(change: Change) -> Outcome:
            return await self._undelete(site, change)

        undeleted = await self.writer.each(batch, undelete)
        owned = await self.writer.owned(site, (change.key for change in batch))
        staff = {change.key: owned[change.key] for change in batch if change.staff and change.key in owned}
        refused = await self.door.give_passwords(staff.values())
        refused |= await self.door.lock(site, [user["id"] for user, _ in staff.values()])
        await self.door.unlock(site, [user["id"] for key, (user, _) in owned.items() if key not in staff])

        async def do(change: Change) -> Outcome:
            if undeleted[change.seq].result is not Result.APPLIED:
                return undeleted[change.seq]
            if change.key not in owned:
                return skipped(change, NO_ACCOUNT)
            user, mark = owned[change.key]
            if error := refused.get(user["id"]):
                return failed(change, error)
            name = change.name if change.name is not None else mark.name or user["full_name"]
            fields = {"full_name": fit(name, FULL_NAME)}
            if change.staff and mark.staff and self.door.recorded(change.key):
                fields["password"] = self.door.password(change.key)
            mark = replace(mark, state=m.State.ACTIVE, staff=change.staff, name=_shortened(name))
            await self.door.mark(user, mark, **fields)
            return applied(change, user["id"], username=user["username"])

        return await self.writer.each(batch, do)

    async def _undelete(self, site: Site, change: Change) -> Outcome:
        """Bring back an account that somebody deleted by hand, without what it could do."""
        user = site.deleted.get(change.key)
        if user is None:
            return applied(change)
        if user["username"].casefold() in site.live_names:
            # Kolibri would then have two accounts of one name, and fail whenever one of them is touched.
            return failed(change, "its account was deleted, and another one has its user name now: rename that one")
        refused = await self.door.strip(site, [user["id"]], keep_locked={user["id"]})
        if refused:
            return failed(change, refused[user["id"]])
        await self.writer.api.restore(user["id"])
        site.live_names.add(user["username"].casefold())
        del site.deleted[change.key]
        return applied(change)


def _found_by(user: Row) -> tuple[object, ...]:
    """By what an account was found fit to be adopted."""
    fields = ("username", "id_number", "extra_demographics", "is_superuser")
    return (*(user[name] for name in fields), adopting.roles(user))


def _shortened(name: str) -> str | None:
    """What a person's mark has to remember of the name: all of it, where Kolibri cannot hold that."""
    return None if fit(name, FULL_NAME) == name else name
