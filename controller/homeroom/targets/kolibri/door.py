"""Who can get into an account. Roles, passwords and the marks that say which accounts have them.

Where learners log in without a password, Kolibri lets anybody enter *any* account that has no role, whatever its
password. So an account of staff always keeps a role: the facility's `classroom assignable coach`, which gives no right
over any class or person (Kolibri makes it itself for whoever coaches a class). It is there from before the account is
marked until the person is a learner again, also while suspended. And a learner's account, which anybody may have
entered, gets a password, which ends its sessions, before its first role.

Suspended learners can still log in where no password is asked; they see nothing of a class any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from homeroom.targets import Password
from homeroom.targets.kolibri import marks as m
from homeroom.targets.kolibri.api import RefusedCallError
from homeroom.targets.kolibri.reading import LOCK, NO_PASSWORD, Row, Site, role_id
from homeroom.targets.kolibri.writing import PARALLEL, Owned, Writer
from homeroom.wire import gathered


@dataclass(frozen=True, slots=True)
class Door:
    """Opens and shuts accounts. `recorded` are the records' passwords, `secret` makes one that nobody knows."""

    writer: Writer
    recorded: Password
    secret: Callable[[], str]

    def password(self, key: str) -> str:
        """The password of somebody on the staff: the records', else one that nobody knows."""
        password = self.recorded(key)
        return password if password and password != NO_PASSWORD else self.secret()

    async def mark(self, user: Row, mark: m.PersonMark, **fields: str) -> None:
        """Write a person's mark, and other fields of the account with it; what others keep there stays."""
        extra = {**(user["extra_demographics"] or {}), m.PERSON: self.writer.marks.person(mark, subject=user["id"])}
        await self.writer.api.write("PATCH", f"facilityuser/{user['id']}/", {**fields, "extra_demographics": extra})

    async def lock(self, site: Site, users: Sequence[str]) -> dict[str, str]:
        """Give accounts of staff the role that keeps them shut; those that Kolibri refused, with why."""
        rows = [{"user": user, "collection": site.id, "kind": LOCK} for user in users]
        return {users[at]: error for at, error in (await self.writer.add("role/", rows)).items()}

    async def unlock(self, site: Site, users: Iterable[str]) -> None:
        """Take that role from people who are learners again. Kolibri takes all coach roles along with it."""
        locks = [role_id(dataset=site.dataset, user=user, collection=site.id, kind=LOCK) for user in users]
        await self.writer.remove("role/", locks)

    async def give_passwords(self, owned: Iterable[Owned]) -> dict[str, str]:
        """Before somebody gets a role: a password for an account that anybody may have entered until now.

        Answers with those accounts that Kolibri refused, and why: they must not get a role.
        """
        accounts = {user["id"]: (user, mark) for user, mark in owned}
        locked = {row["user"] for row in await self.writer.api.rows("role/", "user_ids", list(accounts))}
        refused: dict[str, str] = {}

        async def give(account: Owned) -> None:
            user, mark = account
            try:
                await self.mark(user, replace(mark, staff=True), password=self.password(mark.key))
            except RefusedCallError as error:
                refused[user["id"]] = error.message

        open_ = [one for id_, one in accounts.items() if not (one[1].staff and id_ in locked)]
        await gathered(give, open_, at_once=PARALLEL)
        return refused

    async def strip(self, site: Site, users: Sequence[str], *, keep_locked: set[str]) -> dict[str, str]:
        """Take all roles and memberships, rights first; those in `keep_locked` keep the role that locks the account.

        Answers with those accounts from which Kolibri did not take everything, and why.
        """
        api, remove = self.writer.api, self.writer.remove
        roles = await api.rows("role/", "user_ids", users)
        members = await api.rows("membership/", "user_ids", users)
        refused = await remove("role/", [row["id"] for row in roles if row["kind"] != LOCK])
        # Kolibri deletes coach roles along with these: not in one call with them.
        refused |= await remove(
            "role/", [row["id"] for row in roles if row["kind"] == LOCK and row["user"] not in keep_locked]
        )
        # Memberships of groups within a class go with the class's.
        refused |= await remove("membership/", [row["id"] for row in members if row["collection"] in site.all_classes])
        return {row["user"]: refused[row["id"]] for row in [*roles, *members] if row["id"] in refused}

    async def learners_again(self, site: Site, users: set[str]) -> None:
        """Turn accounts into learners' again: of those who coach and manage nothing any more, and learn in a class.

        Staff without any class keep the role that locks their account.
        """
        api = self.writer.api
        owned = await self.writer.owned(site, [key for key, id_ in site.people.items() if id_ in users])
        ids = [user["id"] for user, _ in owned.values()]
        busy = {row["user"] for row in await api.rows("role/", "user_ids", ids) if row["kind"] != LOCK}
        classes = set(site.classes.values())
        members = await api.rows("membership/", "user_ids", ids)
        learning = {row["user"] for row in members if row["collection"] in classes}
        again = [
            (user, mark)
            for user, mark in owned.values()
            if user["id"] not in busy and (user["id"] in learning or not mark.staff)
        ]
        await self.unlock(site, [user["id"] for user, _ in again])
        for user, mark in again:
            if mark.staff:
                await self.mark(user, replace(mark, staff=False))
