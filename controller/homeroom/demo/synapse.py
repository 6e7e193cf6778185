"""A real Synapse server on this machine, for tests and for looking around, and the hands of people who use it.

`installed` puts the locked Synapse (`tests/synapse/requirements.txt`) into a venv of its own in the cache;
`Synapse` runs one on a free port of 127.0.0.1 with an empty database; `Account` is somebody with an account there, who
does things by the calls that Matrix programs make. Synapse keeps the limits that it has by itself. All of this blocks.

`python -m homeroom.demo.synapse install` installs ahead; `... up` runs one until Ctrl-C.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import hmac
import json
import os
import platform
import secrets
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
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

_LOCK_FILE = Path(__file__).parents[3] / "tests" / "synapse" / "requirements.txt"
_VALIDITY: Final = "rc_registration_token_validity"
_OPERATOR: Final = "operator"
_REQUEST_SECONDS = 30.0
_MEMORY = Path("/dev/shm")  # noqa: S108 (a RAM disk, where there is one: joins take half the time there)


def installed(cache: Path) -> Path:
    """The Python that runs Synapse; installed when it is not yet (some 40 s, 240 MB, told on stderr).

    Kept in `cache` for the lock file as it is now, and this Python. Several processes may ask at once: one installs,
    the others wait. Raises ServerError with what the failing tool said.
    """
    if not _LOCK_FILE.is_file():
        raise ServerError("Synapse is installed from a checkout of Homeroom, and this is an installed package")
    recipe = [_LOCK_FILE.read_text(), platform.python_version(), platform.system(), platform.machine()]
    return made_once(cache, "synapse", recipe=recipe, make=_install) / "bin" / "python"


def _install(place: Path) -> Path:
    """Install below `place`, and return where."""
    done = place / "done"
    with step("synapse: installing"):
        output(sys.executable, "-m", "venv", done)
        options = ("--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--require-hashes")
        output(done / "bin" / "python", "-m", "pip", "install", *options, "-r", _LOCK_FILE)
    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What Synapse said to one call. `errcode` is empty where all went well."""

    status: int
    body: Any

    @property
    def errcode(self) -> str:
        """Matrix' word for what went wrong."""
        return str(self.body.get("errcode", "")) if isinstance(self.body, dict) else ""

    @property
    def ok(self) -> bool:
        """Whether it did what it was asked."""
        return self.status < 400


class Synapse(Server):
    """One Synapse of its own, up while the `with` block lasts; `operator` is an administrator of it.

    `server_name`: what its accounts end with. `database`: its SQLite file, for what no call can bring about; only while
    the server is stopped.

    `directory` (made if missing) takes its settings and its log and is left in place, for whoever looks for the cause
    of a failure; the database is gone with the block. The server ends with this process, however that ends.
    """

    def __init__(self, python: Path, directory: Path, *, server_name: str = "school.test") -> None:
        super().__init__()
        self.server_name = server_name
        self.url = ""
        self.operator: Account
        self.database: Path
        self._python = python
        self._directory = directory
        self._secret = secrets.token_hex(16)

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            port = held.enter_context(reserved_port(sharing=socket.SO_REUSEADDR))
            self.url = f"http://127.0.0.1:{port}"
            memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
            place = held.enter_context(tempfile.TemporaryDirectory(dir=memory, prefix="homeroom-synapse-"))
            self.database = Path(place) / "synapse.sqlite3"
            self._configure(port)
            self._group = held.enter_context(process_group())
            held.callback(self.kill)
            self.start()
            self.operator = self.administrator(_OPERATOR)
            while self.operator.do("GET", "/_synapse/admin/v1/background_updates/status")["current_updates"]:
                time.sleep(0.05)  # until its new database has all indexes; without them some calls end in a 500
            self._held = held.pop_all()
        return self

    def _configure(self, port: int) -> None:
        """Write all that Synapse needs. Its YAML may be JSON."""
        key = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        (self._directory / "signing.key").write_text(f"ed25519 a_test {key}\n")
        logs = {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "root": {"level": "WARNING", "handlers": ["console"]},
        }
        (self._directory / "log.yaml").write_text(json.dumps(logs))
        listener = {
            "type": "http",
            "port": port,
            "tls": False,
            "bind_addresses": ["127.0.0.1"],
            "resources": [{"names": ["client"], "compress": False}],
        }
        settings = {
            "server_name": self.server_name,
            "listeners": [listener],
            "database": {"name": "sqlite3", "args": {"database": str(self.database)}},
            "log_config": str(self._directory / "log.yaml"),
            "media_store_path": str(self._directory / "media"),
            "signing_key_path": str(self._directory / "signing.key"),
            "registration_shared_secret": self._secret,
            "enable_registration": True,
            "registration_requires_token": True,
            **{name: {"per_second": 1000, "burst_count": 1000} for name in ("rc_registration", _VALIDITY)},
            "macaroon_secret_key": secrets.token_hex(16),
            "form_secret": secrets.token_hex(16),
            "report_stats": False,
            "trusted_key_servers": [],
            "bcrypt_rounds": 4,  # or every password takes a third of a second
            "presence": {"enabled": False},
            "user_directory": {"enabled": False},
            "update_user_directory_from_worker": "nobody",  # or it is kept all the same: a twelfth of its time
            "send_federation": False,  # or it looks at every event for other servers: another tenth
            "gc_thresholds": [50_000, 50, 50],  # or looking for garbage takes a tenth of its time
            "background_updates": {"sleep_enabled": False},  # a new database is finished at once, not within a minute
        }
        (self._directory / "homeserver.yaml").write_text(json.dumps(settings, indent=1))

    def start(self) -> None:
        """Start the server, at the same address every time, and wait until it answers."""
        self._serve(
            "synapse",
            self._python,
            *("-m", "synapse.app.homeserver", "-c", self._directory / "homeserver.yaml"),
            environment={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            log=self._directory / "synapse.log",
            is_up=self._is_up,
        )

    def _is_up(self) -> bool:
        try:
            return _request(f"{self.url}/health").ok
        except OSError:
            return False

    def register(self, localpart: str, *, token: str) -> Answer:
        """Somebody makes an account, as an app does; with a registration token."""
        address = f"{self.url}/_matrix/client/v3/register"
        body: dict[str, object] = {"username": localpart, "password": secrets.token_hex(16)}
        session = _request(address, method="POST", body=body).body["session"]
        body["auth"] = {"type": "m.login.registration_token", "token": token, "session": session}
        answer = _request(address, method="POST", body=body)
        if "m.login.registration_token" not in answer.body.get("completed", ()):
            return answer
        body["auth"] = {"type": "m.login.dummy", "session": session}
        return _request(address, method="POST", body=body)

    def administrator(self, localpart: str) -> Account:
        """A new account that administrates the server, made by the secret that only who owns the machine knows."""
        address = f"{self.url}/_synapse/admin/v1/register"
        nonce = _request(address).body["nonce"]
        password = secrets.token_hex(16)
        words = f"{nonce}\0{localpart}\0{password}\0admin"
        mac = hmac.new(self._secret.encode(), words.encode(), hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": localpart, "password": password, "admin": True, "mac": mac}
        answer = _request(address, method="POST", body=body)
        if not answer.ok:
            raise ServerError(f"synapse refused to make an administrator: {answer.status} {answer.errcode}")
        return Account(url=self.url, user_id=answer.body["user_id"], token=answer.body["access_token"])

    def account(self, localpart: str) -> Account:
        """Somebody with an account, which is made when there is none, without a password; logged in."""
        user_id = self.make(localpart)
        login = self.operator.do("POST", f"/_synapse/admin/v1/users/{user_id}/login", {})
        return Account(url=self.url, user_id=user_id, token=login["access_token"])

    def make(self, localpart: str, **fields: object) -> str:
        """Make an account that nobody is logged in to, or change these `fields` of it; its full name."""
        user_id = f"@{localpart}:{self.server_name}"
        self.operator.do("PUT", f"/_synapse/admin/v2/users/{user_id}", fields)
        return user_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who is logged in at `url`."""

    url: str
    user_id: str
    token: str

    def call(self, method: str, path: str, body: object = None) -> Answer:
        """One call, below `/_matrix/client/v3/` unless `path` has a slash first; whatever the answer is."""
        address = urllib.parse.urljoin(f"{self.url}/_matrix/client/v3/", path)
        return _request(address, method=method, body=body, token=self.token)

    def do(self, method: str, path: str, body: object = None) -> Any:
        """One call that has to work: its JSON, or ServerError with the status."""
        answer = self.call(method, path, body)
        if not answer.ok:
            raise ServerError(f"{method} {path} answered {answer.status} {answer.body}")
        return answer.body


def _request(address: str, *, method: str = "GET", body: object = None, token: str | None = None) -> Answer:
    """Ask without any proxy. OSError: nobody answers."""
    request = urllib.request.Request(  # noqa: S310 (the address is http://127.0.0.1)
        address,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}),
    )
    try:
        with _DIRECT.open(request, timeout=_REQUEST_SECONDS) as response:
            status, text = response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read()
    try:
        return Answer(status=status, body=json.loads(text))
    except ValueError:
        return Answer(status=status, body=text.decode(errors="replace"))


_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m homeroom.demo.synapse", description=__doc__)
    parser.add_argument("command", choices=("install", "up"), help="install Synapse, or run one")
    command = parser.parse_args().command
    try:
        python = installed(default_cache())
        if command == "install":
            return
        with (
            tempfile.TemporaryDirectory(prefix="homeroom-") as directory,
            Synapse(python, Path(directory)) as synapse,
        ):
            operator = synapse.operator
            wait_for_the_end(f"{synapse.url} {operator.user_id}, access token {operator.token}; Ctrl-C ends it")
    except ServerError as error:
        sys.exit(f"synapse: {error}")


if __name__ == "__main__":
    _main()
