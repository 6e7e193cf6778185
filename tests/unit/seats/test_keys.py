"""A licence key is read in whatever shape people type it, and a slip is noticed and told in words."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.seats import keys
from homeroom.seats.keys import ALPHABET, LENGTH, Fault, MistypedKeyError, normalised

KEYS = st.lists(st.integers(0, len(ALPHABET) - 1), min_size=LENGTH - 1, max_size=LENGTH - 1).map(
    lambda numbers: keys.new_key(lambda _: numbers.pop())
)


def fault(text: str) -> Fault | None:
    try:
        normalised(text)
    except MistypedKeyError as error:
        return error.fault
    return None


def test_a_key_has_four_groups_of_four_and_nothing_that_is_read_wrong() -> None:
    key = keys.new_key(random.Random(7).randrange)
    groups = keys.shown(key).split("-")
    assert [len(group) for group in groups] == [4, 4, 4, 4]
    assert not set(key) & set("AEIOU015LNSZ")


def test_the_check_symbol_is_that_of_the_hybrid_system_of_iso_7064() -> None:
    """Worked by hand from the standard's recursion, for a body of B and 2 (values 0 and 17)."""
    product = 24
    for value in (0,) * 14 + (17,):
        product = ((product + value) % 24 or 24) * 2 % 25
    check = ALPHABET[(25 - product) % 24]
    assert normalised("B" * 14 + "2" + check)
    assert (product + ALPHABET.index(check)) % 24 == 1  # what the standard demands of the whole string


@given(KEYS, st.data())
def test_a_key_is_read_in_any_shape_that_people_give_it(key: str, data: st.DataObject) -> None:
    between = st.text(" -\t\n\u00a0\u2011\u2013\u00ad", max_size=3)
    typed = "".join(data.draw(between) + data.draw(st.sampled_from([symbol, symbol.lower()])) for symbol in key)
    assert normalised(typed) == key == normalised(keys.shown(key))


@given(KEYS, st.integers(0, LENGTH - 1), st.sampled_from(ALPHABET))
def test_one_wrong_symbol_is_always_noticed(key: str, place: int, symbol: str) -> None:
    typed = key[:place] + symbol + key[place + 1 :]
    assert fault(typed) is (None if typed == key else Fault.CHECK)


def test_hardly_any_two_neighbours_change_places_unnoticed() -> None:
    chance = random.Random(1)
    swapped = missed = 0
    for _ in range(500):
        key = keys.new_key(chance.randrange)
        for at in range(LENGTH - 1):
            typed = key[:at] + key[at + 1] + key[at] + key[at + 2 :]
            if typed != key:
                swapped += 1
                missed += fault(typed) is None
    assert missed < swapped / 100


@given(KEYS, st.sampled_from("AEIOU015LNSZÄßИ.\x00"), st.integers(0, LENGTH - 1))
def test_a_letter_that_no_key_has_is_told_apart_from_a_slip(key: str, letter: str, place: int) -> None:
    assert fault(key[:place] + letter + key[place + 1 :]) in {Fault.LETTER, Fault.LENGTH}  # "ß" is two in capitals
    if letter != "ß":
        assert fault(key[:place] + letter + key[place + 1 :]) is Fault.LETTER


@given(KEYS, st.integers(0, LENGTH - 1))
def test_too_long_and_too_short_are_told_first(key: str, length: int) -> None:
    assert fault(key[:length]) is fault(key + "A") is Fault.LENGTH


@given(st.text())
def test_whatever_is_typed_gets_a_key_or_words_that_do_not_repeat_it(text: str) -> None:
    try:
        assert set(normalised(text)) <= set(ALPHABET)
    except MistypedKeyError as error:
        assert len(text) < 8 or text not in error.message  # noqa: PT017 - either is right, one of both must be


@given(KEYS)
def test_the_digest_is_of_the_key_however_it_was_typed(key: str) -> None:
    assert keys.digest(normalised(keys.shown(key).lower())) == keys.digest(key)
    assert len(keys.digest(key)) == 64
    assert key not in keys.digest(key)


def test_two_keys_have_nothing_to_do_with_each_other() -> None:
    chance = random.Random(3)
    made = {keys.new_key(chance.randrange) for _ in range(1000)}
    assert len(made) == 1000


@pytest.mark.parametrize("word", list(Fault))
def test_every_fault_has_words(word: Fault) -> None:
    assert MistypedKeyError(word).message
