"""The Kolibri driver against a real Kolibri: from nothing to a roster, and through a school year."""

from __future__ import annotations

import pytest

from homeroom.plan import Result

from .kolibri_fixtures import Place, desired

pytestmark = pytest.mark.integration


async def test_a_school_is_built_and_stays_as_it_is(place: Place) -> None:
    wanted = desired(
        school=place.id,
        name="Lakeside Primary",
        people={"p-1": "Юлия Щукина", "p-2": "Seán O'Neill", "t-1": "Åsa Öberg", "a-1": "Ada Head"},
        classes={"c-1": "7 A", "c-2": "7 B"},
        learners={"c-1": ["p-1", "p-2"], "c-2": ["p-2"]},
        coaches={"c-1": ["t-1"], "c-2": ["t-1"]},
        administrators=["a-1"],
    )
    outcomes = await place.sync(wanted)
    assert {outcome.result for outcome in outcomes} == {Result.APPLIED}
    view = await place.read(wanted)
    assert view.people == {
        "p-1": ("Юлия Щукина", "yuliya_shchukina", False),
        "p-2": ("Seán O'Neill", "sean_oneill", False),
        "t-1": ("Åsa Öberg", "asa_oberg", False),
        "a-1": ("Ada Head", "ada_head", False),
    }
    assert view.classes == {"c-1": ("7 A", False), "c-2": ("7 B", False)}
    assert view.members.keys() == {
        ("c-1", "p-1", "Learner"),
        ("c-1", "p-2", "Learner"),
        ("c-2", "p-2", "Learner"),
        ("c-1", "t-1", "Coach"),
        ("c-2", "t-1", "Coach"),
    }
    assert view.administrators == {"a-1"}
    before = place.server.tables()
    assert await place.sync(wanted) == []
    assert place.server.tables() == before
