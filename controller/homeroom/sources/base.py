"""What a source is, whatever its kind: the protocol, its values, and the errors of a refused export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from homeroom.errors import IncompleteReadError, TerminalError
from homeroom.hop import Hop
from homeroom.roster.findings import RULES, Findings, Rule, Severity
from homeroom.roster.tables import Roster
from homeroom.sources.remembered import NO_LINES, Lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Where an export lies, and what is needed to know next time whether it changed.

    `path`: a folder or a zip archive on local disk; it may be absent when `unchanged`. `validator`: opaque, for the
    next `fetch` (None: it cannot be told cheaply). `unchanged`: the same bytes as at the previous validator, or an
    export that says of itself that nothing changed.
    """

    path: Path
    validator: str | None
    unchanged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One complete, validated reading. Immutable.

    `digest`: sha256 over the canonical content of `roster`: the same records give the same digest, whatever the order
    of rows in the files. `counts`: those of `Roster.counts`, and `quarantined`, the records set aside. `credentials`:
    user (source id) and password of people with a non-student role; apart from the roster and from the digest. `lines`:
    what a next reading need not take apart again.
    """

    digest: str
    roster: Roster
    findings: Findings
    counts: dict[str, int]
    credentials: pl.DataFrame
    lines: Lines = NO_LINES


CREDENTIALS = pl.Schema({"user": pl.String, "password": pl.String})
"""Columns of `Snapshot.credentials`."""


class Source(Protocol):
    """Where school records come from."""

    async def fetch(self, *, previous: str | None, into: Path) -> Fetched:
        """Get the export; `previous` is the validator of last time. Raises HomeroomError."""

    def read(self, path: Path, *, previous: Roster | None, lines: Lines = NO_LINES) -> Snapshot:
        """Read and validate; invalid records count as in `previous`, which `lines` made. Blocking: call it in a thread.

        Raises ExportInvalidError or ExportIncompleteError: then nothing changes, and the findings say why.
        """

    async def check(self) -> Sequence[Hop]:
        """Try each hop to the source, and stop at the first that fails."""


class ExportInvalidError(TerminalError):
    """The export is refused as a whole, and so will the next one be, until somebody changes something at the source."""

    def __init__(self, findings: Findings) -> None:
        rule, words = _worst(findings)
        super().__init__(words, reason=rule.reason)
        self.findings = findings


class ExportIncompleteError(IncompleteReadError):
    """The export is refused because it did not prove complete; the next one may."""

    def __init__(self, findings: Findings) -> None:
        rule, words = _worst(findings)
        super().__init__(words, reason=rule.reason)
        self.findings = findings


def refusal(findings: Findings) -> ExportInvalidError | ExportIncompleteError:
    """The error for an export with at least one Run finding."""
    rule, _ = _worst(findings)
    return ExportIncompleteError(findings) if rule.reason == "SourceIncomplete" else ExportInvalidError(findings)


def _worst(findings: Findings) -> tuple[Rule, str]:
    refusing = findings.of_severity(Severity.RUN)
    others = "" if refusing.frame.height == 1 else f"; and {refusing.frame.height - 1} more"
    return RULES[refusing.frame["rule"][0]], next(refusing.sentences(1)) + others
