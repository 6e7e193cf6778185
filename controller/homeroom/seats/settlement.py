"""A pool with all its licences and students at once: grants and seats that go with each other. Pure.

::

    claims --> `arbiter`: grants --> `assignment`: who holds a seat --> use, which is what a claim never loses
                  ^-----------------------------------------------------------+

Seats that end or move change what a licence uses, and so what the pool can give; both are asked in turns until
nothing changes, so the next run with the same facts changes nothing. Neighbour: `homeroom.reconcile.licensepool`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import polars as pl

from homeroom.seats.arbiter import Claim, Grant, Pool, Shares, arbitrate
from homeroom.seats.assignment import LICENCES_SCHEMA, NOBODY, Assignment, assign


def licence_id(namespace: str, name: str) -> str:
    """How frames name a licence, or a district: namespace and name."""
    return f"{namespace}/{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What came out. `claims`: as given, with what is granted and used now, in the same order."""

    claims: Sequence[Claim]
    shares: Shares
    assignment: Assignment

    def grant(self, claim: Claim) -> Grant:
        """What one of the claims gets."""
        return self.shares.grants[claim.key]


def settle(
    pool: Pool | None,
    claims: Sequence[Claim],
    demand: pl.DataFrame,
    seats: pl.DataFrame,
    *,
    today: date,
    grace: timedelta | None,
    unsure: Collection[str] = (),
    still: Collection[str] = (),
    idle: pl.DataFrame = NOBODY,
) -> Settlement:
    """Share the pool out, and seat students within the grants.

    `claims`: what each was granted before; what is used is counted in `seats`. `demand`, `seats`, `grace`, `unsure`,
    `idle`: as `homeroom.seats.assignment.assign` takes them; licences are named by `licence_id`. `still`: those that
    keep their holders and take nobody, as it is not known who should have a seat by them. It comes to an end, as each
    turn but the last has ended a seat or brought a student to where one is wanted, and nobody is moved from there but
    who is idle, and that once.
    """
    claims = _using(claims, dict(seats.group_by("licence").len().iter_rows()))
    shares = arbitrate(pool, claims, today=today)
    while True:
        licences = [(licence_id(*key), grant) for key, grant in shares.grants.items()]
        found = assign(
            pl.DataFrame(
                [(name, grant.seats, grant.open and name not in still) for name, grant in licences],
                LICENCES_SCHEMA,
                orient="row",
            ),
            demand,
            seats,
            today=today,
            grace=grace,
            unsure=unsure,
            idle=idle,
        )
        granted = [replace(claim, previous=shares.grants[claim.key].seats) for claim in claims]
        claims = _using(granted, dict(found.counts.select("licence", "used").iter_rows()))
        anew = arbitrate(pool, claims, today=today)
        if anew.grants == shares.grants:
            return Settlement(claims=claims, shares=anew, assignment=found)
        shares, seats = anew, found.seats


def _using(claims: Sequence[Claim], used: Mapping[str, int]) -> list[Claim]:
    return [replace(claim, used=used.get(licence_id(*claim.key), 0)) for claim in claims]
