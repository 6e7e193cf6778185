"""What every change in Kolibri needs: whose a school is right now, lists in which one bad row fails alone, outcomes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeroom.errors import TerminalError
from homeroom.plan import Change, Outcome, Result
from homeroom.targets.kolibri import marks as m
from homeroom.targets.kolibri.api import IDS_PER_CALL, ROWS_PER_CALL, Api, RefusedCallError
from homeroom.targets.kolibri.reading import Row, Site
from homeroom.wire import gathered

PARALLEL: Final = 4
"""Calls in flight. Kolibri is one process with one interpreter lock: this keeps it busy, and more only queue there."""

Owned = tuple[Row, m.PersonMark]
"""An account as Kolibri lists it, and its mark."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Reads what must still hold before something is changed, and makes changes many at a time."""

    api: Api
    marks: m.Marks

    async def claim(self, site: Site) -> None:
        """Make sure that the facility is still ours, and learn its settings; TerminalError when it is not."""
        rows = await self.api.fetch("facilitydataset/", facility_id=site.id)
        extra = rows[0].get("extra_fields") if len(rows) == 1 else None
        site.extra = dict(extra) if isinstance(extra, Mapping) else {}
        if not self.marks.owns(site.extra.get(m.OWNER), school=site.key, facility=site.id):
            raise TerminalError(
                f"the facility of school {site.key} does not carry our mark any more: nothing is written there",
                reason="OwnedElsewhere",
            )
        site.passwordless = rows[0].get("learner_can_login_with_no_password") is True

    async def set_extra(self, site: Site, extra: Mapping[str, Any]) -> None:
        """Replace the facility's extra fields, of which only ours differ from what was just read."""
        # Without this field Kolibri fails on every mark of a person; an empty list asks for nothing.
        whole = {"demographic_fields": [], **extra}
        await self.api.write("PATCH", f"facilitydataset/{site.dataset}/", {"extra_fields": whole})
        site.extra = whole

    def managed(self, site: Site) -> dict[str, str]:
        """Kolibri ids of the classes that are in the registry now, by source id."""
        registry = site.extra.get(m.CLASSES)
        if not isinstance(registry, Mapping):
            return {}
        return {
            key: id_
            for key, id_ in site.classes.items()
            if self.marks.read_class(registry.get(id_), class_id=id_) is not None
        }

    async def owned(self, site: Site, keys: Iterable[str]) -> dict[str, Owned]:
        """Live accounts of these people, by source id, with their marks read anew: only what still is ours."""
        ids = [site.people[key] for key in dict.fromkeys(keys) if key in site.people and key not in site.deleted]
        found: dict[str, Owned] = {}
        for user in await self.api.rows("facilityuser/", "by_ids", ids):
            mark = self.marks.read_person(user)
            if (
                mark is not None
                and mark.state is not m.State.CREATING
                and (user["facility"], user["id_number"]) == (site.id, m.id_number(mark.key))
                and site.people.get(mark.key) == user["id"]
            ):
                found[mark.key] = user, mark
        return found

    async def each(self, changes: Iterable[Change], do: Callable[[Change], Awaitable[Outcome]]) -> dict[int, Outcome]:
        """One outcome per change, by `seq`; some at a time, and what Kolibri refuses fails alone."""

        async def one(change: Change) -> Outcome:
            return await tried(change, do)

        return {outcome.seq: outcome for outcome in await gathered(one, changes, at_once=PARALLEL)}

    async def add(self, path: str, rows: Sequence[Mapping[str, str]]) -> dict[int, str]:
        """Add memberships or roles; the refused ones, by position, with why. What is there already is no error."""

        async def post(part: range) -> None:
            await self.api.write("POST", path, [rows[at] for at in part])

        return await _halving(len(rows), post, at_once=ROWS_PER_CALL)

    async def remove(self, path: str, ids: Sequence[str]) -> dict[str, str]:
        """Remove memberships or roles; the refused ids, with why. What is gone already is no error."""

        async def delete(part: range) -> None:
            await self.api.delete(path, [ids[at] for at in part])

        return {ids[at]: error for at, error in (await _halving(len(ids), delete, at_once=IDS_PER_CALL)).items()}


async def _halving(size: int, do: Callable[[range], Awaitable[None]], *, at_once: int) -> dict[int, str]:
    """Do all by lists, which Kolibri takes whole or not at all; a refused one is halved until the bad row is alone."""
    refused: dict[int, str] = {}
    parts = [range(at, min(at + at_once, size)) for at in range(0, size, at_once)]
    while parts:
        part = parts.pop()
        try:
            await do(part)
        except RefusedCallError as error:
            if len(part) == 1:
                refused[part[0]] = error.message
            else:
                middle = len(part) // 2
                parts += [part[:middle], part[middle:]]
    return refused


async def tried(change: Change, do: Callable[[Change], Awaitable[Outcome]]) -> Outcome:
    """The outcome; a refusal by Kolibri is one, too."""
    try:
        return await do(change)
    except RefusedCallError as error:
        return failed(change, error.message)


def applied(change: Change, external_id: str | None = None, *, username: str | None = None) -> Outcome:
    """It is so now."""
    return Outcome(seq=change.seq, result=Result.APPLIED, external_id=external_id, username=username)


def failed(change: Change, error: str) -> Outcome:
    """Kolibri did not want it."""
    return Outcome(seq=change.seq, result=Result.FAILED, error=error)


def skipped(change: Change, error: str) -> Outcome:
    """It was not tried."""
    return Outcome(seq=change.seq, result=Result.SKIPPED, error=error)


NO_ACCOUNT: Final = "the account is not there, or does not carry our mark any more"
NO_CLASS: Final = "the class is not there, or does not carry our mark any more"
