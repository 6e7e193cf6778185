"""Many rows are worked on by threads and in pieces, few of them at once: what comes of it is the same."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from tests.unit.examples import examples
from tests.unit.roster.rosters import TODAY, Record, records, roster_of, rule_sets

from homeroom.api.district import HomeroomDefinition
from homeroom.demo.stage import RECORDS
from homeroom.roster import accept, diff, digest, shared
from homeroom.roster import beside as module
from homeroom.roster.beside import FEW, beside, engine
from homeroom.roster.digest import digest as digest_of
from homeroom.roster.shared import Rule, share
from homeroom.sources import oneroster, rows
from homeroom.sources.oneroster import read_export
from homeroom.sources.package import Limits


def _refused() -> None:
    raise ValueError("no")


@pytest.mark.parametrize("few", [True, False])
def test_what_is_asked_of_somebody_beside_is_there_or_its_error(*, few: bool) -> None:
    with beside(1, few=few) as other:
        assert isinstance(other, ThreadPoolExecutor) is not few
        assert other.submit(divmod, 7, 2).result() == (3, 1)
        assert list(other.map(len, ("a", "bc"))) == [1, 2]
        lost = other.submit(_refused)
    with pytest.raises(ValueError, match="no"):
        lost.result()


def test_only_many_rows_are_streamed() -> None:
    assert (engine(FEW - 1), engine(FEW)) == ("in-memory", "streaming")


@examples(15)
@given(found=records(), chosen=rule_sets())
def test_what_is_shared_is_the_same(found: Sequence[Record], chosen: Sequence[Rule]) -> None:
    roster, homeroom = roster_of(*found), HomeroomDefinition()
    few = share(roster, chosen, homeroom=homeroom, today=TODAY)
    with pytest.MonkeyPatch.context() as patch:
        for place in (module, shared, digest):
            patch.setattr(place, "FEW", 0)
        many = share(roster, chosen, homeroom=homeroom, today=TODAY)
    assert many.digest == few.digest
    assert many.memberships.equals(few.memberships)
    assert many.people.equals(few.people)


def test_what_is_read_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    few = read_export(RECORDS, previous=None, limits=Limits(), scratch=None)
    for place, limit in (
        (module, "FEW"),
        (accept, "FEW"),
        (digest, "FEW"),
        (diff, "FEW"),
        (rows, "FEW"),
        (oneroster, "_SMALL"),
        (oneroster, "_SHORT"),
    ):
        monkeypatch.setattr(place, limit, 0)
    many = read_export(RECORDS, previous=None, limits=Limits(), scratch=None)
    assert many.digest == few.digest == digest_of(many.roster.tables())
    again = read_export(RECORDS, previous=many.roster, lines=many.lines, limits=Limits(), scratch=None)
    assert again.digest == few.digest
    assert again.findings.frame.equals(few.findings.frame)
