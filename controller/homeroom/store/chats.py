"""What had a reason in the chats of each policy when its plan was last applied. Neighbours: `store`, `links`.

A baseline is derived (without one nobody is removed), and lies in a folder of Parquet files that a row names.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from homeroom.chats.baseline import AWAY, Baseline
from homeroom.chats.desired import LINEAGE
from homeroom.chats.linking import LinkedBy, LinkState
from homeroom.chats.rollover import LEARNERS
from homeroom.chats.state import Desired
from homeroom.plan import Kind, Result
from homeroom.store import schema
from homeroom.store.folders import newest, others, remove
from homeroom.store.frames import read_files, write_files
from homeroom.store.transactions import Leading

_SHORTEST: Final = timedelta(hours=1)
_LONGEST: Final = timedelta(days=1)
_REMEMBERED: Final = timedelta(days=7)
"""What was found out about an account that long ago says nothing any more."""

KINDS: Final = ("ChatPolicy", "Chat")
"""Kinds that say which chats there are."""
_NAMES: Final = ("people", "administrators")
"""Where the rules of an extra chat name people: fields of `homeroom.chats.policy.ExtraChat`."""
_BESIDE: Final = ("kept", "unapplied", "away")
_OF_THE_CLASSES: Final = ("lineage", "learners")
ROOMS: Final = pl.Schema(dict.fromkeys(("school", "key", "external_id"), pl.String()))
"""Source id of the school, key of the chat, and the platform's own id of the room."""


def journal_name(kind: str, name: str) -> str:
    """What stands as `app` in journal, ledger and the like: a LearningApp by its name, others with their kind.

    No name of a resource has a slash, so a policy never looks like an app. A name that would be too long is a digest.
    """
    told = name if kind == "LearningApp" else f"{kind}/{name}"
    fits = len(told) <= (schema.NAME.length or 0)
    return told if fits else f"{kind}/{hashlib.sha256(name.encode()).hexdigest()}"


def policy_name(kind: str, name: str) -> str:
    """What stands as `policy` in the store: a ChatPolicy by its name, a Chat as in the journal."""
    return name if kind == "ChatPolicy" else journal_name(kind, name)


def chat_of(policy: str) -> str | None:
    """The name of the Chat that stands as `policy` in the store; None: a ChatPolicy.

    Of one whose name is too long for the store the digest: nothing is found by that.
    """
    kind, slash, name = policy.partition("/")
    return name if slash and kind == "Chat" else None


def journal_of(policy: str) -> str:
    """What stands as `app` in the journal for what stands as `policy`."""
    return policy if "/" in policy else journal_name("ChatPolicy", policy)


def rules_without(rules: str, person: str) -> str:
    """The rules (`StoredChats.rules`) of an extra chat that names a person (source id), as if it did not."""
    words = json.loads(rules)
    extra = words.get("extra") or {}
    if not any(person in extra.get(name, ()) for name in _NAMES):
        return rules
    words["extra"] = {**extra, **{name: [one for one in extra[name] if one != person] for name in _NAMES}}
    return json.dumps(words, sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChats:
    """The baseline of a ChatPolicy or a Chat, with what it was made of: its rules as canonical JSON.

    `lineage`: columns `homeroom.chats.desired.LINEAGE`. `learners`: `homeroom.chats.rollover.LEARNERS`, who learned in
    the classes of which next year's may take over a chat. Both are empty unless the policy lets chats follow classes.
    """

    baseline: Baseline
    rules: str
    lineage: pl.DataFrame
    learners: pl.DataFrame

    def equals(self, other: StoredChats) -> bool:
        """Nothing would be written anew by storing the one instead of the other."""
        return (
            self.rules == other.rules
            and all(getattr(self, name).equals(getattr(other, name)) for name in _OF_THE_CLASSES)
            and self.baseline.equals(other.baseline)
        )


class Chats:
    """The table `chat_baseline`. `writing`: a transaction of whoever leads, by its epoch. `policy`: `policy_name`."""

    def __init__(
        self,
        engine: sa.Engine,
        writing: Leading,
        directory: Path,
    ) -> None:
        self._engine = engine
        self._writing = writing
        self._directory = directory

    def baseline(self, *, namespace: str, policy: str) -> StoredChats | None:
        """What had a reason when a plan was last applied; None: nothing ever was, or the store was lost.

        Raises TransientError, see `homeroom.store.folders.newest`.
        """
        return newest(lambda: self._newest(namespace, policy), lambda row: self._whole(row, namespace, policy))

    def read(self, connection: sa.Connection, *, namespace: str, policy: str) -> StoredChats | None:
        """The same within a transaction."""
        return newest(lambda: _row(connection, namespace, policy), lambda row: self._whole(row, namespace, policy))

    def around(
        self,
        *,
        namespace: str,
        policy: str,
        accounts: Collection[str] = (),
        person: str | None = None,
        schools: Collection[str] = (),
    ) -> StoredChats | None:
        """The same of a few chats, with all who are in them: little of large files is read. None: there are none.

        Those in which one of `accounts` is wanted, or for which `person` (source id) lacks one, and all of `schools`.
        """

        def read(row: sa.Row[Any]) -> StoredChats | None:
            folder = self._folder(namespace, policy) / row.files
            desired = _part(folder, accounts=accounts, person=person, schools=schools)
            if desired is None:
                return None
            stored = _stored(row, desired, _frames(folder))
            return replace(stored, baseline=stored.baseline.only(desired.chats["key"]))

        return newest(lambda: self._newest(namespace, policy), read)

    def save_baseline(self, stored: StoredChats, *, namespace: str, policy: str, epoch: int) -> None:
        """Replace it: files first, then the row that names them, so that a crash leaves the old one."""
        directory, table = self._folder(namespace, policy), schema.chat_baseline
        name = self._write(stored, directory)
        values = {"files": name, "rules": stored.rules, "first": stored.baseline.first}
        with self._writing(epoch) as connection:
            connection.execute(sa.delete(table).where(table.c.namespace == namespace, table.c.policy == policy))
            connection.execute(sa.insert(table).values(namespace=namespace, policy=policy, **values))
            # Looked up while nobody else writes, so that what `replace` is writing is not taken for an old one.
            old = others(directory, keep={name})
        remove(old)

    def replace(self, connection: sa.Connection, stored: StoredChats, *, namespace: str, policy: str) -> Path:
        """Replace frames and rules of the one there is, in a transaction; the folder to be removed after that."""
        directory, table = self._folder(namespace, policy), schema.chat_baseline
        of_policy = (table.c.namespace == namespace, table.c.policy == policy)
        old = connection.execute(sa.select(table.c.files).where(*of_policy)).scalar_one()
        values = {"files": self._write(stored, directory), "rules": stored.rules}
        connection.execute(sa.update(table).where(*of_policy).values(**values))
        return directory / str(old)

    def _write(self, stored: StoredChats, directory: Path) -> str:
        """Write the files; the name of their folder."""
        name, baseline = uuid.uuid4().hex, stored.baseline
        folder = directory / name
        folder.mkdir(parents=True, mode=0o700)
        frames = {
            **{part.name: getattr(baseline.desired, part.name) for part in fields(Desired)},
            **{part: getattr(baseline, part) for part in _BESIDE},
            **{part: getattr(stored, part) for part in _OF_THE_CLASSES},
            "known": baseline.known.alias("key").to_frame(),
        }
        write_files(frames, folder)
        return name

    def parked(self, *, namespace: str, policy: str, now: datetime) -> frozenset[str]:
        """Accounts that could come in nowhere, and are not tried again yet.

        They are after as long a time as they have been so, which is an hour at least and a day at most; or at once when
        their owner has linked them since.
        """
        table, naive = schema.journal, now.astimezone(UTC).replace(tzinfo=None)
        first, last = sa.func.min(table.c.at), sa.func.max(table.c.at)
        query = sa.select(table.c.key, first, last).where(
            table.c.namespace == namespace,
            table.c.app == journal_of(policy),
            table.c.result == Result.PARKED.value,
            table.c.at > naive - _REMEMBERED,
        )
        link = schema.link
        owned = sa.select(link.c.account, sa.func.max(link.c.at)).where(
            link.c.namespace == namespace, link.c.state == LinkState.LINKED.value, link.c.how == LinkedBy.PAGE.value
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query.group_by(table.c.key)).all()
            anew = dict(connection.execute(owned.where(link.c.at > naive - _REMEMBERED).group_by(link.c.account)).all())
        waiting = [row for row in rows if row[0] not in anew or anew[row[0]] <= row[2]]
        return frozenset(key for key, since, at in waiting if naive < at + min(max(at - since, _SHORTEST), _LONGEST))

    def policies(self, *, namespace: str) -> list[str]:
        """All policies and extra chats of which people are remembered, declared any more or not; sorted."""
        with self._engine.connect() as connection:
            return policies_of(connection, namespace)

    def extras(self, *, namespace: str) -> dict[str, str]:
        """Of extra chats, by `policy`, the rules (`StoredChats.rules`) by which a plan was last applied."""
        return dict(self._of_extras(namespace, "rules"))

    def extras_about(self, *, namespace: str, accounts: Collection[str], person: str) -> frozenset[str]:
        """Extra chats, by `policy`, that want one of `accounts`, or lack one for `person` (source id).

        Quickly, however many there are; `around` has the chats.
        """
        found = set[str]()
        for policy, files in self._of_extras(namespace, "files"):
            try:
                wanted, lacking = _people(self._folder(namespace, policy) / files)
            except FileNotFoundError:  # a run has just put another one in its place
                found.add(policy)
                continue
            if wanted.is_in(list(accounts)).any() or (lacking == person).any():
                found.add(policy)
        return frozenset(found)

    def _of_extras(self, namespace: str, column: str) -> list[tuple[str, str]]:
        table = schema.chat_baseline
        of_extra = (table.c.namespace == namespace, table.c.policy.startswith(journal_name("Chat", "")))
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(table.c.policy, table.c[column]).where(*of_extra)).all()
        return [(policy, text) for policy, text in rows]

    def known(self, *, namespace: str, policy: str) -> pl.Series:
        """Keys of the chats of which it is known who had a reason to be in them."""
        folder = self._folder(namespace, policy)
        found = newest(
            lambda: self._newest(namespace, policy),
            lambda row: read_files(folder / row.files, ["known"])["known"]["key"],
        )
        return pl.Series(dtype=pl.String) if found is None else found

    def rooms(self, *, namespace: str, policy: str, keys: Collection[str] | None = None) -> pl.DataFrame:
        """The chats of a policy that were made, or found by their mark: columns `ROOMS`, sorted by key.

        `keys`: only of these few chats.
        """
        table = schema.ledger
        query = sa.select(*(table.c[name] for name in ROOMS)).where(
            table.c.namespace == namespace,
            table.c.app == journal_of(policy),
            table.c.kind == Kind.CHAT.value,
        )
        if keys is not None:
            query = query.where(table.c.key.in_(list(keys)))
        with self._engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(query.order_by(table.c.key))]
        return pl.DataFrame(rows, schema=ROOMS, orient="row")

    def _newest(self, namespace: str, policy: str) -> sa.Row[Any] | None:
        with self._engine.connect() as connection:
            return _row(connection, namespace, policy)

    def _whole(self, row: sa.Row[Any], namespace: str, policy: str) -> StoredChats:
        folder = self._folder(namespace, policy) / row.files
        parts = [part.name for part in fields(Desired)]
        frames = _frames(folder, *parts)
        return _stored(row, Desired(**{part: frames[part] for part in parts}), frames)

    def _folder(self, namespace: str, policy: str) -> Path:
        return self._directory / "chats" / namespace / policy


@lru_cache(maxsize=4096)
def _people(folder: Path) -> tuple[pl.Series, pl.Series]:
    """Accounts that an extra chat wants, and people (source ids) who lack one, by its folder, which never changes."""
    wanted, lacking = read_files(folder, ("accounts", "pending")).values()
    return wanted["account"], lacking["person"].unique()


def policies_of(connection: sa.Connection, namespace: str) -> list[str]:
    """`Chats.policies` within a transaction."""
    stored, holds = schema.chat_baseline, schema.hold
    names = connection.execute(sa.select(stored.c.policy).where(stored.c.namespace == namespace)).scalars()
    held = sa.select(holds.c.kind, holds.c.name).where(holds.c.namespace == namespace, holds.c.kind.in_(KINDS))
    return sorted({*names, *(policy_name(kind, name) for kind, name in connection.execute(held.distinct()))})


def _frames(folder: Path, *more: str) -> dict[str, pl.DataFrame]:
    """The frames in a folder that are none of a desired state, and those of `more` names."""
    names = [*more, *_BESIDE, *_OF_THE_CLASSES, "known"]
    if (folder / "away.parquet").exists():
        return read_files(folder, names)
    names.remove("away")  # which an earlier release did not have
    return {**read_files(folder, names), "away": pl.DataFrame(schema=AWAY)}


def _stored(row: sa.Row[Any], desired: Desired, frames: Mapping[str, pl.DataFrame]) -> StoredChats:
    """What a row and the frames in its folder say."""
    beside = {name: frames[name] for name in _BESIDE}
    return StoredChats(
        baseline=Baseline(desired=desired, known=frames["known"]["key"], first=row.first, **beside),
        rules=row.rules,
        **{name: frames[name] for name in _OF_THE_CLASSES},
    )


def _part(folder: Path, *, accounts: Collection[str], person: str | None, schools: Collection[str]) -> Desired | None:
    """The chats of `Chats.around`, of the frames in a folder."""

    def scan(name: str) -> pl.LazyFrame:
        return pl.scan_parquet(folder / f"{name}.parquet")

    numbered = scan("accounts").with_row_index("number")
    mine = numbered.filter(pl.col("account").is_in(list(accounts))).select("number").collect()["number"]
    # Of many extra chats most have nothing of what is looked for: two files have to tell that.
    asked = [
        *([scan("members").filter(pl.col("account").is_in(mine.implode()))] if not mine.is_empty() else []),
        *([scan("pending").filter(pl.col("person") == person)] if person is not None else []),
        *([scan("chats").with_row_index("chat").filter(pl.col("school").is_in(list(schools)))] if schools else []),
    ]
    found = [rows.select(pl.col("chat").cast(pl.UInt32)).collect()["chat"] for rows in asked]
    at = pl.concat([pl.Series(dtype=pl.UInt32), *found]).unique().sort()
    if at.is_empty():
        return None
    members, pending = (
        scan(name).filter(pl.col("chat").is_in(at.implode())).collect() for name in ("members", "pending")
    )
    number = members["account"].unique().sort()

    def row_in(rows: pl.Series, among: pl.Series) -> pl.Series:
        return among.search_sorted(rows).cast(pl.UInt32)

    return Desired(
        chats=scan("chats").collect()[at],
        accounts=numbered.filter(pl.col("number").is_in(number.implode())).select("account").collect(),
        members=members.with_columns(
            row_in(members["chat"], at).alias("chat"), row_in(members["account"], number).alias("account")
        ),
        pending=pending.with_columns(row_in(pending["chat"], at).alias("chat")),
    )


def _row(connection: sa.Connection, namespace: str, policy: str) -> sa.Row[Any] | None:
    table = schema.chat_baseline
    query = sa.select(table).where(table.c.namespace == namespace, table.c.policy == policy)
    return connection.execute(query).one_or_none()


NO_LINEAGE: Final = pl.DataFrame(schema=LINEAGE)
NO_LEARNERS: Final = pl.DataFrame(schema=LEARNERS)
