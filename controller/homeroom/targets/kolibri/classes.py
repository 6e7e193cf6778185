"""Classes: made, adopted, named, archived and given back.

Kolibri's own deletion is never used: it destroys lessons and work.
The registry of ours is in the facility (`marks`), so that a class may be called whatever people like.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from homeroom.plan import Change, Outcome, Result
from homeroom.targets.kolibri import marks as m
from homeroom.targets.kolibri.api import RefusedCallError
from homeroom.targets.kolibri.reading import ARCHIVED, NAME, Site, fit
from homeroom.targets.kolibri.writing import NO_CLASS, Writer, applied, skipped, tried


@dataclass(frozen=True, slots=True)
class Classes:
    """Changes of kind Class, a batch at a time; outcomes by `seq`."""

    writer: Writer

    async def create(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """Classes under temporary names, then the registry, then their names."""
        names = await self._names(site)
        by_name = {name: id_ for id_, name in names.items()}
        ids = {key: id_ for key, id_ in site.classes.items() if id_ in names}
        temporary = {
            change.key: self.writer.marks.temporary_class(school=site.key, key=change.key)
            for change in batch
            if change.key not in ids
        }

        async def make(change: Change) -> Outcome:
            if (name := temporary.get(change.key)) is not None:
                ids[change.key] = by_name.get(name) or await self._make(site, name)
            return applied(change, ids[change.key])

        outcomes = await self.writer.each(batch, make)
        made = [change for change in batch if change.key in ids]
        for change in made:
            site.classes[change.key] = ids[change.key]
            site.all_classes.add(ids[change.key])
        await self._register(site, made, archived=False)
        return outcomes | await self._name(site, [change for change in made if change.key in temporary])

    async def adopt(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """Classes that were there before: into the registry, with all who are in them; the name is theirs already.

        One that a former owner had archived is named last, as when it is given back.
        """
        names = await self._names(site)
        there = [change for change in batch if change.external_id in names]
        for change in there:
            site.classes[change.key] = change.external_id or ""
        await self._register(site, there, archived=False)
        gone = {change.seq: skipped(change, NO_CLASS) for change in batch if change.external_id not in names}
        done = {change.seq: applied(change, change.external_id) for change in there}
        put_away = [change for change in there if names[change.external_id or ""].startswith(ARCHIVED)]
        return gone | done | await self._name(site, put_away)

    async def _make(self, site: Site, name: str) -> str:
        created = await self.writer.api.write("POST", "classroom/", {"name": name, "parent": site.id})
        return str(created["id"])

    async def _names(self, site: Site) -> dict[str, str]:
        """Names of all classes of the school by their ids."""
        return {row["id"]: row["name"] for row in await self.writer.api.fetch("classroom/", parent=site.id)}

    async def _register(self, site: Site, changes: Iterable[Change], *, archived: bool) -> None:
        """Write these classes into the facility's registry, when they are not there like that."""
        marks, entries = self.writer.marks, {}
        for change in changes:
            entry = m.ClassEntry(marks.class_token(school=site.key, key=change.key), archived=archived)
            id_ = site.classes[change.key]
            entries[id_] = marks.class_entry(entry, class_id=id_)
        if not entries.items() <= (site.extra.get(m.CLASSES) or {}).items():
            await self.writer.claim(site)  # the whole JSON is replaced: read it as late as possible
            registry = {**(site.extra.get(m.CLASSES) or {}), **entries}
            await self.writer.set_extra(site, {**site.extra, m.CLASSES: registry})

    async def _name(self, site: Site, changes: Sequence[Change], *, prefix: str = "") -> dict[int, Outcome]:
        """Name classes as wished; with a digest of the source id behind where another class has that name.

        One after the other, as Kolibri lets two equal names through that are given at once; and those with a digest
        once more, as names may go round in a circle.
        """
        crowded: list[Change] = []

        async def do(change: Change) -> Outcome:
            id_ = site.classes[change.key]
            wish = prefix + (fit(change.name or "", NAME) or change.key)
            digest = f" ({self.writer.marks.class_token(school=site.key, key=change.key)[:6]})"
            for ending in ("", digest):
                name = fit(wish, NAME - len(ending)) + ending
                try:
                    await self.writer.api.write("PATCH", f"classroom/{id_}/", {"name": name})
                    break
                except RefusedCallError as error:
                    if error.code != "UNIQUE" or ending:
                        raise
                    crowded.append(change)
            return applied(change, id_)

        outcomes = {change.seq: await tried(change, do) for change in changes}
        return outcomes | {change.seq: await tried(change, do) for change in tuple(crowded)}

    def _sorted(self, site: Site, batch: Sequence[Change]) -> tuple[list[Change], dict[int, Outcome]]:
        """Those changes whose class still is in the registry, and outcomes for the others."""
        managed = self.writer.managed(site)
        others = {change.seq: skipped(change, NO_CLASS) for change in batch if change.key not in managed}
        return [change for change in batch if change.key in managed], others

    async def rename(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """Give classes the names of the records."""
        ours, others = self._sorted(site, batch)
        return others | await self._name(site, ours)

    async def archive(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """Everybody out, a name that tells, and last the registry."""
        ours, others = self._sorted(site, batch)
        names = await self._names(site)
        api = self.writer.api

        async def empty(change: Change) -> Outcome:
            id_ = site.classes[change.key]
            if id_ in names:  # or somebody has deleted it
                await api.delete("role/", [row["id"] for row in await api.fetch("role/", collection=id_)])
                await api.delete("membership/", [row["id"] for row in await api.fetch("membership/", collection=id_)])
            return applied(change, id_)

        done = await self.writer.each(ours, empty)
        current = {change.key: names.get(site.classes[change.key], ARCHIVED) for change in ours}
        plain = [
            replace(change, name=current[change.key])
            for change in ours
            if done[change.seq].result is Result.APPLIED and not current[change.key].startswith(ARCHIVED)
        ]
        done |= await self._name(site, plain, prefix=ARCHIVED)
        await self._register(site, [one for one in ours if done[one.seq].result is Result.APPLIED], archived=True)
        return others | done

    async def restore(self, site: Site, batch: Sequence[Change]) -> dict[int, Outcome]:
        """The name first, and last the registry."""
        ours, others = self._sorted(site, batch)
        done = await self._name(site, ours)
        await self._register(site, [one for one in ours if done[one.seq].result is Result.APPLIED], archived=False)
        return others | done
