"""A real Kolibri server on this machine, for tests and the demo, and the hands of a person who works in it.

`installed` puts the locked Kolibri (`tests/kolibri/requirements.txt`) into a venv of its own in the cache, with the
wheel of our plugin for it (`kolibri-plugin/`) and a home that is set up already; `Kolibri` runs a copy of that home on
free ports of 127.0.0.1; `Human` is somebody logged in who does things by the calls that Kolibri's own pages make.
Everything here blocks.

`python -m homeroom.demo.kolibri install` installs ahead; `... up` runs one until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import http.cookiejar
import json
import os
import platform
import secrets
import shutil
import socket
import sqlite3
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from homeroom.demo.server import (
    Server,
    ServerError,
    default_cache,
    made_once,
    output,
    process_group,
    reserved_port,
    step,
    wait_for_the_end,
)

_CHECKOUT = Path(__file__).parents[3]
_LOCK_FILE = _CHECKOUT / "tests" / "kolibri" / "requirements.txt"
_PLUGIN_FOLDER = _CHECKOUT / "kolibri-plugin"
_PLUGIN: Final = "kolibri_homeroom_activity"
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
    "SETUPTOOLS_USE_DISTUTILS": "stdlib",  # or each start loads all of setuptools, for a comparison of two versions
}
_QUICK: Final = """
import functools, gc
from cryptography.hazmat.primitives import serialization
from rest_framework.utils import model_meta
from kolibri.core.sqlite import pragmas
from kolibri.core.tasks.utils import InfiniteLoopThread
from kolibri.deployment.default.settings.base import *

# 60 ms of CPU for each password, and 35 for each look at a facility's key, to make sure once more that it is one.
PASSWORD_HASHERS = [f"django.contrib.auth.hashers.{name}PasswordHasher" for name in ("MD5", "PBKDF2")]
serialization.load_pem_private_key = functools.partial(
    serialization.load_pem_private_key, unsafe_skip_rsa_key_validation=True
)
# 10 ms for each request, to open the databases, and some to make sure that what it wrote outlives a power cut.
for database in DATABASES.values():
    database["CONN_MAX_AGE"] = None
pragmas.CONNECTION_PRAGMAS += "PRAGMA synchronous=OFF;"
# Some percent of each: a line in the log (one that fails still has it), what a table consists of, a look for garbage.
LOGGING["loggers"]["cherrypy.access"]["level"] = "WARNING"
model_meta.get_field_info = functools.cache(model_meta.get_field_info)
gc.set_threshold(20_000, 20, 20)
# A percent of a core for as long as it is up: to look for background work five times a second.
InfiniteLoopThread.DEFAULT_TIMEOUT_SECONDS = 5
"""
"""Settings of Django: Kolibri's own, without work that takes much CPU and that no test can see from outside."""
_REQUEST_SECONDS = 30.0
_SERVING = "0"  # the state of a server that answers, in the fourth line of its server.pid
_AUTH_TABLES: Final = ("collection", "facilitydataset", "facilityuser", "membership", "role")
# A log-in writes the first, Kolibri's own synchronisation the second.
_NOISE: Final = frozenset({"last_login", "_morango_dirty_bit"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """`python` runs Kolibri; `home` is a KOLIBRI_HOME that is set up and never run: copy it."""

    python: Path
    home: Path


def installed(cache: Path) -> Installation:
    """Kolibri, ready to run; installed when it is not yet (some 25 s, 350 MB, told on stderr).

    Kept in `cache` for the lock file and the plugin as they are now, and this Python. Several processes may ask at
    once: one installs, the others wait. An installation that was killed leaves nothing that is taken for a whole one.
    Raises ServerError with what the failing tool said.
    """
    if not _LOCK_FILE.is_file():
        raise ServerError("Kolibri is installed from a checkout of Homeroom, and this is an installed package")
    recipe = [_LOCK_FILE.read_text(), platform.python_version(), platform.system(), platform.machine(), _FACILITY]
    recipe += [path.read_text() for path in (_PLUGIN_FOLDER / "pyproject.toml", *sorted(_PLUGIN_FOLDER.glob("*/*.py")))]
    place = made_once(cache, "kolibri", recipe=recipe, make=_install)
    return Installation(python=place / "venv" / "bin" / "python", home=place / "home")


def plugin_wheel(directory: Path) -> Path:
    """Build our plugin in `directory`, from the checkout and without any network; the wheel."""
    options = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation")
    output(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", directory, _PLUGIN_FOLDER)
    (wheel,) = directory.glob("*.whl")
    return wheel


def _install(place: Path) -> Path:
    """Install below `place`, and return where."""
    done = place / "done"
    python = done / "venv" / "bin" / "python"
    with step("kolibri: installing"):
        output(sys.executable, "-m", "venv", done / "venv")
        options = ("--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--require-hashes")
        output(python, "-m", "pip", "install", *options, "-r", _LOCK_FILE)
        wheel = plugin_wheel(place)
        output(python, "-m", "pip", "install", *options[:2], "--no-index", "--no-deps", wheel)
        environment = _environment(done / "home")
        output(python, "-m", "kolibri", "plugin", "enable", _PLUGIN, environment=environment)
        account = ("--superusername", _USERNAME, "--superuserpassword", _PASSWORD)
        school = ("--facility", _FACILITY, "--preset", "formal", "--language_id", "en")
        provision = ("-m", "kolibri", "manage", "provisiondevice", *school, *account, "--noinput")
        output(python, *provision, environment=environment)
    return done


_CLEAN_UP: Final = """
import datetime, sys
from unittest import mock
from kolibri.utils.main import initialize
initialize()
from django.utils import timezone
from kolibri.core.auth.tasks import cleanup_expired_deleted_users
later = timezone.now() + datetime.timedelta(days=int(sys.argv[1]))
with mock.patch("django.utils.timezone.now", return_value=later):
    cleanup_expired_deleted_users()
"""


def _environment(home: Path) -> dict[str, str]:
    """The environment of a Kolibri process, without anything that would change what it does."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KOLIBRI_", "PYTHON"))}
    return {**inherited, **_SETTINGS, "KOLIBRI_HOME": str(home)}


class Kolibri(Server):
    """One Kolibri of its own, up while the `with` block lasts.

    `directory` (made if missing) takes its home and its log and is left in place, for whoever looks for the cause of a
    failure. The server ends with this process, however that ends. Leaving the block kills it: nothing has to survive.
    `quick`: for tests. It takes less CPU, but whoever reads its database can guess the passwords, and a power cut may
    take what was written last.
    """

    username = _USERNAME
    password = _PASSWORD

    def __init__(self, installation: Installation, directory: Path, *, quick: bool = False) -> None:
        super().__init__()
        self.url = ""
        self._settings = directory / "settings" if quick else None
        self._python = installation.python
        self._template = installation.home
        self._home = directory / "home"
        self._log = directory / "kolibri.log"

    def __enter__(self) -> Self:
        shutil.copytree(self._template, self._home)
        if self._settings is not None:
            self._settings.mkdir()
            (self._settings / "quick.py").write_text(_QUICK)
        with contextlib.ExitStack() as held:
            self._ports = [held.enter_context(reserved_port(sharing=socket.SO_REUSEADDR)) for _ in range(2)]
            self.url = f"http://127.0.0.1:{self._ports[0]}"
            self._group = held.enter_context(process_group())
            held.callback(self.kill)
            self.start()
            if self._settings is not None:
                self.human()  # the first log-in keeps the operator's password the quick way; no later one does
            self._held = held.pop_all()
        return self

    def start(self) -> None:
        """Start the server, at the same address every time, and wait until it answers."""
        told = self._home / "server.pid"
        told.unlink(missing_ok=True)  # of a server that was killed
        command = (self._python, "-m", "kolibri", "start", "--foreground")
        settings = (f"--pythonpath={self._settings}", "--settings=quick") if self._settings else ()
        self._serve(
            "kolibri",
            *command,
            *settings,
            f"--port={self._ports[0]}",
            f"--zip-port={self._ports[1]}",
            environment=_environment(self._home),
            log=self._log,
            is_up=lambda: told.exists() and told.read_text().split()[3:] == [_SERVING],
        )

    def human(self, username: str = _USERNAME, password: str = _PASSWORD, facility: str | None = None) -> Human:
        """Somebody who has logged in, in a session of their own; without `facility` only the operator can."""
        return Human(self.url, username=username, password=password, facility=facility)

    def expire_sessions(self) -> None:
        """End all sessions, as twenty minutes would: reads then answer 200 with an empty list."""
        with self._database("sessions") as database:
            database.execute("DELETE FROM kolibriauth_session")

    def command(self, *words: str) -> None:
        """Run `kolibri WORDS` as the one who looks after this server does. What it sets counts after a `restart`."""
        output(self._python, "-m", "kolibri", *words, environment=_environment(self._home))

    def clean_up(self, *, days: int) -> None:
        """Do what Kolibri itself does with deleted accounts, as if so many days had passed."""
        output(self._python, "-c", _CLEAN_UP, str(days), environment=_environment(self._home))

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
        """One call, below `/api/auth/` unless `path` has a slash first: the JSON, or ServerError with the status."""
        query = f"?{urllib.parse.urlencode(params)}" if params else ""
        token = next((cookie.value for cookie in self._cookies if cookie.name == "kolibri_csrftoken"), None)
        request = urllib.request.Request(  # noqa: S310 (the address is http://127.0.0.1)
            f"{self._url}{urllib.parse.urljoin('/api/auth/', path)}{query}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **({"X-CSRFToken": token} if token else {})},
        )
        try:
            with self._opener.open(request, timeout=_REQUEST_SECONDS) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise ServerError(f"{method} {path} answered {error.code}: {error.read()[:300]!r}") from error
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
            raise ServerError(f"{path} has {len(rows)} rows like that, not one")
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
            raise ServerError("that membership does not exist")
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
            wait_for_the_end(f"{kolibri.url} user name {kolibri.username}, password {kolibri.password}; Ctrl-C ends it")
    except ServerError as error:
        sys.exit(f"kolibri: {error}")


if __name__ == "__main__":
    _main()
