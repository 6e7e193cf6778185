"""`homeroom export-person` and `homeroom forget-person`: the law's access and erasure requests.

Both are about all that Homeroom itself holds: snapshots of the records, and what the store has of each app of the
district, and of its chats. What learning apps and chat servers hold is theirs to give out and to delete. Neighbours:
`homeroom.roster.person` and `homeroom.chats.person`, which find, and `homeroom.store`, which forgets.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from sqlalchemy.exc import SQLAlchemyError

from homeroom.api import Chat, ChatPolicy, District, LearningApp
from homeroom.chats.person import in_chats
from homeroom.cli import history, options, stores, terminal
from homeroom.cli.declared import Declared, declared
from homeroom.errors import InvalidSpecError, TransientError
from homeroom.plan import PERSONAL
from homeroom.roster.person import in_baseline, in_records
from homeroom.sources import load
from homeroom.store import JournalQuery, StillThereError, Store, journal_name, journal_of, rules_without

_District = Annotated[str, typer.Argument(help="Name of the District.")]
_Person = Annotated[str, typer.Argument(help="Source id of the person (sourcedId in the records).")]
_Apps = Annotated[
    list[str] | None,
    typer.Option(
        "--app",
        help="Also this app (or ChatPolicy/NAME, or Chat/NAME), which is declared no more, and was of this district. "
        "Needed only where the namespace has several districts. May be repeated.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where to look: apps of the district that are declared (`managed`) and that were once (`abandoned`).

    A policy of chats stands beside them as in the journal (`homeroom.store.journal_name`). `left_out`: those that are
    declared no more, and may have been of another district of the namespace.
    """

    namespace: str
    managed: Sequence[str]
    abandoned: Sequence[str]
    left_out: Sequence[str]


def export(
    district: _District,
    person: _Person,
    *,
    app: _Apps = None,
    files: options.Files = None,
    namespace: options.Namespace = None,
    context: options.Context = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
) -> None:
    """Give out all that is held about one person of a district, as JSON.

    Records (also of the snapshot before), accounts, user names and the history of changes in each app, what is wanted
    there, the same of chats, chat accounts, lessons and calls, seats of pools, when each app was used last, and
    licences by which the person teaches or did. A password is mentioned, and not shown. Who runs this sees it all: run
    it where the store is.
    """
    with stores.opened(store, data) as opened:
        assert opened is not None
        place = asyncio.run(_place(opened, district, app or (), files=files, namespace=namespace, context=context))
        snapshots = _snapshots(opened, place.namespace, district, person)
        apps = [
            found | {"declared": name in place.managed}
            for name in (*place.managed, *place.abandoned)
            if "/" not in name and (found := _of_app(opened, place.namespace, name, person))
        ]
        linking = opened.links.linking_of(person, namespace=place.namespace, district=district)
        linking["joins"] = opened.joins.joins_of(person, namespace=place.namespace, district=district)
        accounts = opened.links.ever(person, namespace=place.namespace, district=district)
        chats = [
            found | {"declared": app in place.managed}
            for name, app in _policies(opened, place.namespace).items()
            if app in {*place.managed, *place.abandoned}
            and (found := _of_chats(opened, place.namespace, name, person, accounts))
        ]
        held = _held(opened, place.namespace, District.__name__, district, person)
        seats = opened.seats_of(person, namespace=place.namespace, district=district)
        activity = opened.use.activity_of(person, namespace=place.namespace, district=district)
        licences = opened.taught_by(person, namespace=place.namespace, district=district)
        connections = opened.licences.connections_of(person, namespace=place.namespace, district=district)
        links = opened.links.links_of(person, namespace=place.namespace, district=district)
        taught = opened.lessons.of_person(person, namespace=place.namespace, district=district)
        said = _supplements(opened, place.namespace, district, person)
    elsewhere = (seats, activity, licences, connections, links)
    nothing = not (snapshots or said or apps or chats or held or any(linking.values()) or any(taught.values()))
    if nothing and all(part.is_empty() for part in elsewhere):
        raise StillThereError(f"nothing is held about a person '{person}': it must be a source id")
    about = {"namespace": place.namespace, "district": district, "person": person}
    found = {"records": snapshots, "supplements": said, "holds": held, "apps": apps, "chats": chats}
    found |= {**linking, **taught, "notLookedInto": place.left_out}
    found["seats"] = seats.with_columns(pl.col(pl.Date).cast(pl.String)).to_dicts()
    found["activity"] = activity.with_columns(pl.col(pl.Date).cast(pl.String)).to_dicts()
    found["licences"] = licences.to_dicts()
    found["connections"] = connections.with_columns(pl.col("connected_at", "ended_at").cast(pl.String)).to_dicts()
    found["links"] = links.with_columns(pl.col("at").cast(pl.String)).to_dicts()
    terminal.document({**about, **found})


def forget(
    district: _District,
    person: _Person,
    *,
    reason: Annotated[str, typer.Option(help="Why; kept for ever, so it must not tell who.")],
    app: _Apps = None,
    files: options.Files = None,
    namespace: options.Namespace = None,
    context: options.Context = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
) -> None:
    """Forget one person of a district who has left: make anonymous what has to stay.

    Refused while the person is in the records, in a chat, or has an account in use in an app. In the history a random
    word takes the place of source id and chat account, so that counts stay; user names stay reserved as hashes. There
    is no way back. The operator may be running. Delete the account in the apps first: it bears the source id, too.
    """
    if re.search(rf"(?<!\w){re.escape(person)}(?!\w)", reason):
        raise InvalidSpecError("--reason must not name the person: it is kept for ever")
    opened = stores.open_store(store, data, write=True)
    try:
        place = asyncio.run(_place(opened, district, app or (), files=files, namespace=namespace, context=context))
        accepted = opened.accepted(namespace=place.namespace, district=district)
        digest = accepted.digest if accepted else None
        found = _snapshots(opened, place.namespace, district, person, broken=True)
        if any(snapshot["accepted"] for snapshot in found):
            raise StillThereError(
                f"'{person}' is in the records of '{district}', or served still because that loss is held: whoever "
                "keeps them has to take this person out first"
            )
        said = _supplements(opened, place.namespace, district, person)
        if said:
            raise StillThereError(
                f"'{person}' is in supplement '{said[0]}' of '{district}': whoever keeps it has to take this person "
                "out first, and then a run has to see that"
            )
        done = opened.forget(
            person,
            namespace=place.namespace,
            district=district,
            digest=digest,
            snapshots=[snapshot["snapshot"] for snapshot in found],
            managed=place.managed,
            abandoned=place.abandoned,
            reason=reason,
            at=datetime.now(UTC),
        )
    except SQLAlchemyError as error:
        # Its own words would repeat the statement, and in it the person.
        raise stores.StoreUnavailableError(
            f"the store did not take it ({type(error).__name__}): nothing was forgotten; try again when it is less busy"
        ) from error
    finally:
        opened.close()
    terminal.say(
        f"forgotten: {done.changes} changes and {done.accounts} accounts made anonymous, taken out of {done.baselines} "
        f"baselines, {done.snapshots} old snapshots removed"
    )
    terminal.say("not touched: back-ups of the store, the apps and the chat servers themselves")
    for name in place.left_out:
        terminal.say(f"not looked into: {name}, which is declared no more (--app {name}, if it was of this district)")


async def _place(
    store: Store,
    district: str,
    named: Collection[str],
    *,
    files: Sequence[Path] | None,
    namespace: str | None,
    context: str | None,
) -> _Place:
    async with declared(files=files, namespace=namespace, context=context) as resources:
        return await asyncio.to_thread(_apps, resources, store, district, named)


def _apps(resources: Declared, store: Store, district: str, named: Collection[str]) -> _Place:
    """Which apps are, or were, of this district. A person's id says nothing in another one."""
    # As they are: that something else in them is invalid does not stand in the way.
    apps = {
        journal_name(obj["kind"], str(obj["metadata"]["name"])): (obj["spec"].get("districtRef") or {}).get("name")
        for obj in resources.objects
        if obj["kind"] in {LearningApp.__name__, ChatPolicy.__name__, Chat.__name__}
    }
    districts = {str(obj["metadata"]["name"]) for obj in resources.objects if obj["kind"] == District.__name__}
    districts.update(store.districts(namespace=resources.namespace))
    if district not in districts:
        there = f"there is {', '.join(sorted(districts))}" if districts else "there is none; another namespace (-n)?"
        raise InvalidSpecError(f"no District '{district}' in namespace {resources.namespace}: {there}")
    remembered = [*store.apps(namespace=resources.namespace), *_policies(store, resources.namespace).values()]
    abandoned = [name for name in remembered if name not in apps]
    if stray := sorted(set(named).difference(abandoned)):
        raise InvalidSpecError(f"--app {stray[0]}: the store has no app of this name that is declared no more")
    ours = abandoned if len(districts) == 1 else [name for name in abandoned if name in named]
    return _Place(
        namespace=resources.namespace,
        managed=sorted(name for name, of_district in apps.items() if of_district == district),
        abandoned=ours,
        left_out=[name for name in abandoned if name not in ours],
    )


def _policies(store: Store, namespace: str) -> dict[str, str]:
    """The policies of chats that the store knows, and extra chats, by name: what they are called among the apps."""
    return {name: journal_of(name) for name in store.chats.policies(namespace=namespace)}


def _supplements(store: Store, namespace: str, district: str, person: str) -> list[str]:
    """Names of the supplements that say anything of the person, whether it counts or not."""
    return [one.name for one in store.supplements(namespace=namespace, district=district) if one.names(person)]


def _snapshots(
    store: Store, namespace: str, district: str, person: str, *, broken: bool = False
) -> list[dict[str, Any]]:
    """What each snapshot that is kept has of the person; `broken`: list damaged old ones, too.

    The accepted one comes first, then what is served while part of it is held, and what the source says by itself:
    these count as accepted. Raises TransientError when one of them is damaged.
    """
    accepted = store.accepted(namespace=namespace, district=district)
    directory = store.snapshots(namespace=namespace, district=district)
    kept = sorted(path.name for path in directory.iterdir() if path.is_dir()) if directory.is_dir() else []
    digests = list(dict.fromkeys([accepted.digest, accepted.serving, accepted.own])) if accepted else []
    found = []
    for digest in digests + [name for name in kept if name not in digests and not name.startswith(".")]:
        about: dict[str, Any] = {"snapshot": digest, "accepted": digest in digests}
        try:
            snapshot = load(directory, digest)
        except TransientError:
            if digest in digests:
                raise
            found += [about] if broken else []
            continue
        tables = in_records(snapshot.roster, person)
        # The id alone: of a record that is set aside because it is invalid nothing else is kept.
        is_of_users = pl.col("file").str.contains(r"(^|/)users\.")
        of_users = snapshot.findings.frame.filter((pl.col("id") == person) & is_of_users)
        findings = of_users.select("rule", "file", "row", "field").to_dicts()
        if tables or findings:
            password = person in snapshot.credentials["user"]
            found.append({**about, **tables, "findings": findings, "hasPassword": password})
    return found


def _of_app(store: Store, namespace: str, app: str, person: str) -> dict[str, Any]:
    """What the store has of the person in one app; empty when that is nothing."""
    stored = store.baseline(namespace=namespace, app=app)
    remembered = in_baseline(stored.baseline, person) if stored else None
    accounts = store.accounts(namespace=namespace, app=app, person=person).to_dicts()
    journal = history.entries(store, JournalQuery(namespace=namespace, app=app, person=person, limit=None))
    held = _held(store, namespace, LearningApp.__name__, app, person)
    if not accounts and not journal and not held and (remembered is None or remembered.empty):
        return {}
    wanted = None if remembered is None else asdict(remembered)
    return {"app": app, "accounts": accounts, "baseline": wanted, "holds": held, "journal": journal}


def _of_chats(store: Store, namespace: str, policy: str, person: str, accounts: Sequence[str]) -> dict[str, Any]:
    """What the store has of the person, and of the accounts, in the chats of one policy; empty when nothing."""
    stored = store.chats.baseline(namespace=namespace, policy=policy)
    remembered, named = None, False
    if stored is not None:
        remembered = in_chats(stored.baseline, stored.learners, person=person, accounts=accounts)
        named = rules_without(stored.rules, person) != stored.rules
    app, journal, held = journal_of(policy), [], []
    kind, _, name = app.partition("/")
    for account in accounts:
        query = JournalQuery(namespace=namespace, app=app, person=account, limit=None)
        journal += history.entries(store, query)
        held += _held(store, namespace, kind, name, account)
    if not journal and not held and not named and (remembered is None or remembered.empty):
        return {}
    wanted = None if remembered is None else asdict(remembered)
    return {"policy": policy, "named": named, "baseline": wanted, "holds": held, "journal": journal}


def _held(store: Store, namespace: str, kind: str, name: str, person: str) -> list[dict[str, Any]]:
    """The changes about the person (of chats: the account) in holds of one resource, with the state of the hold."""
    mine = (pl.col("key") == person) & pl.col("kind").is_in(PERSONAL)
    return [
        {"hold": hold.id, "since": hold.since.isoformat(timespec="seconds"), "state": hold.state.value, **row}
        for hold in store.holds(namespace=namespace, kind=kind, name=name)
        for row in hold.rows.filter(mine).to_dicts()
    ]
