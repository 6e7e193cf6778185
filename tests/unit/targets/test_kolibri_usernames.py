# ruff: noqa: RUF001 (letters that look alike are what this is about)
"""User names: always acceptable, always the same, and readable where that is possible."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.targets.kolibri.usernames import MAXIMUM, ascii_of, candidates

texts = st.none() | st.text(max_size=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Anna Svensson", "anna_svensson"),
        ("Seán O'Neill", "sean_oneill"),
        ("O’Neill-D’Arcy", "oneill_darcy"),
        ("Zoë Müller", "zoe_muller"),
        ("Юлия Щукина", "yuliya_shchukina"),
        ("Фёдор Йовович", "fedor_yovovich"),
        ("Їжак Ґалаґан", "yizhak_galagan"),
        ("Łukasz Żółć", "lukasz_zolc"),
        ("Straße", "strasse"),
        ("İbrahim Işık", "ibrahim_isik"),
        ("Nguyễn Văn Đức", "nguyen_van_duc"),
        ("Γιώργος", "giorgos"),
        ("a.b-c+d@e", "a_b_c_d_e"),
        ("ＡＮＮＡ１", "anna1"),
        ("李雷", ""),
        ("...", ""),
    ],
)
def test_letters_are_turned_into_ascii(text: str, expected: str) -> None:
    assert ascii_of(text) == expected


@given(wish=texts, name=texts, key=st.text(min_size=1))
def test_every_candidate_is_acceptable_and_no_two_are_the_same(wish: str | None, name: str | None, key: str) -> None:
    found = list(candidates(wish=wish, name=name, key=key))
    assert len(set(found)) == len(found) >= 3
    assert all(re.fullmatch(r"[a-z0-9_]{1,30}", candidate) for candidate in found)
    assert all(len(candidate) <= MAXIMUM for candidate in found)
    assert found == list(candidates(wish=wish, name=name, key=key))


@given(name=st.text(max_size=60), keys=st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_namesakes_differ_by_their_second_candidate(name: str, keys: list[str]) -> None:
    first, second = (list(candidates(wish=None, name=name, key=key)) for key in keys)
    assert first[0] == second[0]
    assert set(first[1:]).isdisjoint(second[1:])


def test_the_wish_comes_before_the_name_and_loses_its_domain() -> None:
    assert next(candidates(wish="Anna.S@school.example", name="Anna Svensson", key="p-1")) == "anna_s"
    assert next(candidates(wish="@school.example", name="Anna Svensson", key="p-1")) == "anna_svensson"
    assert next(candidates(wish=None, name=None, key="p-1")) == "user"
