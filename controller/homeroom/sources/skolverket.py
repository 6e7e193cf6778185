r"""Skolverket's register of school units: asked once a day, kept as a file, served as it was while it does not answer.

::

    yesterday's file --due?--> list --> units that licences name and it lacks, one by one --> file --> UnitList
                          \-- no answer, or none to be believed: yesterday's, and the trouble in words --/

What the register's description leaves open is made sure of here:

- All four statuses are asked for: without that, a list lacks planned and closed units.
- Version 2 does not tell the municipality of a unit, and is said not to filter by it: some units of its list are looked
  at one by one. Where they are elsewhere, version 1 is asked, which tells it. It also takes over where 2 is gone.
- A unit that a licence names and the list lacks is asked for by itself: it may be closed.

Neighbours: `skolverket_answers` (what it answers), `download` (the way there, and what must not be read),
`homeroom.seats.units` (the table).
"""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeGuard

import polars as pl
from polars.exceptions import PolarsError
from yarl import URL

from homeroom.api import RegisterVersion, UnitStatus
from homeroom.errors import HomeroomError, IncompleteReadError, InvalidSpecError, RefusedError, TerminalError
from homeroom.hop import Hop
from homeroom.seats.units import UNIT_SCHEMA, UnitList
from homeroom.sources.download import Addresses, Download, NothingThereError, SessionFactory, new_session
from homeroom.sources.skolverket_answers import UNIT_CODE, Listed, UnitDetail, read_list, read_unit, removed

REGISTER: Final = "https://api.skolverket.se/skolenhetsregistret"
"""The register's own address; a mirror may stand for it."""
_STATUSES: Final = ("AKTIV", "VILANDE", "UPPHORT", "PLANERAD")
_DAY: Final = timedelta(days=1)
"""The register's own edits show the next day, so asking more often tells nothing."""
_HOUR: Final = timedelta(hours=1)
"""Until a register that gave no answer is asked again."""
_WEEK: Final = timedelta(days=7)
"""The list of the whole country is read in full as often, and what was modified in between: else 6,000 units a day."""
_OVERLAP: Final = timedelta(days=2)
"""By which what was modified reaches back behind the last extract."""
_AT_ONCE: Final = 4
"""Units that are asked for one by one at the same time."""
_MOST: Final = 100
"""Units that are asked for one by one in one reading; the others wait for the next one."""
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST: Final = 8 << 20
"""Bytes of an answer; the whole register has about a million, and a tenant's mirror may answer what it likes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kept:
    """What is known of the register.

    `units`: columns of `UNIT_SCHEMA` and `listed`: false for those that were asked for by themselves, whose status is
    null when the register does not know them. `read_at`: when it last answered; `tried_at`: when it was last asked;
    `full_at`: when the whole list was last read. `validator`: of the answer at `url`.
    """

    units: pl.DataFrame
    extracted: date | None
    read_at: datetime
    tried_at: datetime
    full_at: datetime
    url: str
    validator: str | None
    trouble: str | None = None

    @property
    def as_of(self) -> date:
        """The day of the register that it shows."""
        return self.extracted or self.read_at.date()

    def listing(self) -> UnitList:
        """What others see of it."""
        units = self.units.filter(pl.col("status").is_not_null()).select(*UNIT_SCHEMA).sort("code")
        return UnitList(units=units, as_of=self.as_of, trouble=self.trouble)


_NAME: Final = "the register of school units"
_ABOUT: Final = "homeroom"  # what the file says of itself, under this name
_KEPT_SCHEMA: Final = pl.Schema({**UNIT_SCHEMA, "listed": pl.Boolean()})
"""Columns of `_Kept.units`."""


class _NotNarrowedError(TerminalError):
    """The list has units of other municipalities, and does not tell which."""

    def __init__(self) -> None:
        super().__init__(
            "its version 2 lists units of other municipalities, too, and does not tell which; leave the municipality"
            " out, or ask version 1",
            reason="SourceInvalid",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Skolverket:
    """The register, or one municipality's part of it.

    `directory`: where its answers are kept; of one tenant, whose proxy or mirror may answer what it likes.
    `municipality`: four digits; None: all of the country. `version`: None: 2, and 1 where that is gone. `url`, `proxy`,
    `tls`, `addresses`: the way there, as for every source.
    """

    directory: Path
    municipality: str | None = None
    version: RegisterVersion | None = None
    url: str = REGISTER
    proxy: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)
    session_factory: SessionFactory = new_session
    addresses: Addresses = field(default_factory=Addresses)

    async def read(self, *, now: datetime, wanted: Collection[str] = (), fresh: bool = False) -> UnitList:
        """All units that it lists, and those `wanted` (codes) that it knows besides.

        It is asked once a day, or when `fresh` (then also whatever was known before is not trusted). Raises
        HomeroomError when it gives no answer and never gave one, or when it must not be read at all.
        """
        before = await asyncio.to_thread(self._load)
        kept = before
        if before is None or fresh or _is_due(before, now):
            try:
                with _named():
                    kept = await self._list(None if fresh else before, now=now)
            except HomeroomError as error:
                if before is None or isinstance(error, InvalidSpecError | RefusedError):
                    raise
                kept = replace(before, tried_at=now, trouble=error.message)
        assert kept is not None
        if kept.trouble is None:
            kept = await self._with_wanted(kept, wanted, before=before, now=now)
        if kept is not before:
            await asyncio.to_thread(self._save, kept)
        return kept.listing()

    async def kept(self) -> UnitList | None:
        """What it said last, without asking it anything; None: it was never asked."""
        kept = await asyncio.to_thread(self._load)
        return kept.listing() if kept is not None else None

    async def check(self) -> Sequence[Hop]:
        """Ask it for its list, and keep nothing of that."""
        try:
            with _named():
                kept = await self._list(None, now=_NEVER)
        except HomeroomError as error:
            return [Hop(name="register", ok=False, words=error.message)]
        where = f" of municipality {self.municipality}" if self.municipality is not None else ""
        words = f"school units that it lists{where}: {kept.units.height:,}"
        return [Hop(name="register", ok=True, words=words)]

    async def unit(self, code: str) -> UnitDetail | None:
        """What it says of one unit now (eight digits), wherever that is; None: it knows none.

        Raises HomeroomError when there is no answer.
        """
        with _named():
            return await self._unit(code)

    async def _unit(self, code: str) -> UnitDetail | None:
        missing: NothingThereError | None = None
        for version in self._versions():
            kind = "school-units" if version is RegisterVersion.V2 else "skolenhet"
            try:
                content, _ = await self._get(URL(self.url) / version.lower() / kind / code)
            except NothingThereError as error:
                missing = error  # the unit, or the whole version
                continue
            assert content is not None
            return await asyncio.to_thread(read_unit, content)
        assert missing is not None
        return removed(code) if missing.gone else None

    # -- the list -----------------------------------------------------------------------------------------------

    def _versions(self) -> Sequence[RegisterVersion]:
        return (RegisterVersion.V2, RegisterVersion.V1) if self.version is None else (self.version,)

    async def _list(self, before: _Kept | None, *, now: datetime) -> _Kept:
        """The list as it is now, on top of what was known `before`."""
        first: HomeroomError | None = None
        for version in self._versions():
            try:
                return await self._list_of(version, before, now=now)
            except (NothingThereError, _NotNarrowedError) as error:
                first = first or error
        assert first is not None
        raise first

    async def _list_of(self, version: RegisterVersion, before: _Kept | None, *, now: datetime) -> _Kept:
        url = self._address(version)
        known = before if before is not None and before.url == str(url) else None
        if (
            known is not None
            and self.municipality is None
            and version is RegisterVersion.V2
            and now - known.full_at < _WEEK
        ):
            since = (known.as_of - _OVERLAP).isoformat()
            content, _ = await self._get(url.update_query(meta_modified_after=since))
            assert content is not None
            modified = await asyncio.to_thread(read_list, content)
            units = _over(known.units.filter("listed"), modified)
            return replace(_answered(known, now), units=units, extracted=modified.extracted or known.extracted)
        content, validator = await self._get(url, previous=known.validator if known is not None else None)
        if content is None:
            assert known is not None
            return replace(_answered(known, now), units=known.units.filter("listed"), full_at=now)
        listed = await asyncio.to_thread(read_list, content)
        units = await self._of_municipality(listed.units)
        earlier = (before.units if before is not None else _KEPT_SCHEMA.to_frame()).filter("listed")
        self._judge(units, earlier)
        unclear = earlier.filter(pl.col("code").is_in(listed.unclear))
        return _Kept(
            units=_over(unclear, replace(listed, units=units)),
            extracted=listed.extracted,
            read_at=now,
            tried_at=now,
            full_at=now,
            url=str(url),
            validator=validator,
        )

    def _address(self, version: RegisterVersion) -> URL:
        if version is RegisterVersion.V1:
            return URL(self.url) / "v1" / "skolenhet"
        query = [("status", status) for status in _STATUSES]
        if self.municipality is not None:
            query.append(("municipality_code", self.municipality))
        return (URL(self.url) / "v2" / "school-units").with_query(query)

    async def _of_municipality(self, units: pl.DataFrame) -> pl.DataFrame:
        """Those of the municipality that was asked for, whether the register filtered them or not."""
        if self.municipality is None or units.is_empty():
            return units
        told = units["municipality"].null_count() < units.height
        if told:
            return units.filter(pl.col("municipality") == self.municipality)
        # No municipality has more than a tenth of all units, so most of a sample is in it only if all are.
        codes = units["code"].to_list()
        sample = await self._units(codes[:: -(-len(codes) // _AT_ONCE)])
        for answer in filter(_is_away, sample):
            raise answer
        there = sum(
            isinstance(answer, UnitDetail) and answer.unit.municipality == self.municipality for answer in sample
        )
        if 2 * there <= len(sample):
            raise _NotNarrowedError
        return units.with_columns(municipality=pl.lit(self.municipality))

    def _judge(self, units: pl.DataFrame, before: pl.DataFrame) -> None:
        """A list that lacks what it cannot lack proves nothing about what else it lacks."""
        if units.is_empty():
            where = "" if self.municipality is None else f" of municipality {self.municipality}; check that code"
            raise IncompleteReadError(f"it lists no school unit{where}", reason="SourceIncomplete")
        if 2 * units.height < before.height:
            raise IncompleteReadError(
                f"it lists {units.height} units, and {before.height} before: fewer than half; if that is right, ask it"
                " anew with the annotation homeroom.dev/full-reconcile-at",
                reason="SourceIncomplete",
            )

    # -- one by one ---------------------------------------------------------------------------------------------

    async def _with_wanted(self, kept: _Kept, wanted: Collection[str], *, before: _Kept | None, now: datetime) -> _Kept:
        """With what the register says of units that licences name and its list lacks."""
        known = set(kept.units["code"])
        asked = sorted(code for code in wanted if UNIT_CODE.fullmatch(code) and code not in known)[:_MOST]
        if not asked:
            return kept
        once: dict[str, dict[str, object]] = {}
        if before is not None:
            earlier = before.units.filter(pl.col("status").is_not_null(), pl.col("code").is_in(asked))
            once = {row["code"]: row for row in earlier.to_dicts()}
        answers = dict(zip(asked, await self._units(asked), strict=True))
        rows = [{**self._row(code, answer, once.get(code)), "listed": False} for code, answer in answers.items()]
        kept = replace(kept, units=pl.concat([kept.units, pl.DataFrame(rows, _KEPT_SCHEMA)]))
        troubles = [error.message for error in filter(_is_away, answers.values())]
        return replace(kept, tried_at=now, trouble=min(troubles)) if troubles else kept

    async def _units(self, codes: Sequence[str]) -> list[UnitDetail | HomeroomError | None]:
        """What `unit` says of each, or its error; of a register that is away nobody waits for a hundred answers."""
        turn = asyncio.Semaphore(_AT_ONCE)
        away: list[HomeroomError] = []

        async def ask(code: str) -> UnitDetail | HomeroomError | None:
            async with turn:
                if away:
                    return away[0]
                try:
                    return await self.unit(code)
                except HomeroomError as error:
                    if _is_away(error):
                        away.append(error)
                    return error

        return await asyncio.gather(*map(ask, codes))

    def _row(
        self, code: str, answer: UnitDetail | HomeroomError | None, once: Mapping[str, object] | None
    ) -> Mapping[str, object]:
        """One that was there and is not any more is closed; one that never was, or is elsewhere, is not known."""
        gone = answer is None or answer == removed(code)
        if once is not None and (gone or isinstance(answer, HomeroomError)):
            return {**once, "status": UnitStatus.CLOSED.value} if gone else once
        unit = answer.unit if isinstance(answer, UnitDetail) else None
        if unit is None or not (gone or self.municipality in {None, unit.municipality}):
            return {"code": code, "name": code, "status": None, "municipality": None}
        return {"code": code, "name": unit.name, "status": unit.status.value, "municipality": unit.municipality}

    # -- the way there, and the file ----------------------------------------------------------------------------

    async def _get(self, url: URL, *, previous: str | None = None) -> tuple[bytes | None, str | None]:
        """What is at the address, and its validator; None: the same as at the `previous` one."""
        download = Download(
            url=str(url),
            credentials={},
            proxy=self.proxy,
            tls=self.tls,
            session_factory=self.session_factory,
            addresses=self.addresses,
            largest=_LARGEST,
        )
        scratch = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="homeroom-units-"))
        try:
            fetched = await download.fetch(previous=previous, into=scratch)
            content = None if fetched.unchanged else await asyncio.to_thread(fetched.path.read_bytes)
            return content, fetched.validator
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    @property
    def _file(self) -> Path:
        """Of its own for each thing that can be asked for."""
        what = json.dumps([self.url, self.municipality, self.version])
        return self.directory / f"skolverket-{sha256(what.encode()).hexdigest()[:16]}.parquet"

    def _load(self) -> _Kept | None:
        """None: nothing is kept, or it cannot be used; then the register is asked."""
        try:
            units = pl.read_parquet(self._file)
            about = json.loads(pl.read_parquet_metadata(self._file)[_ABOUT])
            moments = {name: datetime.fromisoformat(about[name]) for name in ("read_at", "tried_at", "full_at")}
            extracted = about["extracted"]
            return _Kept(
                units=units.select(pl.col(name).cast(kind) for name, kind in _KEPT_SCHEMA.items()),
                extracted=date.fromisoformat(extracted) if extracted else None,
                url=about["url"],
                validator=about["validator"],
                trouble=about["trouble"],
                **moments,
            )
        except (OSError, PolarsError, ValueError, KeyError, TypeError):
            return None

    def _save(self, kept: _Kept) -> None:
        """A disk that takes nothing costs a question to the register, not the run."""
        about = {
            "extracted": kept.extracted.isoformat() if kept.extracted else None,
            "read_at": kept.read_at.isoformat(),
            "tried_at": kept.tried_at.isoformat(),
            "full_at": kept.full_at.isoformat(),
            "url": kept.url,
            "validator": kept.validator,
            "trouble": kept.trouble,
        }
        with suppress(OSError, PolarsError):
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=self.directory, prefix=".unfinished-") as scratch:
                unfinished = Path(scratch) / self._file.name
                kept.units.write_parquet(unfinished, metadata={_ABOUT: json.dumps(about)})
                unfinished.replace(self._file)


@contextmanager
def _named() -> Iterator[None]:
    """The way there speaks of a source; which one it was, an error says in front."""
    try:
        yield
    except HomeroomError as error:
        if not error.message.startswith(_NAME):
            error.message = f"{_NAME}: {error.message}"
            error.args = (error.message,)
        raise


def _is_away(answer: UnitDetail | HomeroomError | None) -> TypeGuard[HomeroomError]:
    """There was no answer; one unit that it describes in a way of its own is no reason to distrust the others."""
    return isinstance(answer, HomeroomError) and answer.reason != "SourceInvalid"


def _is_due(kept: _Kept, now: datetime) -> bool:
    """Also when the clock went back."""
    return not timedelta(0) <= now - kept.tried_at < (_DAY if kept.trouble is None else _HOUR)


def _answered(kept: _Kept, now: datetime) -> _Kept:
    return replace(kept, read_at=now, tried_at=now, trouble=None)


def _over(units: pl.DataFrame, listed: Listed) -> pl.DataFrame:
    """The units listed now, and of the others those that are in `units` (columns `_KEPT_SCHEMA`)."""
    new = listed.units.with_columns(listed=pl.lit(value=True))
    return pl.concat([units.join(new, on="code", how="anti"), new])
