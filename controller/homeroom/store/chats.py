"""What had a reason in the chats of each policy when its plan was last applied. Neighbours: `store`, `links`.

A baseline is derived (without one nobody is removed), and lies in a folder of Parquet files that a row names.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from homeroom.chats.baseline import Baseline
from homeroom.chats.desired import LINEAGE
from homeroom.chats.rollover import LEARNERS
from homeroom.chats.state import Desired
from homeroom.plan import Kind
from homeroom.store import schema
from homeroom.store.folders import others, remove

_BESIDE: Final = ("kept", "unapplied")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChats:
    """The baseline of a ChatPolicy, with what it was made of: its rules as canonical JSON.

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
    """The table `chat_baseline`. `writing`: a transaction of whoever leads, by its epoch."""

    def __init__(
        self,
        engine: sa.Engine,
        writing: Callable[[int], AbstractContextManager[sa.Connection]],
        directory: Path,
    ) -> None:
        self._engine = engine
        self._writing = writing
        self._directory = directory

    def baseline(self, *, namespace: str, policy: str) -> StoredChats | None:
        """What had a reason when a plan was last applied; None: nothing ever was, or the store was lost."""
        row = self._row(namespace, policy)
        if row is None:
            return None
        folder = self._folder(namespace, policy) / row.files

        def frame(name: str) -> pl.DataFrame:
            return pl.read_parquet(folder / f"{name}.parquet")

        return StoredChats(
            baseline=Baseline(
                desired=Desired(**{part.name: frame(part.name) for part in fields(Desired)}),
                kept=frame("kept"),
                unapplied=frame("unapplied"),
                known=frame("known")["key"],
                first=row.first,
            ),
            rules=row.rules,
            lineage=frame("lineage"),
            learners=frame("learners"),
        )

    def save_baseline(self, stored: StoredChats, *, namespace: str, policy: str, epoch: int) -> None:
        """Replace it: files first, then the row that names them, so that a crash leaves the old one."""
        directory, name, baseline = self._folder(namespace, policy), uuid.uuid4().hex, stored.baseline
        folder = directory / name
        folder.mkdir(parents=True, mode=0o700)
        frames = {
            **{part.name: getattr(baseline.desired, part.name) for part in fields(Desired)},
            **{part: getattr(baseline, part) for part in _BESIDE},
            **{part: getattr(stored, part) for part in _OF_THE_CLASSES},
            "known": baseline.known.alias("key").to_frame(),
        }
        for part, frame in frames.items():
            frame.write_parquet(folder / f"{part}.parquet")
        table = schema.chat_baseline
        place = {"namespace": namespace, "policy": policy}
        with self._writing(epoch) as connection:
            connection.execute(sa.delete(table).where(table.c.namespace == namespace, table.c.policy == policy))
            connection.execute(sa.insert(table).values(**place, files=name, rules=stored.rules, first=baseline.first))
        remove(others(directory, keep={name}))

    def known(self, *, namespace: str, policy: str) -> pl.Series:
        """Keys of the chats of which it is known who had a reason to be in them."""
        row = self._row(namespace, policy)
        if row is None:
            return pl.Series(dtype=pl.String)
        return pl.read_parquet(self._folder(namespace, policy) / row.files / "known.parquet")["key"]

    def rooms(self, *, namespace: str, policy: str) -> pl.DataFrame:
        """The chats of a policy that were made, or found by their mark: columns `ROOMS`, sorted by key."""
        table = schema.ledger
        query = sa.select(*(table.c[name] for name in ROOMS)).where(
            table.c.namespace == namespace,
            table.c.app == journal_name("ChatPolicy", policy),
            table.c.kind == Kind.CHAT.value,
        )
        with self._engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(query.order_by(table.c.key))]
        return pl.DataFrame(rows, schema=ROOMS, orient="row")

    def _folder(self, namespace: str, policy: str) -> Path:
        return self._directory / "chats" / namespace / policy

    def _row(self, namespace: str, policy: str) -> sa.Row[Any] | None:
        table = schema.chat_baseline
        query = sa.select(table).where(table.c.namespace == namespace, table.c.policy == policy)
        with self._engine.connect() as connection:
            return connection.execute(query).one_or_none()


NO_LINEAGE: Final = pl.DataFrame(schema=LINEAGE)
NO_LEARNERS: Final = pl.DataFrame(schema=LEARNERS)
