"""What is kept of the supplements of a district: the version that counts, and the last valid text of its rows.

Part of what a run accepts, hence written in the same transaction (`Store.accept`); all of it can be read again.
Neighbours: `store`, `homeroom.sources.supplement` (the columns of the frames).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from homeroom.store import schema
from homeroom.store.frames import packed, unpacked

_FRAMES: Final = ("rows", "findings", "last")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredSupplement:
    """One supplement. `spec_digest`: of what says how it is read; `accepted_at`: when this version was first read.

    `rows` and `last`: columns `homeroom.sources.supplement.ROWS`; `findings`: `homeroom.roster.findings.SCHEMA`.
    """

    name: str
    spec_digest: str
    validator: str | None
    digest: str
    accepted_at: datetime
    rows: pl.DataFrame
    findings: pl.DataFrame
    last: pl.DataFrame

    def is_like(self, other: StoredSupplement) -> bool:
        """Whether to write one over the other would change nothing."""
        facts = [(one.name, one.spec_digest, one.validator, one.digest) for one in (self, other)]
        frames = ((self.findings, other.findings), (self.last, other.last))
        return facts[0] == facts[1] and all(one.equals(same) for one, same in frames)

    def names(self, person: str) -> bool:
        """Whether it says anything of the person with this source id."""
        columns = [name for name in ("sourcedId", "userSourcedId") if name in self.rows.columns]
        named = pl.any_horizontal(pl.col(name) == person for name in columns)
        return any(frame.select(named.any()).item() for frame in (self.rows, self.last) if frame.height)


def load_supplements(connection: sa.Connection, *, namespace: str, district: str) -> list[StoredSupplement]:
    """All of a district, by name."""
    table = schema.supplement
    query = sa.select(table).where(table.c.namespace == namespace, table.c.district == district).order_by(table.c.name)
    return [
        StoredSupplement(
            name=row.name,
            spec_digest=row.spec_digest,
            validator=row.validator,
            digest=row.digest,
            accepted_at=row.accepted_at.replace(tzinfo=UTC),
            **dict(zip(_FRAMES, unpacked(getattr(row, name) for name in _FRAMES), strict=True)),
        )
        for row in connection.execute(query)
    ]


def save_supplements(
    connection: sa.Connection, supplements: Sequence[StoredSupplement], *, namespace: str, district: str
) -> None:
    """Replace all of a district."""
    table = schema.supplement
    connection.execute(sa.delete(table).where(table.c.namespace == namespace, table.c.district == district))
    for one in supplements:
        frames = {name: packed(getattr(one, name)) for name in _FRAMES}
        connection.execute(
            sa.insert(table).values(
                namespace=namespace,
                district=district,
                name=one.name,
                spec_digest=one.spec_digest,
                validator=one.validator,
                digest=one.digest,
                accepted_at=one.accepted_at.astimezone(UTC).replace(tzinfo=None),
                **frames,
            )
        )
