"""Links to extra chats and who came by them, in the store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from homeroom.chats.linking import JoinState, Place
from homeroom.store import JoinLink, LostLeadershipError, Store

NOW = datetime(2026, 10, 1, tzinfo=UTC)
HERE, THERE = Place("n", "matrix", "d"), Place("n", "matrix", "e")


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(url, tmp_path)
    yield opened
    opened.close()


def opened(store: Store, chat: str = "chess", *, place: Place = HERE, edition: int = 1) -> JoinLink:
    return store.joins.open(place, chat, title=f"The {chat} club", edition=edition, epoch=1)


def states(store: Store, chat: str = "chess", place: Place = HERE) -> dict[str, str]:
    return dict(store.joins.joins(place, chat).iter_rows())


def test_a_link_stays_as_long_as_its_edition(store: Store) -> None:
    first = opened(store)
    assert opened(store) == first
    assert store.joins.by_word(first.word) == store.joins.link(namespace="n", chat="chess") == first
    renamed = store.joins.open(HERE, "chess", title="Checkers", edition=1, epoch=1)
    assert (renamed.word, renamed.title) == (first.word, "Checkers")
    second = opened(store, edition=2)
    assert second.word != first.word
    assert store.joins.by_word(first.word) is None
    assert opened(store, "go").word not in {first.word, second.word}
    store.joins.close(namespace="n", chat="chess", epoch=1)
    store.joins.close(namespace="n", chat="chess", epoch=1)
    assert store.joins.link(namespace="n", chat="chess") is None
    assert store.joins.by_word(second.word) is None
    assert opened(store, edition=2).word != second.word


def test_a_chat_that_is_made_anew_in_another_district_has_one_link_and_nobody_of_the_old_one(store: Store) -> None:
    old = opened(store)
    store.joins.ask(old, "u-1", now=NOW)
    new = opened(store, place=THERE)
    assert store.joins.link(namespace="n", chat="chess") == new
    assert store.joins.by_word(old.word) is None
    assert states(store, place=THERE) == {}
    assert states(store) == {"u-1": JoinState.ASKED}


def test_who_comes_and_goes_is_told_once(store: Store) -> None:
    link, other = opened(store), opened(store, "go")
    place = {"namespace": "n", "platform": "matrix"}
    assert store.joins.take_news(**place, epoch=1) == []
    assert store.joins.ask(link, "u-1", now=NOW)
    assert store.joins.ask(link, "u-1", now=NOW)
    assert store.joins.ask(other, "u-1", now=NOW)
    assert store.joins.take_news(namespace="n", platform="other", epoch=1) == []
    assert store.joins.take_news(**place, epoch=1) == ["chess", "go"]
    assert store.joins.take_news(**place, epoch=1) == []
    assert store.joins.leave(link, "u-1", now=NOW)
    assert not store.joins.leave(link, "u-1", now=NOW)
    assert not store.joins.leave(link, "u-2", now=NOW)
    assert store.joins.take_news(**place, epoch=1) == ["chess"]
    assert (store.joins.state(link, "u-1"), store.joins.state(link, "u-2")) == (JoinState.LEFT, None)
    assert store.joins.ask(link, "u-1", now=NOW)
    assert states(store) == {"u-1": JoinState.ASKED}


def test_a_dead_link_lets_nobody_in(store: Store) -> None:
    old = opened(store)
    opened(store, edition=2)
    assert not store.joins.ask(old, "u-1", now=NOW)
    assert states(store) == {}


def test_what_a_run_found_does_not_overrule_a_press_meanwhile(store: Store) -> None:
    link = opened(store)
    for person in ("u-1", "u-2", "u-3"):
        store.joins.ask(link, person, now=NOW)
    store.joins.leave(link, "u-2", now=NOW)
    found = {
        "u-1": (JoinState.ASKED, JoinState.IN),
        "u-2": (JoinState.ASKED, JoinState.IN),
        "u-3": (JoinState.ASKED, JoinState.REFUSED),
    }
    store.joins.settle(HERE, "chess", found, epoch=1)
    assert states(store) == {"u-1": JoinState.IN, "u-2": JoinState.LEFT, "u-3": JoinState.REFUSED}
    assert store.joins.ask(link, "u-1", now=NOW)
    assert store.joins.ask(link, "u-3", now=NOW)
    assert states(store) == {"u-1": JoinState.IN, "u-2": JoinState.LEFT, "u-3": JoinState.ASKED}


def test_only_who_leads_makes_links(store: Store) -> None:
    store.joins.open(HERE, "go", title="Go", edition=1, epoch=2)
    with pytest.raises(LostLeadershipError):
        opened(store)
    assert store.joins.link(namespace="n", chat="chess") is None


def test_what_is_held_of_one_person(store: Store) -> None:
    store.joins.ask(opened(store), "u-1", now=NOW)
    store.joins.ask(opened(store, "go"), "u-2", now=NOW)
    (row,) = store.joins.joins_of("u-1", namespace="n", district="d")
    assert (row["platform"], row["chat"], row["state"]) == ("matrix", "chess", "Asked")
    assert store.joins.joins_of("u-1", namespace="n", district="e") == []
