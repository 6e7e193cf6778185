"""Which class takes over the chat of which: by who is in it."""

from __future__ import annotations

from itertools import pairwise

import hypothesis.strategies as st
import polars as pl
from hypothesis import given
from tests.unit.chats.worlds import THREE, World, having, linked
from tests.unit.examples import examples

from homeroom.api import RollOver
from homeroom.chats.desired import LINEAGE, desired
from homeroom.chats.policy import ChatRules
from homeroom.chats.rollover import LEARNERS, followed

NONE = pl.DataFrame(schema=LINEAGE)


def learners(**classes: str) -> pl.DataFrame:
    rows = [(name.replace("_", "@20"), "s1", person) for name, text in classes.items() for person in text.split()]
    return pl.DataFrame(rows, schema=LEARNERS, orient="row")


def test_a_class_that_goes_up_takes_its_chat_and_the_new_first_class_gets_its_own() -> None:
    """E8: `1a` becomes `2a`, and there is another `1a`, with the source id of last year's."""
    found = followed(NONE, before=learners(c1="ann bob cid"), now=learners(c1_28="new1 new2", c2="ann bob dot"))
    assert found.rows() == [("c2", "c1")]
    again = followed(found, before=learners(c2="ann bob dot"), now=learners(c3="ann bob", c2_29="x y"))
    assert again.rows() == [("c2", "c1"), ("c3", "c1")]
    assert followed(again, before=learners(c3="ann bob"), now=learners(c3="ann")).equals(again)


def test_half_a_class_is_no_class() -> None:
    split = followed(NONE, before=learners(c1="ann bob cid dot"), now=learners(a="ann bob", b="cid dot"))
    assert split.is_empty()
    swallowed = followed(NONE, before=learners(c1="ann bob"), now=learners(c2="ann bob x y"))
    assert swallowed.is_empty()
    still_there = followed(NONE, before=learners(c1="ann bob"), now=learners(c1="ann bob", c2="ann bob"))
    assert still_there.is_empty()


def test_a_class_that_comes_back_does_not_come_into_the_chat_that_went_on() -> None:
    gone_on = followed(NONE, before=learners(c1="ann bob"), now=learners(c2="ann bob"))
    back = followed(gone_on, before=learners(c2="ann bob"), now=learners(c1="x y", c2="ann bob"))
    assert back.rows() == [("c1", "c1@again"), ("c2", "c1")]
    third = followed(back, before=learners(c1="x y", c2="ann bob"), now=learners(c3="x y", c2="ann bob"))
    assert ("c3", "c1@again") in third.rows()
    again = followed(third, before=learners(c3="x y"), now=learners(c1="new", c3="x y"))
    assert ("c1", "c1@again@again") in again.rows()
    assert followed(again, before=learners(c1="new", c3="x y"), now=learners(c1="new", c3="x y")).equals(again)


def test_the_chat_of_a_class_that_follows_is_that_of_the_first() -> None:
    lineage = pl.DataFrame([("c1@2028", "c1")], schema=LINEAGE, orient="row")
    rules = having(chats=THREE[1:2])
    follow = having(rules, roll_over=RollOver.FOLLOW_CLASS)
    first, second = World(homerooms={"c1": "ann tom*"}), World(homerooms={"c1@2028": "ann tom*"})

    def keys(world: World, of: ChatRules) -> list[str]:
        return desired(world.records(), linked(world), of, lineage=lineage).chats["key"].to_list()

    assert keys(first, follow) == keys(second, follow)
    assert keys(first, rules) != keys(second, rules)


people = st.sets(st.sampled_from([f"p{n}" for n in range(6)]), max_size=5).map(" ".join)
years = st.fixed_dictionaries(dict.fromkeys(("a", "b", "c"), people))


@examples(30)
@given(first=years, second=years, third=years, last=st.sampled_from([27, 29]))
def test_no_two_classes_have_one_chat_and_whoever_reads_on_was_mostly_there(
    first: dict[str, str], second: dict[str, str], third: dict[str, str], last: int
) -> None:
    """Safety row 15, also where chats follow classes, and where last year's classes come back."""
    nights = [
        learners(**{f"{name}_{year}": text for name, text in classes.items()})
        for year, classes in ((27, first), (28, second), (last, third))
    ]
    lineage = NONE
    for before, now in pairwise(nights):
        longer = followed(lineage, before=before, now=now)
        assert longer.join(lineage, on=["class", "first"], how="anti").height == longer.height - lineage.height
        current = now.select("class").unique().join(longer, on="class", how="left")
        chats = current.select(pl.coalesce("first", "class")).to_series()
        assert chats.is_unique().all()
        chat = pl.coalesce("first", "class").alias("chat")
        of_before = dict(before.join(longer, on="class", how="left").select(chat, "class").unique().iter_rows())
        for name, first_of in current.iter_rows():
            if first_of is None or first_of == f"{name}@again":
                continue
            there = set(now.filter(pl.col("class") == name)["person"])
            was = set(before.filter(pl.col("class") == of_before[first_of])["person"])
            assert 2 * len(there & was) > max(len(there), len(was))
        lineage = longer
