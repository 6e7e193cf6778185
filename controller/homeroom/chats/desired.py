r"""Records, links and a policy -> the chats that there should be, with everybody who has a reason to be in them.

::

    schools, classes --rules--> chats
    staff, students, guardians, teachers --reasons--> [chat, person, why] --links--> members (accounts)
                                                                            \-> pending (people without one)

Who is in which: R27 to R29, R15, R16. Who administers: R33 to R35, and never anybody whom a record calls a student
(DESIGN.md invariant 8). Columns throughout. Neighbours: `records` (what comes in), `state` (what goes out).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import polars as pl

from homeroom.api.chatpolicy import ChatType, CreateOn, Part, RollOver
from homeroom.chats import names
from homeroom.chats.extra import extra_chat, extra_reasons
from homeroom.chats.identity import chat_key, plain, space_key
from homeroom.chats.policy import ChatRule, ChatRules, ExtraChat
from homeroom.chats.records import Links, Records
from homeroom.chats.state import DESIRED_SCHEMAS, Desired
from homeroom.chats.words import Reason, State

LINEAGE: Final = pl.Schema({"class": pl.String, "first": pl.String})
"""With `FollowClass`: the class with which the chat of a class began (`homeroom.chats.rollover`)."""

Opened = Mapping[CreateOn, Collection[str]]
"""Ids of the classes of which a first call, or a first lesson, asks for a chat of their subject."""

PARTS: Final = pl.Schema({"type": pl.Enum(ChatType), "school": pl.String()})
"""What a policy sees to: the chats of one type in one school (source id)."""

_ROW: Final = pl.UInt32
_ADMINISTRATOR: Final = 128  # beside the bits of `Reason`, so that both unite at once


def desired(
    records: Records,
    links: Links,
    rules: ChatRules,
    *,
    opened: Opened = MappingProxyType({}),
    there: pl.Series | None = None,
    joined: Collection[str] = (),
    lineage: pl.DataFrame | None = None,
    denied: Collection[str] = (),
    taken: pl.DataFrame | None = None,
) -> Desired:
    """The chats that a policy wants. The order of rows of `records` and `links` changes nothing.

    `there`: keys of chats that were made once: they need not be asked for again. `joined`: source ids of those who came
    by the link of an extra chat. `lineage`: columns `LINEAGE`. `denied`: source ids of people who are in no chat,
    whatever the records say. `taken`: columns `PARTS`, what another policy sees to.
    """
    chats = _chats(records, rules, lineage=lineage)
    chats = chats.filter(_asked_for(rules, opened, there))
    if taken is not None:
        chats = chats.join(taken, on=PARTS.names(), how="anti", maintain_order="left")
    extra = rules.extra
    reasons = _of_extra(records, extra, joined) if extra is not None else _reasons(records, chats, rules)
    if denied:
        barred = records.people["id"].is_in(list(denied))
        reasons = reasons.filter(~barred[reasons["person"]])
    may_lead = ~records.people["student"][reasons["person"]]
    why = pl.when(may_lead).then("why").otherwise(pl.col("why") & (_ADMINISTRATOR - 1))
    members, accounts, pending = _by_account(reasons.with_columns(why.cast(pl.UInt8)), records, links)
    wanted = chats.select(pl.col(name).cast(kind) for name, kind in DESIRED_SCHEMAS["chats"].items())
    return Desired(chats=wanted, accounts=accounts, members=members, pending=pending)


def meant(rules: ChatRules, school: pl.Expr) -> pl.Expr:
    """Whether a policy is about a school (source id)."""
    wanted = pl.lit(value=True) if rules.schools is None else school.is_in(list(rules.schools))
    return wanted & ~school.is_in(list(rules.other_schools))


def parts(records: Records, rules: ChatRules) -> pl.DataFrame:
    """What a policy sees to by its words, whether there is any such chat or not: columns `PARTS`."""
    types = pl.Series([rule.type.value for rule in rules.chats], dtype=PARTS["type"])
    schools = records.schools.filter(meant(rules, pl.col("id"))).select(school="id")
    return types.alias("type").to_frame().join(schools, how="cross")


def keys(records: Records, rules: ChatRules, *, lineage: pl.DataFrame | None = None) -> pl.Series:
    """The keys of all chats that a policy wants of these records, or would once they are asked for; sorted."""
    return _chats(records, rules, lineage=lineage)["key"]


# ---------------------------------------------------------------------------------------------------------------------
# Chats


def _chats(records: Records, rules: ChatRules, *, lineage: pl.DataFrame | None) -> pl.DataFrame:
    """The chats, sorted by key: columns of `DESIRED_SCHEMAS["chats"]`, and `at`, the row of the school or class.

    Also those that are made only once they are asked for.
    """
    if rules.extra is not None:
        return extra_chat(rules.extra, scope=rules.scope).with_columns(at=pl.lit(None, _ROW))
    schools = records.schools.select(school_id="id", school=pl.col("name").fill_null(pl.col("id")))
    schools = schools.with_columns(meant=meant(rules, pl.col("school_id")))
    classes = pl.concat(
        [records.classes.drop("school"), schools.select(pl.all().gather(records.classes["school"]))], how="horizontal"
    ).with_columns(first="id")
    if lineage is not None and rules.roll_over is RollOver.FOLLOW_CLASS:
        followed = classes.select("id").join(lineage, left_on="id", right_on="class", how="left", maintain_order="left")
        classes = classes.with_columns(first=followed["first"].fill_null(classes["id"]))
    found = [pl.DataFrame(schema={**DESIRED_SCHEMAS["chats"], "at": _ROW})]
    for rule in rules.chats:
        if rule.type is ChatType.STAFF_ROOM:
            rows = schools.with_columns(first=pl.lit(None, pl.String), year=pl.lit(None, pl.Int16), id="school_id")
        else:
            rows = classes.with_columns(**{"class": "title"})
        rows = rows.with_columns(pl.int_range(pl.len(), dtype=_ROW).alias("at")).filter("meant", *_which(rule))
        found.append(_of_rule(rows, rule, rules))
    return pl.concat(found).sort("key")


def _asked_for(rules: ChatRules, opened: Opened, there: pl.Series | None) -> pl.Expr:
    """Which chats are not waiting for a call or lesson."""
    made = pl.lit(value=False) if there is None else pl.col("key").is_in(there.implode())
    found = pl.lit(value=True)
    for rule in rules.chats:
        if rule.type is ChatType.SUBJECT and rule.create_on is not CreateOn.ENROLLMENT:
            waits = pl.col("type").cast(pl.String) == rule.type.value
            found &= ~waits | made | pl.col("section").is_in(list(opened.get(rule.create_on, ())))
    return found


def _which(rule: ChatRule) -> Iterator[pl.Expr]:
    """Which classes a rule is about."""
    if rule.type in {ChatType.CLASS_STUDENTS, ChatType.CLASS_PARENTS}:
        yield pl.col("homeroom")
    elif rule.type is ChatType.SUBJECT:
        yield ~pl.col("homeroom")


def _of_rule(rows: pl.DataFrame, rule: ChatRule, rules: ChatRules) -> pl.DataFrame:
    years = rows["year"].to_list()
    schools, sections = rows["school_id"].to_list(), rows["first"].to_list()
    keys = [
        chat_key(scope=rules.scope, type=rule.type, school=school, section=section)
        for school, section in zip(schools, sections, strict=True)
    ]
    spaces = {
        pair: space_key(scope=rules.scope, school=pair[0], year=pair[1])
        for pair in set(zip(schools, years, strict=True))
    }
    space_name = pl.concat_str(
        [plain(pl.col("school")), names.school_year(pl.col("year"))], separator=" ", ignore_nulls=True
    )
    written = rows.with_columns(number="year", year=names.school_year(pl.col("year")))
    return written.select(
        pl.Series("key", keys, pl.String),
        pl.lit(rule.type.value).cast(DESIRED_SCHEMAS["chats"]["type"]).alias("type"),
        school="school_id",
        section="id" if rule.type is not ChatType.STAFF_ROOM else pl.lit(None, pl.String),
        year="number",
        name=names.rendered(rules.name_of(rule), otherwise=pl.col("id")),
        space=pl.Series([spaces[pair] for pair in zip(schools, years, strict=True)], dtype=pl.String),
        space_name=rows.select(space_name.alias("name"))["name"],
        **{
            one.value: pl.lit(who.value).cast(DESIRED_SCHEMAS["chats"][one.value])
            for one, who in rule.settings.items().items()
        },
        at="at",
    )


# ---------------------------------------------------------------------------------------------------------------------
# Reasons


def _reasons(records: Records, chats: pl.DataFrame, rules: ChatRules) -> pl.DataFrame:
    """[chat, person, why]: every reason of every person; `why`: bits of `Reason`, and `_ADMINISTRATOR`."""
    numbered = chats.select("type", "at").with_row_index("chat")
    learners = records.students.select("class", "person", why=_bits(Reason.STUDENT))
    families = records.students.join(records.guardians, left_on="person", right_on="student").select(
        "class", person="guardian", why=_bits(Reason.GUARDIAN)
    )
    leads = _class_teachers(records.teachers)
    teachers = records.teachers.select("class", "person", why=_bits(Reason.TEACHER, leads=True))
    head = pl.when("head").then(_bits(Reason.STAFF | Reason.HEAD, leads=True)).otherwise(_bits(Reason.STAFF))
    who: dict[ChatType, list[pl.DataFrame]] = {
        ChatType.STAFF_ROOM: [records.staff.select("person", at="school", why=head)],
        ChatType.CLASS_STUDENTS: [learners, leads],
        ChatType.CLASS_PARENTS: [families, leads],
        ChatType.SUBJECT: [teachers],
    }
    for rule in rules.chats:
        if rule.type is ChatType.SUBJECT:
            who[rule.type] += [learners] if Part.STUDENTS in rule.members else []
            who[rule.type] += [families] if Part.PARENTS in rule.members else []
    found = [pl.DataFrame(schema={"chat": _ROW, "person": _ROW, "why": pl.UInt8})]
    for type_, parts in who.items():
        of_type = numbered.filter(pl.col("type") == type_.value).select("chat", "at")
        for part in parts:
            rows = part.rename({"class": "at"}, strict=False)
            size = max(records.schools.height, records.classes.height)
            found.append(_placed(rows, of_type, size=size))
    return pl.concat(found)


def _of_extra(records: Records, extra: ExtraChat, joined: Collection[str]) -> pl.DataFrame:
    """The same of the one chat."""
    why = pl.col("why") + pl.when("leads").then(pl.lit(_ADMINISTRATOR, pl.UInt8)).otherwise(pl.lit(0, pl.UInt8))
    return extra_reasons(records, extra, joined=joined).select(
        pl.lit(0, _ROW).alias("chat"), "person", why.alias("why")
    )


def _placed(rows: pl.DataFrame, chats: pl.DataFrame, *, size: int) -> pl.DataFrame:
    """[chat, person, why] of rows [at, person, why] whose place has a chat; `size`: how many places there are."""
    if rows.is_empty() or chats.is_empty():
        return pl.DataFrame(schema={"chat": _ROW, "person": _ROW, "why": pl.UInt8})
    lookup = _lookup(chats["at"], chats["chat"], size=size)
    return rows.select(lookup[rows["at"]].alias("chat"), "person", "why").drop_nulls("chat")


def _bits(reason: Reason, *, leads: bool = False) -> pl.Expr:
    return pl.lit(reason.value | (_ADMINISTRATOR if leads else 0), pl.UInt8)


def _class_teachers(teachers: pl.DataFrame) -> pl.DataFrame:
    """[class, person, why]: the class teachers (R34). Where the class card names none, all who teach the class.

    Of these only one who is alone leads: the records do not say which of several does, and a guess would give rights.
    """
    lead = pl.col("lead").fill_null(value=False)
    named, alone = lead.any().over("class"), (pl.col("person").n_unique() == 1).over("class")
    why = pl.when(lead | alone).then(_bits(Reason.TEACHER, leads=True)).otherwise(_bits(Reason.TEACHER))
    return teachers.filter(lead | ~named).select("class", "person", why=why)


# ---------------------------------------------------------------------------------------------------------------------
# Accounts


def _by_account(
    reasons: pl.DataFrame, records: Records, links: Links
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Members, accounts and pending, as in `DESIRED_SCHEMAS`."""
    people, account = records.people["id"], links.linked["account"]
    rows = people.alias("person").to_frame().with_row_index("row")
    row = links.linked.select("person").join(rows, on="person", how="left", maintain_order="left")["row"]
    # Links are sorted by account: the same account twice is one that two people claim.
    first = account.ne_missing(account.shift(1))
    sure = first & first.shift(-1, fill_value=True)
    known = pl.DataFrame({"row": row, "number": first.cum_sum() - 1, "sure": sure}).drop_nulls("row")
    usable, doubted = known.filter("sure"), known.filter(~pl.col("sure"))
    number = usable["number"].cast(_ROW)
    of = _lookup(usable["row"], number, size=people.len())
    found = [reasons.select("chat", "why", account=of[reasons["person"]]).drop_nulls("account")]
    more = usable.select(person="row", account=number).filter(of[usable["row"]] != number)
    if not more.is_empty():  # who has two accounts is there with both
        found.append(reasons.join(more, on="person").select("chat", "why", "account"))
    united = _united(pl.concat(found))
    used = _marked(united["account"], size=int(first.sum()))
    row_of = used.cum_sum() - 1
    members = united.select(
        "chat",
        row_of[united["account"]].cast(_ROW).alias("account"),
        administrator=pl.col("why") >= _ADMINISTRATOR,
        reasons=pl.col("why") & (_ADMINISTRATOR - 1),
    )
    accounts = account.filter(first).filter(used).to_frame()
    linked, parked = (_marked(part["row"], size=people.len()) for part in (usable, doubted))
    lost = reasons.filter(~linked[reasons["person"]])
    lost = lost.group_by("chat", "person").agg(pl.col("why").bitwise_or()).sort("chat", "person")
    state = pl.when(parked[lost["person"]]).then(pl.lit(State.PARKED.value)).otherwise(pl.lit(State.UNLINKED.value))
    pending = lost.select(
        "chat",
        person=people[lost["person"]],
        administrator=pl.col("why") >= _ADMINISTRATOR,
        state=state.cast(DESIRED_SCHEMAS["pending"]["state"]),
    )
    return members, accounts, pending


def _united(rows: pl.DataFrame) -> pl.DataFrame:
    """[chat, account, why], once for each chat and account, sorted: one sort of numbers costs less than a group-by.

    Of the 64 bits of a number the reasons have 8 and the account 32, which leaves 24 for the chat: 16 million.
    """
    packed = rows.select(
        (pl.col("chat").cast(pl.UInt64) * 2**32 + pl.col("account")) * 2**8 + pl.col("why")
    ).to_series()
    found = packed.sort().alias("packed").to_frame().select(place=pl.col("packed") // 2**8, why=pl.col("packed") % 2**8)
    place = pl.col("place")
    again = found.select((place == place.shift(1)).fill_null(value=False)).to_series()
    if again.any():
        found = found.group_by("place", maintain_order=True).agg(pl.col("why").bitwise_or())
    return found.select(
        chat=(place // 2**32).cast(_ROW), account=(place % 2**32).cast(_ROW), why=pl.col("why").cast(pl.UInt8)
    )


def _marked(rows: pl.Series, *, size: int) -> pl.Series:
    """Boolean of length `size`, true at `rows`."""
    return pl.Series([False]).new_from_index(0, size).scatter(rows, values=True)


def _lookup(at: pl.Series, values: pl.Series, *, size: int) -> pl.Series:
    """`values` at the positions `at`, null elsewhere."""
    return pl.Series([None], dtype=_ROW).new_from_index(0, size).scatter(at, values)
