"""What was bought of a product, beside what the rules share of it: counts, schools, grades. Pure, and only a report.

Flow: `homeroom.reconcile.subscription` and `homeroom shared` call `compare` with a subscription and what
`homeroom.roster.shared` made of the rules, and say the result in the words of `told`. No change depends on it: too many
shared students are a matter for people, and nobody is kept out or sent away for it. In words for people:
docs/subscription.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import polars as pl

from homeroom.api import (
    MAX_IDS_IN_STATUS,
    Reason,
    SubscribedParts,
    SubscribedPeople,
    Subscription,
    SubscriptionStatus,
)
from homeroom.roster.shared import Shared
from homeroom.roster.tables import Roster, repeated

_LEAST_BUFFER: Final = 25
_BUFFER_PART: Final = 20  # one in twenty is 5 %
_NAMED: Final = 10  # ids in one sentence
_PARTS: Final = {"student": "students", "teacher": "teachers", "staff": "staff"}  # what people are, and how counted


def compare(subscription: Subscription, roster: Roster, shared: Shared) -> SubscriptionStatus:
    """What was bought beside what is shared of `roster`; only what the subscription names.

    A school is shared when anything of it is. The grades shared are those of the shared sections (S2), and the own ones
    of shared students who are in none of them. An unknown grade is none of these; it is counted apart (invariant 3).
    """
    grades = _grades(roster, shared) if subscription.grades else pl.Series(dtype=pl.String)
    return SubscriptionStatus(
        students=_people(subscription.students, shared.distinct.students),
        teachers=_people(subscription.teachers, shared.distinct.teachers),
        schools=_parts(subscription.schools, shared.per_school["id"]),
        grades=_parts(subscription.grades, grades.drop_nulls()),
        unknown_grades=grades.null_count(),
    )


def told(found: SubscriptionStatus) -> tuple[Reason, str]:
    """Reason and words of the condition `Subscribed`; it is True for `WithinSubscription` only."""
    words = [
        f"{people.shared} of {people.bought} {kind}{_excess(people)}"
        for kind, people in (("students", found.students), ("teachers", found.teachers))
        if people is not None
    ]
    parts = [(kind, part) for kind, part in (("schools", found.schools), ("grades", found.grades)) if part is not None]
    words += [
        f"{kind} shared and not bought: {_listed(part.not_bought, part.over)}" for kind, part in parts if part.over
    ]
    words += [
        f"{kind} bought and not shared: {_listed(part.not_shared, part.under)}" for kind, part in parts if part.under
    ]
    if found.unknown_grades:
        words.append(f"grades that cannot be read: {found.unknown_grades}")
    if any(people is not None and people.exceeded for people in (found.students, found.teachers)):
        reason = Reason.SUBSCRIPTION_EXCEEDED
    elif any(part.over for _, part in parts):
        reason = Reason.NOT_SUBSCRIBED
    else:
        reason = Reason.WITHIN_SUBSCRIPTION
    return reason, "; ".join(words) or "what is shared was bought"


def in_several_schools(shared: Shared) -> pl.DataFrame:
    """[schools, students, teachers, staff]: how many people are shared in that many schools (2 and more), sorted.

    Why the sum per school is more than the distinct count (S10): each person adds `schools` less one to the difference.
    """
    users = shared.people["user"].sort()  # to group everybody, of whom nearly all are in one school, takes far longer
    several = users.filter(users == users.shift(1)).unique()
    return (
        shared.people.filter(pl.col("user").is_in(several.implode()))
        .group_by("user")
        .agg(pl.col(*_PARTS).sum())
        .unpivot(on=list(_PARTS), variable_name="part", value_name="schools")
        .filter(pl.col("schools") > 1)
        .group_by(pl.col("schools").cast(pl.Int64))
        .agg((pl.col("part") == part).sum().cast(pl.Int64).alias(count) for part, count in _PARTS.items())
        .sort("schools")
    )


def _people(bought: int | None, shared: int) -> SubscribedPeople | None:
    if bought is None:
        return None
    return SubscribedPeople(
        bought=bought,
        shared=shared,
        over=max(shared - bought, 0),
        under=max(bought - shared, 0),
        buffer=max(_LEAST_BUFFER, bought // _BUFFER_PART),
    )


def _parts(bought: Iterable[str], shared: Iterable[str]) -> SubscribedParts | None:
    bought, shared = set(bought), set(shared)
    if not bought:
        return None
    over, under = sorted(shared - bought), sorted(bought - shared)
    return SubscribedParts(
        bought=len(bought),
        shared=len(shared),
        over=len(over),
        under=len(under),
        not_bought=tuple(over[:MAX_IDS_IN_STATUS]),
        not_shared=tuple(under[:MAX_IDS_IN_STATUS]),
    )


def _grades(roster: Roster, shared: Shared) -> pl.Series:
    """Grades shared, each once, and a null for every section, or student in none, whose grade is unknown."""
    user = shared.people["user"]
    alone = repeated(value=False, n=roster.users.height, dtype=pl.Boolean)
    alone = alone.scatter(user.filter(shared.people["student"]), values=True)
    alone = alone.scatter(user[shared.memberships["person"]], values=False)
    lists = pl.concat([roster.classes["grades"][shared.classes["class"]], roster.users["grades"].filter(alone)])
    known = lists.explode(empty_as_null=False, keep_nulls=False).unique()
    unknown = lists.is_null() | lists.list.eval(pl.element().is_null()).list.any()
    return pl.concat([known.drop_nulls(), repeated(None, int(unknown.sum()), dtype=pl.String)])


def _excess(people: SubscribedPeople) -> str:
    if not people.over:
        return ""
    return f" ({people.over} more, {'beyond' if people.exceeded else 'within'} the buffer of {people.buffer})"


def _listed(ids: tuple[str, ...], number: int) -> str:
    more = number - min(number, _NAMED)
    return ", ".join(ids[:_NAMED]) + (f" and {more} more" if more else "")
