"""Kolibri's own web API (0.19): a session, its who-am-I, and calls whose failures are told apart. No roster in here.

Kolibri answers a dead session with 200 and an empty list, and a missing right, a wrong CSRF token, a dead session and
a row of another school all with 403. So nothing that is read counts until `whoami` has named us before and after it,
and a 403 leads to one new log-in only when `whoami` says that we are nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import json as json_module
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import aiohttp
from yarl import URL

from homeroom.errors import IncompleteReadError, RefusedError, TerminalError, TransientError
from homeroom.wire import answered, whole

TIMEOUT: Final = aiohttp.ClientTimeout(total=120, sock_connect=10, sock_read=90)
"""A list of 500 memberships takes some 2 s to write, all 100,000 of a big device some 4 s to read."""

IDS_PER_CALL: Final = 200
"""Ids in one address: 7 kB. Kolibri itself takes eight times that, an nginx before it answers 414 above 8 kB."""

ROWS_PER_CALL: Final = 500
"""Rows in one list: 1.5 s of work."""

_LARGEST: Final = 1 << 30
"""Bytes of an answer, unpacked; all 100,000 memberships of a big device are some 20 MB."""

_BUSY: Final = frozenset({429, 502, 503, 504})


class RefusedCallError(RefusedError):
    """Kolibri said no to one call. `code` is its error id (`USERNAME_ALREADY_EXISTS`), where it gave one."""

    def __init__(self, *, status: int, code: str) -> None:
        super().__init__(f"kolibri refused it: {code or 'no error id'} ({status})", reason="TargetRefused")
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who Kolibri says that we are. `kinds`: superuser, admin, coach, learner, anonymous."""

    user: str | None
    kinds: frozenset[str]
    facility: str | None

    @property
    def superuser(self) -> bool:
        """May do everything, in all facilities."""
        return "superuser" in self.kinds

    @property
    def administrator(self) -> bool:
        """May manage at least the own facility."""
        return self.superuser or "admin" in self.kinds


class Api:
    """Calls to one server, under one account. Opened by making it, inside a running loop; `close` it at the end."""

    def __init__(
        self,
        *,
        url: str,
        username: str,
        password: str,
        facility: str | None,
        connector: aiohttp.BaseConnector | None,
        middlewares: Sequence[aiohttp.ClientMiddlewareType],
        proxy: str | None,
        tls: ssl.SSLContext | None,
        rate: float | None,
    ) -> None:
        self.base = URL(url.rstrip("/") + "/")
        self._credentials = {"username": username, "password": password} | ({"facility": facility} if facility else {})
        self._proxy = proxy
        self._tls = tls
        self._pause = 1 / rate if rate else 0.0
        self._next = 0.0
        self._logging_in = asyncio.Lock()
        self._logins = 0
        # Of the log-in, and of nothing else: an answer to a session that had ended takes the cookies of the next one
        # away, if it comes after them.
        self._cookies: Mapping[str, str] = {}
        self._session = aiohttp.ClientSession(
            connector=connector,
            middlewares=middlewares,
            timeout=TIMEOUT,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "Referer": str(self.base)},  # Django asks for the latter over TLS
        )

    @property
    def first_hop(self) -> tuple[str, int]:
        """Host and port that we connect to: the proxy's where there is one."""
        url = URL(self._proxy) if self._proxy else self.base
        return url.host or "", url.port or 0

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def login(self) -> Identity:
        """Log in; TerminalError when the account does not exist or has another password, or is no administrator's."""
        try:
            answer = await self._once("POST", "api/auth/session/", json=self._credentials, as_nobody=True)
        except RefusedCallError as error:
            raise TerminalError(
                f"kolibri does not accept the log-in ({error.code or error.status}): correct user name and password in "
                "the Secret, and name the facility where the account is not a superuser's",
                reason="CredentialsInvalid",
            ) from error
        self._logins += 1
        return _administrator(_identity(answer))

    async def logout(self) -> None:
        """End the session; a server that cannot be reached any more is no reason to fail."""
        with contextlib.suppress(TransientError, RefusedCallError):
            await self._once("DELETE", "api/auth/session/current/")

    async def whoami(self) -> Identity:
        """Whom the session belongs to right now. Also renews it: without this it ends after twenty minutes."""
        try:
            return _identity(await self._once("PUT", "api/auth/session/current/", json={}))
        except RefusedCallError:  # a session that is gone takes its CSRF token along
            return Identity(user=None, kinds=frozenset({"anonymous"}), facility=None)

    async def sure(self) -> Identity:
        """Who we are, after logging in again where the session had ended."""
        me = await self.whoami()
        return _administrator(me) if me.user is not None else await self.login()

    async def info(self) -> dict[str, Any]:
        """What the server tells everybody about itself."""
        answer = await self._once("GET", "api/public/info/")
        return answer if isinstance(answer, dict) else {}

    async def fetch(self, path: str, **params: str) -> list[dict[str, Any]]:
        """Read a whole list below `api/auth/`. An empty one proves nothing without `whoami` around it.

        Raises IncompleteReadError when Kolibri refuses it (what it is filtered by has gone), or it is no list.
        """
        try:
            answer = await self._once("GET", f"api/auth/{path}", params=params)
        except RefusedCallError as error:
            raise IncompleteReadError(
                f"kolibri refused to list {path}: {error.message}", reason="TargetIncomplete"
            ) from error
        if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
            raise IncompleteReadError(
                f"kolibri answered {path} with something other than a list of objects: check its version",
                reason="TargetIncomplete",
            )
        return answer

    async def get(self, path: str, **params: str) -> Any:
        """Ask at any address of the server; RefusedCallError when Kolibri says no."""
        return await self._once("GET", path, params=params)

    async def rows(self, path: str, by: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Read the rows whose filter `by` (`by_ids`, `user_ids`) matches one of `ids`."""
        found: list[dict[str, Any]] = []
        for part in chunks(ids):
            found += await self.fetch(path, **{by: ",".join(part)})
        return found

    async def write(self, method: Literal["POST", "PATCH"], path: str, body: object) -> Any:
        """POST or PATCH below `api/auth/`; RefusedCallError when Kolibri says no to exactly this."""
        return await self._again(method, f"api/auth/{path}", json=body)

    async def delete(self, path: str, ids: Sequence[str]) -> None:
        """Delete rows by their ids, which may be gone. Never by another filter: a typo there empties a class."""
        for part in chunks(ids):
            await self._again("DELETE", f"api/auth/{path}", params={"by_ids": ",".join(part)})

    async def restore(self, user: str) -> None:
        """Bring an account back that a person had deleted."""
        await self._again("POST", "api/auth/deletedfacilityuser/restore/", params={"by_ids": user})

    async def _again(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, json: object = None
    ) -> Any:
        """One write; once more after a new log-in when the session had ended."""
        await self._paced()
        logins = self._logins
        try:
            return await self._once(method, path, params=params, json=json)
        except RefusedCallError as error:
            if error.status not in {401, 403}:
                raise
            async with self._logging_in:  # many calls may find out at once; one of them logs in
                if self._logins == logins:
                    if (await self.whoami()).user is not None:
                        raise
                    await self.login()
        return await self._once(method, path, params=params, json=json)

    async def _paced(self) -> None:
        """Wait for our turn, at `rate` writes a second."""
        if self._pause:
            now = asyncio.get_running_loop().time()
            self._next = max(now, self._next) + self._pause
            await asyncio.sleep(self._next - self._pause - now)

    async def _once(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        as_nobody: bool = False,
    ) -> Any:
        """One call. `as_nobody`: without a session; the one that begins by it is that of all calls to come."""
        url = self.base.join(URL(path))
        headers = {}
        if self._cookies and not as_nobody:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
            headers["X-CSRFToken"] = self._cookies.get("kolibri_csrftoken", "")
        async with answered(
            self._session,
            method,
            url,
            who="kolibri",
            proxy=self._proxy,
            tls=self._tls,
            body=json,
            params=params,
            headers=headers,
        ) as answer:
            if answer.status in _BUSY or (answer.status >= 500 and method == "GET"):
                raise TransientError(
                    f"kolibri answered {answer.status}: it is overloaded or broken; see its log",
                    reason="TargetUnavailable",
                    retry_after=_seconds(answer.headers.get("Retry-After")),
                )
            if 300 <= answer.status < 400:  # following it could lead anywhere, with the password
                raise TransientError(
                    "kolibri sends us to another address: put the one that it really has into the spec",
                    reason="TargetUnavailable",
                )
            body = await whole(answer, who="kolibri", most=_LARGEST)
            if answer.status >= 400:
                raise RefusedCallError(status=answer.status, code=_code(answer, body))
            if as_nobody:
                self._cookies = {name: cookie.value for name, cookie in answer.cookies.items()}
            if not body:
                return None
            try:
                return json_module.loads(body)
            except (ValueError, RecursionError) as error:
                raise TransientError(
                    "something other than kolibri answers at its address: check the address and the proxy",
                    reason="TargetUnavailable",
                ) from error


def chunks(ids: Sequence[str]) -> list[Sequence[str]]:
    """`ids` in parts that fit into one call."""
    return [ids[at : at + IDS_PER_CALL] for at in range(0, len(ids), IDS_PER_CALL)]


def _identity(answer: object) -> Identity:
    data = answer if isinstance(answer, dict) else {}
    kinds = data.get("kind")
    return Identity(
        user=data.get("user_id"),
        kinds=frozenset(kinds if isinstance(kinds, list) else ()),
        facility=data.get("facility_id"),
    )


def _administrator(me: Identity) -> Identity:
    if me.user is None or not me.administrator:
        raise TerminalError(
            "the account in the Secret is no administrator of kolibri: make it a superuser, or an administrator of "
            "its facility",
            reason="CredentialsInvalid",
        )
    return me


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None


def _code(answer: aiohttp.ClientResponse, body: bytes) -> str:
    """The first error id of an answer; never its text, which quotes what was sent."""
    if answer.content_type != "application/json":
        return ""
    try:
        errors = json_module.loads(body)
    except ValueError:
        return ""
    first = errors[0] if isinstance(errors, list) and errors else errors
    code = first.get("id") if isinstance(first, dict) else None
    return code if isinstance(code, str) and code.isascii() and len(code) <= 64 else ""
