"""A thin client for the Kubernetes API: plain JSON in and out, over aiohttp.

The log-in is kopf's own, so that both always are the same user: `log_in` reads a kubeconfig or the ServiceAccount's
files, `session` makes the HTTP session for kopf's thread and for `Api`. Tokens of ServiceAccounts are replaced on
disk within the hour, so `Api` reads them again every minute and whenever it is refused.

Errors::

    UnavailableError   no connection, time-out, 429, 5xx: tried again here a few times, then by whoever asked
    ForbiddenError     401, 403
    NotFoundError      404
    ConflictError      409
    RejectedError      everything else: what we sent is wrong
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp
import kopf
import yaml

from homeroom.api import GROUP, KINDS, VERSION, Reason
from homeroom.errors import TerminalError, TransientError
from homeroom.operator.cache import lean
from homeroom.reconcile.ports import Clock, Object

CLOSING_SECONDS = 0.25
"""How long an event loop should turn on after the last TLS connection was closed, as aiohttp asks for: the other side
has to say goodbye as well, and nobody can wait for that."""
_CREDENTIALS_SECONDS = 60.0
_ATTEMPTS = 4
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 5.0
_PAGE = 100
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

Json = dict[str, Any]


class LoginError(TerminalError):
    """There is nothing to log in with."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=Reason.FORBIDDEN)


class UnavailableError(TransientError):
    """The API server does not answer, or asks us to come back later."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, reason=Reason.API_UNAVAILABLE, retry_after=retry_after)


class ForbiddenError(TransientError):
    """A permission is missing; a person mends that without an event that we would see."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=Reason.FORBIDDEN)


class NotFoundError(TransientError):
    """The object, or its kind, does not exist."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=Reason.DEPENDENCY_NOT_READY)


class ConflictError(TransientError):
    """Somebody else wrote first, or the object exists already."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=Reason.API_CONFLICT)


class RejectedError(TerminalError):
    """What we sent is wrong: a bug of ours, or CRDs of another release."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=Reason.API_REJECTED)


def log_in() -> kopf.ConnectionInfo:
    """The API server and our credentials: `$KUBECONFIG`, else the pod's ServiceAccount, else `~/.kube/config`.

    Reads files, hence blocks. Only what stands in the files is understood, no log-in plug-ins. Raises LoginError.
    """
    settings = kopf.OperatorSettings()
    in_pod = _SERVICE_ACCOUNT.exists() and not os.environ.get("KUBECONFIG")
    try:
        info = (kopf.login_with_service_account if in_pod else kopf.login_with_kubeconfig)(settings=settings)
    except (OSError, AttributeError, LookupError, ValueError, yaml.YAMLError, kopf.LoginError) as error:
        # Others may quote the file, and with it a token.
        what = str(error) if isinstance(error, OSError | kopf.LoginError) else type(error).__name__
        raise LoginError(f"the kubeconfig cannot be used ({what}): check $KUBECONFIG") from error
    if info is None:
        raise LoginError("there is no API server to log in to: set $KUBECONFIG, or run in a pod with a ServiceAccount")
    return info


def session(info: kopf.ConnectionInfo, *, trace: aiohttp.TraceConfig | None = None) -> aiohttp.ClientSession:
    """An HTTP session for that API server, without credentials other than a client certificate; blocks on files."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        proxy=info.proxy_url,
        trust_env=info.trust_env,
        trace_configs=[] if trace is None else [trace],
    )


def path_of(kind: str, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
    """The path of a kind of ours, of its objects in a namespace, or of one object."""
    parts = ["/apis", GROUP, VERSION, *(("namespaces", namespace) if namespace else ()), KINDS[kind].plural]
    return "/".join([*parts, *(part for part in (name, subresource) if part)])


class Observer(Protocol):
    """Who wants to know about requests; see `metrics`."""

    def api_request(self, method: str, *, code: str) -> None:
        """One request was answered with that status code, or with none (`error`)."""


class Api:
    """The API server. An async context manager; `log_in_again` blocks and is called in a thread."""

    def __init__(
        self,
        *,
        log_in_again: Callable[[], kopf.ConnectionInfo],
        request_timeout: float,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._log_in_again = log_in_again
        self._request_timeout = request_timeout
        self._clock = clock
        self._observer = observer
        self._info: kopf.ConnectionInfo | None = None
        self._session: aiohttp.ClientSession | None = None
        self._logged_in_at = 0.0
        self._logging_in = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._credentials(refused=None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(CLOSING_SECONDS)

    async def get(self, path: str, **params: str) -> Json:
        """Read one object, or one page of a list."""
        return await self.request("GET", path, params=params)

    async def list_all(self, kind: str) -> tuple[list[Object], int]:
        """All objects of a kind of ours, `lean`, and the resourceVersion at which that was all.

        Raises UnavailableError also when the list changed so much between two pages that it has to begin anew.
        """
        items: list[Object] = []
        params = {"limit": str(_PAGE)}
        while True:
            page = await self.get(path_of(kind), **params)
            items += map(lean, page["items"])
            if not page["metadata"].get("continue"):
                return items, int(page["metadata"]["resourceVersion"])
            params["continue"] = page["metadata"]["continue"]

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        attempts: int = _ATTEMPTS,
        request_timeout: float | None = None,
    ) -> Json:
        """Send one request. `attempts` counts those that the API server did not answer, or put off.

        Sending twice is harmless, as every write of ours carries a resourceVersion or uid, or creates by name.
        """
        wait = _FIRST_WAIT_SECONDS
        while True:
            attempts -= 1
            try:
                return await self._once(
                    method,
                    path,
                    params=params,
                    data=None if body is None else json.dumps(body),
                    content_type=content_type,
                    seconds=request_timeout or self._request_timeout,
                )
            except UnavailableError as error:
                wait = max(wait, error.retry_after or 0)
                if attempts <= 0 or wait > _LONGEST_WAIT_SECONDS:
                    raise
            await asyncio.sleep(wait)
            wait *= 2

    async def _once(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        data: str | None,
        content_type: str,
        seconds: float,
    ) -> Json:
        refused: kopf.ConnectionInfo | None = None
        while True:
            info, http = await self._credentials(refused=refused)
            headers = {**info.as_http_headers(), "Content-Type": content_type, "User-Agent": "homeroom"}
            url = info.server.rstrip("/") + path
            timeout = aiohttp.ClientTimeout(total=seconds)
            try:
                async with http.request(
                    method, url, params=params, data=data, headers=headers, timeout=timeout
                ) as response:
                    code, text = response.status, await response.text()
                    retry_after = response.headers.get("Retry-After", "")
            except (aiohttp.ClientError, TimeoutError) as error:
                self._observer.api_request(method, code="error")
                what = f"no answer in {seconds:.0f} s" if isinstance(error, TimeoutError) else str(error)
                raise UnavailableError(f"the API server cannot be reached for {method} {path}: {what}") from error
            self._observer.api_request(method, code=str(code))
            if code == 401 and refused is None:
                refused = info
                continue
            if code < 400:
                answer: Json = json.loads(text)
                return answer
            raise _error(method, path, code, text, float(retry_after) if retry_after.isdecimal() else None)

    async def _credentials(
        self, *, refused: kopf.ConnectionInfo | None
    ) -> tuple[kopf.ConnectionInfo, aiohttp.ClientSession]:
        """What to send requests with; read anew when it is a minute old, or was `refused`."""
        async with self._logging_in:
            now = self._clock.monotonic()
            stale = now - self._logged_in_at > _CREDENTIALS_SECONDS or (refused is not None and refused is self._info)
            if self._info is None or self._session is None or stale:
                info = await asyncio.to_thread(self._log_in_again)
                # A new token goes into the headers of requests; anything else needs new connections.
                if (
                    self._session is None
                    or self._info is None
                    or replace(info, token=None) != replace(self._info, token=None)
                ):
                    if self._session is not None:
                        await self._session.close()
                    self._session = session(info)
                self._info, self._logged_in_at = info, now
            return self._info, self._session


def _error(
    method: str, path: str, code: int, text: str, retry_after: float | None
) -> UnavailableError | ForbiddenError | NotFoundError | ConflictError | RejectedError:
    """The error for an answer; its words are the API server's own where it gives a Status."""
    try:
        status = json.loads(text)
        said = status["message"] if status.get("kind") == "Status" else f"status {code}"
    except (ValueError, KeyError, AttributeError, TypeError):
        said = f"status {code}"
    message = f"{method} {path}: {said}"
    if code in {401, 403}:
        return ForbiddenError(message)
    if code == 404:
        return NotFoundError(message)
    if code == 409:
        return ConflictError(message)
    if code in {410, 429} or code >= 500:
        return UnavailableError(message, retry_after=retry_after)
    return RejectedError(message)
