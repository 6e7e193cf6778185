"""Who is in which class, and who manages a school: rows without marks, ours where class and school are ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeroom.plan import Change, Outcome, Result, Role
from homeroom.targets.kolibri.door import Door
from homeroom.targets.kolibri.reading import ADMINISTRATOR, COACH, Site, membership_id, role_id
from homeroom.targets.kolibri.writing import NO_ACCOUNT, NO_CLASS, Writer, applied, failed, skipped


@dataclass(frozen=True, slots=True)
class Memberships:
    """Changes of the kinds Membership and Right, a batch at a time; outcomes by `seq`."""

    writer: Writer
    door: Door

    async def adopt(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """What is there already and comes along with an account or class: only looked at."""
        learning = [one for one in batch if one.role is Role.LEARNER]
        others = [one for one in batch if one.role is not Role.LEARNER]
        there: set[str] = set()
        for path, changes in (("membership/", learning), ("role/", others)):
            rows = await self.writer.api.rows(path, "by_ids", [one.external_id or "" for one in changes])
            here = {site.id, *site.all_classes}
            there |= {row["id"] for row in rows if row["collection"] in here}
        return {
            one.seq: applied(one, one.external_id) if one.external_id in there else skipped(one, _NOT_THERE)
            for one in batch
        }

    async def enrol(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """Put people into classes, as learners or as coaches."""
        owned = await self.writer.owned(site, (change.key for change in batch))
        managed = self.writer.managed(site)
        coaches = {change.key: owned[change.key] for change in batch if _coaches(change) and change.key in owned}
        refused = await self.door.give_passwords(coaches.values())
        outcomes: dict[int, Outcome] = {}
        learning: list[tuple[Change, dict[str, str]]] = []
        teaching: list[tuple[Change, dict[str, str]]] = []
        for change in batch:
            if change.class_key not in managed:
                outcomes[change.seq] = skipped(change, NO_CLASS)
                continue
            if change.key not in owned:
                outcomes[change.seq] = skipped(change, NO_ACCOUNT)
                continue
            row = {"user": owned[change.key][0]["id"], "collection": managed[change.class_key]}
            if not _coaches(change):
                learning.append((change, row))
            elif error := refused.get(row["user"]):
                outcomes[change.seq] = failed(change, error)
            else:
                teaching.append((change, {**row, "kind": COACH}))
        outcomes |= await self._add("membership/", learning, dataset=site.dataset)
        return outcomes | await self._add("role/", teaching, dataset=site.dataset)

    async def _add(
        self, path: str, wanted: Sequence[tuple[Change, dict[str, str]]], *, dataset: str
    ) -> dict[int, Outcome]:
        refused = await self.writer.add(path, [row for _, row in wanted])
        identifier = membership_id if path == "membership/" else role_id
        return {
            change.seq: failed(change, refused[at])
            if at in refused
            else applied(change, identifier(dataset=dataset, **row))
            for at, (change, row) in enumerate(wanted)
        }

    async def unenrol(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """Take people out of classes of ours; whose they are does not matter, as intruders have no mark."""
        teaching = [change for change in batch if _coaches(change)]
        outcomes, coaches = await self._remove(site, "role/", teaching)
        outcomes |= (await self._remove(site, "membership/", [one for one in batch if not _coaches(one)]))[0]
        if coaches:
            await self.door.learners_again(site, coaches)
        return outcomes

    async def _remove(self, site: Site, path: str, changes: Sequence[Change]) -> tuple[dict[int, Outcome], set[str]]:
        """Outcomes, and the accounts that lost something."""
        ours = set(self.writer.managed(site).values())
        ids = {change.seq: change.external_id or self._id(site, change) for change in changes}
        rows = await self.writer.api.rows(path, "by_ids", [id_ for id_ in ids.values() if id_ is not None])
        users = {row["id"]: row["user"] for row in rows if row["collection"] in ours}
        foreign = {row["id"] for row in rows} - users.keys()
        refused = await self.writer.remove(path, list(users))
        outcomes: dict[int, Outcome] = {}
        for change in changes:
            id_ = ids[change.seq]
            if id_ is None or id_ in foreign:
                outcomes[change.seq] = skipped(change, NO_CLASS)
            elif id_ in refused:
                outcomes[change.seq] = failed(change, refused[id_])
            else:
                outcomes[change.seq] = applied(change, id_)
        return outcomes, {user for id_, user in users.items() if id_ not in refused}

    @staticmethod
    def _id(site: Site, change: Change) -> str | None:
        """The id of the membership or role, computed as Kolibri does."""
        user, collection = site.people.get(change.key), site.classes.get(change.class_key or "")
        if user is None or collection is None:
            return None
        if _coaches(change):
            return role_id(dataset=site.dataset, user=user, collection=collection, kind=COACH)
        return membership_id(dataset=site.dataset, user=user, collection=collection)

    async def grant(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """Make people administrators of the school."""
        owned = await self.writer.owned(site, (change.key for change in batch))
        refused = await self.door.give_passwords(owned.values())
        outcomes: dict[int, Outcome] = {}
        wanted: list[tuple[Change, dict[str, str]]] = []
        for change in batch:
            if change.key not in owned:
                outcomes[change.seq] = skipped(change, NO_ACCOUNT)
                continue
            user = owned[change.key][0]["id"]
            if error := refused.get(user):
                outcomes[change.seq] = failed(change, error)
            else:
                wanted.append((change, {"user": user, "collection": site.id, "kind": ADMINISTRATOR}))
        outcomes |= await self._add("role/", wanted, dataset=site.dataset)
        # Kolibri's pages show one facility role of each person, and this one locks the account as well as the other.
        users = [row["user"] for change, row in wanted if outcomes[change.seq].result is Result.APPLIED]
        roles = await self.writer.api.rows("role/", "user_ids", users)
        coaches = {row["user"] for row in roles if row["kind"] == COACH}
        await self.door.unlock(site, [user for user in users if user not in coaches])
        return outcomes

    async def revoke(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """Make people administrators no longer; only people of ours."""
        owned = await self.writer.owned(site, (change.key for change in batch))
        rights = {
            key: role_id(dataset=site.dataset, user=user["id"], collection=site.id, kind=ADMINISTRATOR)
            for key, (user, _) in owned.items()
        }
        await self.door.lock(site, [user["id"] for user, mark in owned.values() if mark.staff])
        refused = await self.writer.remove("role/", list(rights.values()))
        await self.door.learners_again(site, {user["id"] for user, _ in owned.values()})
        outcomes: dict[int, Outcome] = {}
        for change in batch:
            right = rights.get(change.key)
            if right is None:
                outcomes[change.seq] = skipped(change, NO_ACCOUNT)
            else:
                outcomes[change.seq] = failed(change, refused[right]) if right in refused else applied(change, right)
        return outcomes


_NOT_THERE: Final = "it is not there any more"


def _coaches(change: Change) -> bool:
    return change.role is Role.COACH
