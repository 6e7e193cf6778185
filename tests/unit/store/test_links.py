"""An account is one person's, whoever claims it; what somebody took back stays so; a code is good once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples

from homeroom.chats.linking import CodeState, LinkedBy, LinkState, Place, Proof, TokenState, account_in
from homeroom.chats.records import LINKS_SCHEMA
from homeroom.chats.records import Links as Core
from homeroom.store import PLACES_SCHEMA, Answer, LostLeadershipError, Store, Visit
from homeroom.store.links import TRIES
from homeroom.store.schema import metadata
from homeroom.store.transactions import unled

NOW = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
HERE, THERE = Place("n", "matrix", "d"), Place("n", "matrix", "e")
PLATFORM = {"namespace": "n", "platform": "matrix"}
ANN, BO = "@ann:s", "@bo:s"
GOOD, WRONG = "9" * 64, "8" * 64


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    store = Store.open(url, tmp_path)
    yield store
    store.close()


def pairs(*rows: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=LINKS_SCHEMA, orient="row")


def note(store: Store, *rows: tuple[str, str], by: LinkedBy = LinkedBy.RECORDS, epoch: int = 1) -> bool:
    return store.links.note(pairs(*rows), place=HERE, by=by, at=NOW, epoch=epoch)


def code_for(store: Store, person: str, *, place: Place = HERE, days: int = 30) -> str:
    """The digest of a new code of somebody."""
    made = f"code of {person} at {store.links.codes(place, now=NOW).height}".ljust(64, ".")
    store.links.issue(
        {person: made}, place=place, state=CodeState.PRINTED, expires_at=NOW + timedelta(days=days), now=NOW
    )
    return made


def visit_of(
    store: Store, person: str | None, account: str, code: str | None, *, name: str = "v", place: Place = HERE
) -> str:
    """The digest of a visit in which somebody has a code, and has named an account."""
    visit = Visit(place=place, language="English", expires_at=LATER, person=person, code=code)
    store.links.begin(visit, digest=name, now=NOW)
    assert store.links.ask(name, account, language="English", now=NOW)
    return name


def sent(store: Store, number: str | None = GOOD) -> list[str]:
    """Send all numbers that are asked for; to whom."""
    asked = store.links.asked(**PLATFORM, now=NOW)
    for one in asked:
        store.links.answered(one, number, epoch=1)
    return [one.account for one in asked]


def proven(store: Store, person: str, account: str, *, code: str | None = None, name: str = "v") -> str:
    visit = visit_of(store, person, account, code or code_for(store, person), name=name)
    sent(store)
    assert store.links.enter(visit, GOOD, now=NOW) is Proof.PROVEN
    return visit


def states(store: Store) -> dict[tuple[str, str], str]:
    """State by person and account."""
    rows = [
        {"person": person, **row}
        for person in ("p-1", "p-2", "p-3")
        for row in store.links.links_of(person, namespace="n", district="d").to_dicts()
    ]
    return {(row["person"], row["account"]): row["state"] for row in rows}


# -- what the records say


def test_what_the_records_say_is_remembered_once_and_not_forgotten_when_they_fall_silent(store: Store) -> None:
    assert note(store, ("p-1", ANN), ("p-2", BO))
    assert not note(store, ("p-2", BO), ("p-1", ANN), epoch=0)  # nothing is written: else the epoch would be too old
    assert not note(store, epoch=0)
    assert store.links.linked(HERE).rows() == [("p-1", ANN), ("p-2", BO)]
    assert store.links.linked(THERE).is_empty()
    assert store.links.take_news(**PLATFORM, epoch=0) == []  # who noted it knows


def test_an_account_that_the_records_give_to_two_people_is_nobodys(store: Store) -> None:
    note(store, ("p-1", ANN), ("p-2", ANN))
    assert store.links.linked(HERE).is_empty()
    assert store.links.counts(HERE) == {LinkState.LINKED: 0, LinkState.UNLINKED: 0, LinkState.REFUSED: 2}
    note(store, ("p-2", ANN))  # somebody mended it
    assert store.links.linked(HERE).rows() == [("p-2", ANN)]
    assert store.links.counts(HERE)[LinkState.REFUSED] == 0


def test_the_records_take_nobodys_account_over(store: Store) -> None:
    note(store, ("p-1", ANN))
    assert note(store, ("p-2", ANN))
    assert not note(store, ("p-2", ANN), epoch=0)
    assert store.links.linked(HERE).rows() == [("p-1", ANN)]
    assert states(store) == {("p-1", ANN): "Linked", ("p-2", ANN): "Refused"}
    store.links.unlink(HERE, "p-1", now=NOW)
    note(store, ("p-2", ANN))
    assert states(store) == {("p-1", ANN): "Unlinked", ("p-2", ANN): "Linked"}


def test_records_and_template_refuse_each_for_itself(store: Store) -> None:
    note(store, ("p-1", ANN), by=LinkedBy.TEMPLATE)
    note(store, ("p-2", ANN))
    assert not note(store, ("p-1", ANN), by=LinkedBy.TEMPLATE, epoch=0)
    assert note(store)  # claimed no more
    assert states(store) == {("p-1", ANN): "Linked"}


def test_what_somebody_took_back_stays_so_whatever_the_records_repeat(store: Store) -> None:
    note(store, ("p-1", ANN))
    assert store.links.unlink(HERE, "p-1", now=LATER) == 1
    assert store.links.unlink(HERE, "p-1", now=LATER) == 0
    assert not note(store, ("p-1", ANN), epoch=0)
    core = Core.of(pairs(("p-1", ANN)), before=store.links.linked(HERE), unlinked=store.links.unlinked(HERE))
    assert core.linked.is_empty()
    store.links.link(proven(store, "p-1", ANN), now=NOW)
    assert store.links.linked(HERE).rows() == [("p-1", ANN)]
    assert store.links.unlinked(HERE).is_empty()


def test_an_operator_that_leads_no_more_notes_nothing(store: Store) -> None:
    note(store, ("p-1", ANN), epoch=7)
    with pytest.raises(LostLeadershipError):
        note(store, ("p-2", BO), epoch=6)
    store.links.unlink(HERE, "p-1", now=NOW)
    with pytest.raises(LostLeadershipError):
        store.links.take_news(**PLATFORM, epoch=6)
    assert store.links.take_news(**PLATFORM, epoch=7) == ["d"]


# -- people


def test_a_code_and_a_number_make_a_link_and_runs_are_told_once(store: Store) -> None:
    assert store.links.link(proven(store, "p-1", ANN), now=NOW) is Answer.LINKED
    assert store.links.linked(HERE).rows() == [("p-1", ANN)]
    assert store.links.holder(HERE, ANN) == "p-1"
    assert store.links.accounts(HERE, "p-1") == [ANN]
    assert store.links.take_news(**PLATFORM, epoch=1) == ["d"]
    assert store.links.take_news(**PLATFORM, epoch=0) == []
    store.links.unlink(HERE, "p-1", now=NOW)
    assert store.links.take_news(**PLATFORM, epoch=1) == ["d"]


def test_pressing_twice_is_pressing_once(store: Store) -> None:
    visit = proven(store, "p-1", ANN)
    assert [store.links.link(visit, now=NOW) for _ in range(3)] == [Answer.LINKED] * 3
    assert states(store) == {("p-1", ANN): "Linked"}


def test_an_account_is_never_taken_over(store: Store) -> None:
    store.links.link(proven(store, "p-1", ANN), now=NOW)
    store.links.take_news(**PLATFORM, epoch=1)
    other = proven(store, "p-2", ANN, name="w")
    assert store.links.link(other, now=NOW) is Answer.TAKEN
    assert states(store) == {("p-1", ANN): "Linked", ("p-2", ANN): "Refused"}
    assert store.links.take_news(**PLATFORM, epoch=0) == []
    store.links.unlink(HERE, "p-1", now=NOW)
    assert store.links.link(other, now=NOW) is Answer.LINKED  # the code was not used up by it
    assert states(store) == {("p-1", ANN): "Unlinked", ("p-2", ANN): "Linked"}


def test_of_two_who_want_one_account_one_gets_it(store: Store) -> None:
    visits = [proven(store, person, ANN, name=person) for person in ("p-1", "p-2", "p-3")]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda visit: store.links.link(visit, now=NOW), visits * 4))
    assert sorted({*answers}) == [Answer.LINKED, Answer.TAKEN]
    assert sorted(states(store).values()) == ["Linked", "Refused", "Refused"]


def test_another_account_takes_the_place_of_the_one_before(store: Store) -> None:
    note(store, ("p-1", ANN))
    assert store.links.link(proven(store, "p-1", BO), now=NOW) is Answer.LINKED
    assert states(store) == {("p-1", ANN): "Unlinked", ("p-1", BO): "Linked"}
    assert not note(store, ("p-1", ANN), epoch=0)


def test_a_code_links_one_account_however_many_want_it(store: Store) -> None:
    code = code_for(store, "p-1")
    visits = [proven(store, "p-1", f"@a{number}:s", code=code, name=f"v{number}") for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda visit: store.links.link(visit, now=NOW), visits))
    assert sorted(answers) == [Answer.EXPIRED] * 5 + [Answer.LINKED]
    assert store.links.linked(HERE).height == 1
    assert store.links.by_code(code, now=NOW) is None


def test_a_code_ends_in_time_and_with_the_next_letter(store: Store) -> None:
    old = code_for(store, "p-1")
    visit = proven(store, "p-1", ANN, code=old)
    new = code_for(store, "p-1")
    assert store.links.by_code(old, now=NOW) is None
    assert store.links.by_code(new, now=NOW) == (HERE, "p-1")
    assert store.links.link(visit, now=NOW) is Answer.EXPIRED
    assert store.links.by_code(new, now=NOW + timedelta(days=30)) is None
    assert store.links.codes(HERE, now=NOW).rows() == [("p-1", "Printed")]
    assert store.links.codes(HERE, now=NOW + timedelta(days=30)).is_empty()
    store.links.note_letter(new, CodeState.MAILED)
    assert store.links.codes(HERE, now=NOW).rows() == [("p-1", "Mailed")]


def test_a_visit_without_a_code_links_nobody(store: Store) -> None:
    visit = visit_of(store, None, ANN, None)
    sent(store)
    store.links.enter(visit, GOOD, now=NOW)
    assert store.links.link(visit, now=NOW) is Answer.EXPIRED
    assert store.links.link("nobody", now=NOW) is Answer.EXPIRED


def test_a_number_that_was_not_entered_proves_nothing(store: Store) -> None:
    visit = visit_of(store, "p-1", ANN, code_for(store, "p-1"))
    assert store.links.enter(visit, GOOD, now=NOW) is Proof.WAITING  # none was sent yet
    assert store.links.link(visit, now=NOW) is Answer.EXPIRED
    assert sent(store) == [ANN]
    assert store.links.link(visit, now=NOW) is Answer.EXPIRED


def test_a_number_is_guessed_at_a_few_times_only(store: Store) -> None:
    visit = visit_of(store, "p-1", ANN, code_for(store, "p-1"))
    sent(store)
    answers = [store.links.enter(visit, WRONG, now=NOW) for _ in range(TRIES)]
    assert answers == [Proof.SENT] * (TRIES - 1) + [Proof.FAILED]
    assert store.links.enter(visit, GOOD, now=NOW) is Proof.FAILED
    assert store.links.ask(visit, ANN, language="English", now=NOW)  # another number, then
    assert sent(store, WRONG) == [ANN]
    assert store.links.enter(visit, WRONG, now=NOW) is Proof.PROVEN


def test_a_number_counts_for_the_account_that_it_was_sent_to(store: Store) -> None:
    visit = visit_of(store, "p-1", ANN, code_for(store, "p-1"))
    (asked,) = store.links.asked(**PLATFORM, now=NOW)
    store.links.ask(visit, BO, language="English", now=NOW)
    store.links.answered(asked, GOOD, epoch=1)  # that one had gone to the first
    assert store.links.enter(visit, GOOD, now=NOW) is Proof.WAITING
    assert sent(store, WRONG) == [BO]
    assert sent(store) == []


def test_a_number_that_cannot_be_sent_is_told(store: Store) -> None:
    visit = visit_of(store, "p-1", ANN, code_for(store, "p-1"))
    sent(store, None)
    assert store.links.asked(**PLATFORM, now=NOW) == []
    found = store.links.visit(visit, now=NOW)
    assert found is not None
    assert found.proof is Proof.FAILED


def test_a_visit_ends(store: Store) -> None:
    visit = proven(store, "p-1", ANN)
    assert store.links.visit(visit, now=LATER) is None
    assert store.links.link(visit, now=LATER) is Answer.EXPIRED
    assert not store.links.ask(visit, ANN, language="English", now=LATER)
    assert store.links.enter(visit, GOOD, now=LATER) is None
    store.links.end(visit)
    assert store.links.visit(visit, now=NOW) is None


# -- accounts that are made on the way


def letting(store: Store, state: TokenState = TokenState.READY) -> list[tuple[str, TokenState]]:
    """Do what is due about tokens; the visits, and what it was."""
    due = store.links.tokens(**PLATFORM, now=NOW)
    for one in due:
        if one.state is TokenState.OVER:
            store.links.taken_back(one, epoch=1)
        else:
            store.links.made(replace(one, state=state, token="t"), epoch=1)
    return [(one.visit, one.state) for one in due]


def test_a_visitor_with_a_code_is_let_make_an_account_once(store: Store) -> None:
    visit = visit_of(store, "p-1", ANN, code_for(store, "p-1"))
    assert store.links.token(visit, now=NOW) is None
    assert store.links.want_account(visit, now=NOW)
    assert store.links.want_account(visit, now=NOW)
    assert letting(store) == [(visit, TokenState.WAITING)]
    found = store.links.token(visit, now=NOW)
    assert found is not None
    assert (found.state, found.token, found.expires_at) == (TokenState.READY, "t", LATER)
    assert store.links.want_account(visit, now=NOW)
    assert letting(store) == []


def test_a_letter_lets_make_three_accounts_whatever_the_visits(store: Store) -> None:
    code = code_for(store, "p-1")
    wants = [store.links.want_account(visit_of(store, "p-1", ANN, code, name=f"v{n}"), now=NOW) for n in range(5)]
    assert wants == [True] * 3 + [False] * 2
    newer = code_for(store, "p-1")
    assert store.links.want_account(visit_of(store, "p-1", ANN, newer, name="w"), now=NOW)
    assert not store.links.want_account(visit_of(store, None, ANN, None, name="x"), now=NOW)


def test_what_is_not_needed_any_more_is_taken_back(store: Store) -> None:
    linked, ended = proven(store, "p-1", ANN), visit_of(store, "p-2", BO, code_for(store, "p-2"), name="w")
    for visit in (linked, ended):
        assert store.links.want_account(visit, now=NOW)
    letting(store)
    assert store.links.link(linked, now=NOW) is Answer.LINKED
    store.links.end(ended)
    assert [store.links.token(visit, now=NOW) for visit in (linked, ended)] == [None, None]
    assert letting(store) == [(linked, TokenState.OVER), (ended, TokenState.OVER)]
    assert letting(store) == []
    assert not store.links.want_account(linked, now=NOW)  # its code is used up


def test_a_token_ends_with_the_visit_and_one_that_comes_too_late_is_none(store: Store) -> None:
    visit = visit_of(store, "p-1", ANN, code_for(store, "p-1"))
    store.links.want_account(visit, now=NOW)
    (due,) = store.links.tokens(**PLATFORM, now=NOW)
    assert store.links.token(visit, now=LATER) is None
    assert [one.state for one in store.links.tokens(**PLATFORM, now=LATER)] == [TokenState.OVER]
    store.links.end(visit)
    assert not store.links.made(replace(due, state=TokenState.READY, token="t"), epoch=1)
    with pytest.raises(LostLeadershipError):
        store.links.taken_back(due, epoch=0)


def test_a_wish_that_failed_may_be_repeated(store: Store) -> None:
    visit = visit_of(store, "p-1", ANN, code_for(store, "p-1"))
    store.links.want_account(visit, now=NOW)
    letting(store, TokenState.FAILED)
    found = store.links.token(visit, now=NOW)
    assert found is not None
    assert found.state is TokenState.FAILED
    assert store.links.want_account(visit, now=NOW)
    assert letting(store) == [(visit, TokenState.WAITING)]


def test_whoever_else_says_whose_an_account_is_is_overruled_by_its_owner(store: Store) -> None:
    assert store.links.named(HERE, ANN) is None
    note(store, ("p-1", ANN), ("p-2", BO))
    assert store.links.named(HERE, ANN) == NOW
    assert store.links.named(THERE, ANN) is None
    assert store.links.link(proven(store, "p-1", ANN), now=LATER - timedelta(minutes=1)) is Answer.LINKED
    assert (store.links.named(HERE, ANN), store.links.named(HERE, BO)) == (None, NOW)
    assert store.links.take_news(**PLATFORM, epoch=1) == ["d"]
    assert not note(store, ("p-1", ANN), ("p-2", BO))
    assert store.links.named(HERE, ANN) is None


def test_places_are_those_of_the_last_run_of_each_platform(store: Store) -> None:
    def tell(platform: str, *districts: str, epoch: int = 1) -> None:
        rows = [("n", platform, district, "s", district.upper(), None) for district in districts]
        store.links.tell(pl.DataFrame(rows, PLACES_SCHEMA, orient="row"), namespace="n", platform=platform, epoch=epoch)

    tell("matrix", "e", "d")
    tell("other", "d")
    tell("matrix", "d", "e", epoch=0)  # nothing new
    assert store.links.places().select("platform", "district").rows() == [
        ("matrix", "d"), ("matrix", "e"), ("other", "d")
    ]  # fmt: skip
    tell("matrix")
    assert store.links.places().select("platform", "district").rows() == [("other", "d")]


def test_who_is_forgotten_has_no_link_code_or_visit(store: Store, url: str) -> None:
    for person in ("gone", "stays"):
        store.links.link(proven(store, person, f"@{person}:s", name=f"v {person}"), now=NOW)
        code_for(store, person)
    nothing: tuple[str, ...] = ()
    place = {"namespace": "n", "district": "d", "reason": "asked"}
    store.forget("gone", **place, digest=None, snapshots=nothing, managed=nothing, abandoned=nothing, at=NOW)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        texts = [str(connection.execute(sa.select(table)).all()) for table in metadata.tables.values()]
    engine.dispose()
    assert "gone" not in "".join(texts)
    assert store.links.linked(HERE).rows() == [("stays", "@stays:s")]
    assert store.links.codes(HERE, now=NOW)["person"].to_list() == ["stays"]


def test_news_are_found_without_reading_all_links(tmp_path: Path) -> None:
    """The operator asks every two seconds, and a district has a million links. PostgreSQL plans by what is there."""
    store, seen = Store.open(f"sqlite:///{tmp_path}/homeroom.db", tmp_path), list[str]()
    engine = store.links._engine
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: seen.append(statement))
    store.links.take_news(**PLATFORM, epoch=1)
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {seen[0]}", ("n", "matrix", 1, 0)).all()
    store.close()
    assert "USING INDEX ix_link_news" in str(plan)


# -- all together

PEOPLE, ACCOUNTS = ("p-1", "p-2", "p-3"), (ANN, BO)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("note"), st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(ACCOUNTS)), max_size=4)),
        st.tuples(st.just("link"), st.tuples(st.sampled_from(PEOPLE), st.sampled_from(ACCOUNTS))),
        st.tuples(st.just("unlink"), st.sampled_from(PEOPLE)),
    ),
    max_size=12,
)


@examples(15, one_fixture=True)
@given(steps=STEPS)
def test_whatever_happens_an_account_is_one_persons_and_changes_hands_by_unlinking_only(
    steps: list[tuple[str, Any]], store: Store
) -> None:
    with unled(store.links._engine) as connection:  # an empty table for each example
        connection.execute(sa.delete(metadata.tables["link"]))
    holder: dict[str, str] = {}
    for step, what in steps:
        if step == "note":
            note(store, *what)
            assert not note(store, *what, epoch=0)
        elif step == "link":
            store.links.link(proven(store, *what, name=uuid.uuid4().hex), now=NOW)
        else:
            store.links.unlink(HERE, what, now=NOW)
        now = {account: person for person, account in store.links.linked(HERE).iter_rows()}
        assert len(now) == store.links.linked(HERE).height
        for account, person in holder.items():
            assert now.get(account, person) == person, (step, what)
            if now.get(account) != person:
                assert step == "unlink" or (step == "link" and what[0] == person)
        holder = now


@pytest.mark.parametrize(
    ("typed", "account"),
    [
        ("@ann:school.example", "@ann:school.example"),
        (" Ann ", "@ann:school.example"),
        ("@ann", "@ann:school.example"),
        ("ann:School.example", "@ann:school.example"),
        ("@ann:elsewhere.example", None),
        ("@ann:school.example.evil.example", None),
        ("@ann:school.example\r\nX: y", None),
        ("@ann bo:school.example", None),
        ("@" + "a" * 300, None),
        ("", None),
        ("@", None),
    ],
)
def test_an_account_is_one_of_this_server_or_none(typed: str, account: str | None) -> None:
    assert account_in(typed, server="school.example") == account
