"""A real Kolibri server on this machine, for tests and the demo, and the hands of a person who works in it.

`installed` puts the locked Kolibri (`tests/kolibri/requirements.txt`) into a venv of its own in the cache, with a home
that is set up already; `Kolibri` runs a copy of that home on free ports of 127.0.0.1; `Human` is a logged-in
administrator who changes things by the calls that Kolibri's own pages make. Everything here blocks.

`python -m homeroom.demo.kolibri install` installs ahead; `... up` runs one until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.cookiejar
import json
import os
import platform
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import filelock

from homeroom.errors import TerminalError

_LOCK_FILE = Path(__file__).parents[3] / "tests" / "kolibri" / "requirements.txt"
_USERNAME: Final = "operator"
_PASSWORD: Final = "homeroom"  # noqa: S105 (of a server that only this machine can reach)
_FACILITY: Final = "Kolibri"  # the facility that the operator's account lives in; it is nobody's school
_SETTINGS: Final = {
    "KOLIBRI_LISTEN_ADDRESS": "127.0.0.1",
    "KOLIBRI_ZEROCONF_ENABLED": "0",  # or it announces itself in the local network
    "KOLIBRI_DISABLE_PING": "1",  # or it tells its makers that it exists
    "KOLIBRI_NO_FILE_BASED_LOGGING": "1",
    "KOLIBRI_CHERRYPY_THREAD_POOL": "10",
    "KOLIBRI_REGULAR_PRIORITY_WORKERS": "1",
    "KOLIBRI_HIGH_PRIORITY_WORKERS": "1",
}
_START_SECONDS = 60.0  # a start takes 1.3 s; a busy machine may take many times that
_STOP_SECONDS = 30.0
_REQUEST_SECONDS = 30.0
_SERVING = "0"  # the state of a server that answers, in the fourth line of its server.pid
_AUTH_TABLES: Final = ("collection", "facilitydataset", "facilityuser", "membership", "role")
# A log-in writes the first, Kolibri's own synchronisation the second.
_NOISE: Final = frozenset({"last_login", "_morango_dirty_bit"})


class KolibriError(TerminalError):
    """Kolibri could not be installed, started or used."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="KolibriFailed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """`python` runs Kolibri; `home` is a KOLIBRI_HOME that is set up and never run: copy it."""

    python: Path
    home: Path


def default_cache() -> Path:
    """Where Kolibri is kept: `$HOMEROOM_CACHE`, else `~/.cache/homeroom`."""
    return Path(os.environ.get("HOMEROOM_CACHE") or "~/.cache/homeroom").expanduser()


def installed(cache: Path) -> Installation:
    """Kolibri, ready to run; installed when it is not yet (some 25 s, 350 MB, told on stderr).

    Kept in `cache` for the lock file as it is now and this Python. Several processes may ask at once: one installs, the
    others wait. An installation that was killed leaves nothing that is taken for a whole one. Raises KolibriError with
    what the failing tool said.
    """
    if not _LOCK_FILE.is_file():
        raise KolibriError("Kolibri is installed from a checkout of Homeroom, and this is an installed package")
    recipe = [_LOCK_FILE.read_text(), platform.python_version(), platform.system(), platform.machine(), _FACILITY]
    place = cache / f"kolibri-{hashlib.sha256('|'.join(recipe).encode()).hexdigest()[:16]}"
    if not place.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(cache / "kolibri.lock"):
            if not place.is_dir():
                _install(place)
    return Installation(python=place / "venv" / "bin" / "python", home=place / "home")


def _install(place: Path) -> None:
    """Install into `place`, which appears whole or not at all. The caller holds the lock."""
    for leftover in place.parent.glob("installing-kolibri-*"):
        shutil.rmtree(leftover)  # of an installation that was killed
    begun = time.monotonic()
    print("kolibri: installing ... ", end="", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix="installing-kolibri-") as installing:
        done = Path(installing) / "done"
        venv = done / "venv"
        python = venv / "bin" / "python"
        _output(sys.executable, "-m", "venv", venv)
        options = ("--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--require-hashes")
        _output(python, "-m", "pip", "install", *options, "-r", _LOCK_FILE)
        account = ("--superusername", _USERNAME, "--superuserpassword", _PASSWORD)
        school = ("--facility", _FACILITY, "--preset", "formal", "--language_id", "en")
        provision = ("-m", "kolibri", "manage", "provisiondevice", *school, *account, "--noinput")
        _output(python, *provision, environment=_environment(done / "home"))
        done.rename(place)
    print(f"{time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


def _environment(home: Path) -> dict[str, str]:
    """The environment of a Kolibri process, without anything that would change what it does."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KOLIBRI_", "PYTHON"))}
    return {**inherited, **_SETTINGS, "KOLIBRI_HOME": str(home)}


def _output(*command: str | Path, environment: Mapping[str, str] | None = None) -> None:
    try:
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise KolibriError(f"`{' '.join(map(str, command[:5]))} ...` failed: {error.stderr.strip()}") from error


class Kolibri:
    """One Kolibri of its own, up while the `with` block lasts.

    `directory` (made if missing) takes its home and its log and is left in place, for whoever looks for the cause of a
    failure. The server ends with this process, however that ends. Leaving the block kills it: nothing has to survive.
    """

    username = _USERNAME
    password = _PASSWORD

    def __init__(self, installation: Installation, directory: Path) -> None:
        self.url = ""
        self._python = installation.python
        self._template = installation.home
        self._home = directory / "home"
        self._log = directory / "kolibri.log"
        self._held = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        shutil.copytree(self._template, self._home)
        self._ports = [self._held.enter_context(_reserved_port()) for _ in range(2)]
        self.url = f"http://127.0.0.1:{self._ports[0]}"
        # The guard leads the process group of the server. Its stdin is a pipe that only we hold open: when we are gone,
        # `read` sees the end of it, and the guard kills its group.
        guard = ("/bin/sh", "-c", "read -r _; kill -KILL 0")
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, process_group=0)
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self.kill()
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()  # waits, and closes its pipe
        self._held.close()

    def start(self) -> None:
        """Start the server, at the same address every time, and wait until it answers."""
        if self._guard is None:
            raise KolibriError("a Kolibri is started by its `with` block")
        told = self._home / "server.pid"
        told.unlink(missing_ok=True)  # of a server that was killed
        command = (str(self._python), "-m", "kolibri", "start", "--foreground")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, f"--port={self._ports[0]}", f"--zip-port={self._ports[1]}"],
                env=_environment(self._home),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=self._guard.pid,
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            lines = told.read_text().split() if told.exists() else []
            if lines[3:] == [_SERVING]:
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                end = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
                raise KolibriError(f"kolibri did not start; the end of {self._log}:\n{end}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask it to end, and wait for that (some 3 s)."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would; does nothing when it is down."""
        self._send(signal.SIGKILL)

    def restart(self) -> None:
        """End it as a crash would, and start it again."""
        self.kill()
        self.start()

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def human(self, username: str = _USERNAME, password: str = _PASSWORD, facility: str | None = None) -> Human:
        """Somebody who has logged in, in a session of their own; without `facility` only the operator can."""
        return Human(self.url, username=username, password=password, facility=facility)

    def expire_sessions(self) -> None:
        """End all sessions, as twenty minutes would: reads then answer 200 with an empty list."""
        with self._database("sessions") as database:
            database.execute("DELETE FROM kolibriauth_session")

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Everything that Kolibri keeps about people and classes: rows by table, sorted; without moving parts.

        Tables: collection, facilitydataset, facilityuser, membership, role. Columns that a log-in or Kolibri's own
        synchronisation writes are left out, so that two equal answers mean that nobody has written in between.
        """
        answer: dict[str, list[dict[str, Any]]] = {}
        with self._database("db") as database:
            database.row_factory = sqlite3.Row
            for table in _AUTH_TABLES:
                rows = database.execute(f"SELECT * FROM kolibriauth_{table} ORDER BY id")  # noqa: S608 (closed list)
                answer[table] = [{key: row[key] for key in row.keys() if key not in _NOISE} for row in rows]  # noqa: SIM118 (iterating an sqlite3.Row gives values)
        return answer

    @contextlib.contextmanager
    def _database(self, name: str) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._home / f"{name}.sqlite3", timeout=30)) as database, database:
            yield database


@contextlib.contextmanager
def _reserved_port() -> Iterator[int]:
    """A free port that stays ours while the server is down: bound here without listening, which shuts out only others.

    A server of our own can still take it, as both allow the address to be used again.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


class Human:
    """A person at Kolibri's pages. Facilities, classes and people are named as the person sees them."""

    def __init__(self, url: str, *, username: str, password: str, facility: str | None = None) -> None:
        self._url = url
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self._cookies)
        )
        credentials = {"username": username, "password": password} | ({"facility": facility} if facility else {})
        self.me: dict[str, Any] = self.call("POST", "session/", credentials)

    def call(self, method: str, path: str, body: object = None, **params: str) -> Any:
        """One call below `/api/auth/`: the answer's JSON, or KolibriError with the status."""
        query = f"?{urllib.parse.urlencode(params)}" if params else ""
        token = next((cookie.value for cookie in self._cookies if cookie.name == "kolibri_csrftoken"), None)
        request = urllib.request.Request(  # noqa: S310 (the address is http://127.0.0.1)
            f"{self._url}/api/auth/{path}{query}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **({"X-CSRFToken": token} if token else {})},
        )
        try:
            with self._opener.open(request, timeout=_REQUEST_SECONDS) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise KolibriError(f"{method} {path} answered {error.code}: {error.read()[:300]!r}") from error
        return json.loads(text) if text else None

    def facility(self, name: str) -> str:
        """The id of the facility."""
        return self._one("facility/", name=name)["id"]

    def classroom(self, name: str, *, facility: str) -> str:
        """The id of the class."""
        return self._one("classroom/", {"parent": self.facility(facility)}, name=name)["id"]

    def user(self, username: str, *, facility: str) -> str:
        """The id of the account."""
        return self._one("facilityuser/", {"member_of": self.facility(facility)}, username=username)["id"]

    def _one(self, path: str, params: Mapping[str, str] | None = None, **wanted: str) -> dict[str, str]:
        rows = [row for row in self.call("GET", path, **(params or {})) if wanted.items() <= row.items()]
        if len(rows) != 1:
            raise KolibriError(f"{path} has {len(rows)} rows like that, not one")
        found: dict[str, str] = rows[0]
        return found

    def create_user(self, username: str, *, facility: str, **fields: str) -> str:
        """Make an account without our mark; its id."""
        account = {"username": username, "full_name": username, "password": secrets.token_hex(8), **fields}
        created: dict[str, str] = self.call("POST", "facilityuser/", {**account, "facility": self.facility(facility)})
        return created["id"]

    def create_class(self, name: str, *, facility: str) -> str:
        """Make a class that is nobody's but people's; its id."""
        created: dict[str, str] = self.call("POST", "classroom/", {"name": name, "parent": self.facility(facility)})
        return created["id"]

    def rename_class(self, name: str, new: str, *, facility: str) -> None:
        """Give a class another name."""
        self.call("PATCH", f"classroom/{self.classroom(name, facility=facility)}/", {"name": new})

    def add_member(self, username: str, *, facility: str, class_name: str) -> None:
        """Put somebody into a class, as a learner."""
        row = {
            "user": self.user(username, facility=facility),
            "collection": self.classroom(class_name, facility=facility),
        }
        self.call("POST", "membership/", [row])

    def remove_member(self, username: str, *, facility: str, class_name: str) -> None:
        """Take a learner out of a class."""
        rows = self.call(
            "GET",
            "membership/",
            user=self.user(username, facility=facility),
            collection=self.classroom(class_name, facility=facility),
        )
        if not rows:
            raise KolibriError("that membership does not exist")
        self.call("DELETE", "membership/", by_ids=",".join(row["id"] for row in rows))

    def delete_user(self, username: str, *, facility: str) -> None:
        """Delete an account as Kolibri's pages do: it can be restored for thirty days."""
        self.call("DELETE", f"facilityuser/{self.user(username, facility=facility)}/")


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m homeroom.demo.kolibri", description=__doc__)
    parser.add_argument("command", choices=("install", "up"), help="install Kolibri, or run one")
    command = parser.parse_args().command
    try:
        installation = installed(default_cache())
        if command == "install":
            return
        with (
            tempfile.TemporaryDirectory(prefix="homeroom-") as directory,
            Kolibri(installation, Path(directory)) as kolibri,
        ):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            print(
                f"{kolibri.url} user name {kolibri.username}, password {kolibri.password}; Ctrl-C ends it", flush=True
            )
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
    except KolibriError as error:
        sys.exit(f"kolibri: {error}")


if __name__ == "__main__":
    _main()
