"""A stand-in for Skolverket's school-unit register: follows its description, and refuses what that does not allow.

It speaks http, or https, on loopback in threads of its own, so that asynchronous tests and whole commands can ask it.
What the description leaves open, or clients have seen otherwise, is a switch.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

BASE = "/skolenhetsregistret"
STATUSES = {"AKTIV": "Aktiv", "VILANDE": "Vilande", "UPPHORT": "Upphört", "PLANERAD": "Planerad"}
HEADMASTER = "Vesperine Quorvaldsen"
"""A person, whom nothing may keep."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit of the register; `removed`: no longer in it, and version 1 says so."""

    code: str
    name: str
    status: str = "AKTIV"
    municipality: str = "1285"
    modified: str = "2026-01-01"
    removed: bool = False

    def row(self, version: int) -> dict[str, Any]:
        if version == 2:
            return {"schoolUnitCode": self.code, "name": self.name, "status": self.status}
        return {
            "Skolenhetskod": self.code,
            "Skolenhetsnamn": self.name,
            "Kommunkod": self.municipality,
            "PeOrgNr": "2120000951",
            "Status": STATUSES[self.status],
        }

    def detail(self, version: int) -> dict[str, Any]:
        if version == 2:
            attributes = {
                "displayName": self.name,
                "status": self.status,
                "schoolUnitType": "SKOLENHET",
                "municipalityCode": self.municipality,
                "headMaster": HEADMASTER,
                "startdate": "2011-07-01",
                "addresses": [{"type": "BESOKSADRESS", "careOfAddress": HEADMASTER}],
                "schoolTypes": ["FKLASS", "GR"],
                "schoolTypeProperties": {"gr": {"grades": ["1", "2", "3"]}},
            }
            organizer = {
                "type": "organizer",
                "organizationNumber": "212000-0951",
                "attributes": {"displayName": "Lakeside kommun", "organizerType": "KOMMUN"},
            }
            data = {"type": "schoolunit", "schoolUnitCode": self.code, "attributes": attributes}
            return {"data": data, "included": organizer, "meta": {"modified": self.modified}}
        about = {
            "Namn": self.name,
            "Skolenhetskod": self.code,
            "Kommun": {"Kommunkod": self.municipality, "Namn": "Lakeside"},
            "Huvudman": {"PeOrgNr": "162120000951", "Namn": "Lakeside kommun", "Typ": "Kommun"},
            "Status": STATUSES[self.status],
            "Rektor": HEADMASTER,
            "Skolformer": [{"type": "Grundskola", "Benamning": "Grundskola", "Ak1": True, "Ak2": True, "Ak3": False}],
        }
        return {"SkolenhetInfo": about}


@dataclass(kw_only=True)
class Register:
    """What the register holds, how it behaves, and what it was asked.

    `versions`: version -> status of all its answers; 200: it is there. `filters`: it heeds `municipality_code` and
    `meta_modified_after`. `lists_closed`: UPPHORT is listed when it is asked for. `wrong`: this body in the place of
    every list. `broken`: codes whose own answer is a 500; `odd`: whose status is a word that nobody knows.
    """

    url: str = ""
    units: Sequence[Unit] = ()
    extracted: str = "2026-11-21"
    versions: Mapping[int, int] = field(default_factory=lambda: {1: 200, 2: 200})
    filters: bool = True
    lists_closed: bool = True
    etag: str | None = None
    wrong: bytes | None = None
    broken: frozenset[str] = frozenset()
    odd: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def lists(self) -> list[str]:
        """Which lists were asked for."""
        return [path for path in self.asked if re.search(r"/(school-units|skolenhet)(\?|$)", path)]

    @property
    def details(self) -> list[str]:
        """Which units were asked for by themselves."""
        return [path for path in self.asked if path not in self.lists]

    @contextmanager
    def counted(self, path: str) -> Iterator[None]:
        """Remember the question, and how many there are at a time."""
        with self._lock:
            self.asked.append(path.removeprefix(BASE))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body; raises ValueError for what the description does not allow."""
        parts = urlsplit(path)
        query = parse_qs(parts.query, strict_parsing=True, keep_blank_values=True) if parts.query else {}
        found = re.fullmatch(rf"{BASE}/v([12])/(school-units|skolenhet)(?:/([0-9]{{8}}))?", parts.path)
        if not found or (found[1] == "2") != (found[2] == "school-units"):
            raise ValueError("no such address")
        if "Authorization" in headers or "Cookie" in headers:
            raise ValueError("the register knows no log-in")
        version = int(found[1])
        if self.versions[version] != 200:
            return self.versions[version], b"<h1>Not now</h1>"
        if found[3]:
            return self._unit(version, found[3], query)
        if self.wrong is not None:
            return 200, self.wrong
        if self.etag and headers.get("If-None-Match") == self.etag:
            return 304, b""
        return 200, json.dumps(self._list(version, query), ensure_ascii=False).encode()

    def _unit(self, version: int, code: str, query: Mapping[str, Sequence[str]]) -> tuple[int, bytes]:
        if query:
            raise ValueError("a unit takes no such parameter")
        if code in self.broken:
            return 500, b""
        unit = next((unit for unit in self.units if unit.code == code), None)
        if unit is None or (unit.removed and version == 2):
            return 404, b"{}"
        if unit.removed:
            return 410, b"{}"
        body = json.dumps(unit.detail(version)).encode()
        return 200, body.replace(unit.status.encode(), b"SOVANDE") if code in self.odd else body

    def _list(self, version: int, query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        if version == 1 and query:
            raise ValueError("version 1 takes no parameters")
        forms = {
            "status": "|".join(STATUSES),
            "municipality_code": "[0-9]{4}",
            "meta_modified_after": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
        }
        for name, values in query.items():
            if not all(re.fullmatch(forms[name], value) for value in values):
                raise ValueError(f"{name} has another form")
        wanted = set(query.get("status", ["AKTIV", "VILANDE"])) if version == 2 else set(STATUSES)
        wanted -= set() if self.lists_closed else {"UPPHORT"}
        rows = [
            unit.row(version)
            for unit in self.units
            if not unit.removed
            and unit.status in wanted
            and (not self.filters or unit.municipality in query.get("municipality_code", [unit.municipality]))
            and (not self.filters or unit.modified >= query.get("meta_modified_after", [""])[0])
        ]
        if version == 1:
            return {"Uttagsdatum": f"{self.extracted}T00:00:00", "Skolenheter": rows}
        return {"meta": {"extractDate": self.extracted}, "data": {"type": "schoolunit", "attributes": rows}}


@contextmanager
def serving(register: Register, *, tls: ssl.SSLContext | None = None) -> Iterator[Register]:
    """The register, at an address of its own for the time of a test. What it had to refuse fails the test."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with register.counted(self.path):
                try:
                    status, body = register.answer(self.path, dict(self.headers))
                except (ValueError, KeyError) as error:
                    register.refused.append(f"{self.path}: {error}")
                    status, body = 400, b""
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if register.etag:
                self.send_header("ETag", register.etag)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name is the parent's
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    register.url = f"http{'s' if tls is not None else ''}://127.0.0.1:{server.server_port}{BASE}"
    try:
        yield register
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert register.refused == []
