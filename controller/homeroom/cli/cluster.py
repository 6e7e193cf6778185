"""The cluster as the caller sees it: resources and Secrets, read with the caller's own kubeconfig, nothing written.

Unlike the operator (`homeroom.operator.api.log_in`), a person may name a context and may use log-in plug-ins, which
all large clouds want. Without a kubeconfig, in a pod, its ServiceAccount is taken, as the operator does.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import kopf
import yaml

from homeroom.errors import InvalidSpecError
from homeroom.operator import api
from homeroom.operator.api import Api, LoginError
from homeroom.operator.runtime import SystemClock
from homeroom.reconcile.ports import Object

_REQUEST_SECONDS: Final = 15.0
_PLUGIN_SECONDS: Final = 120.0  # some ask a person to log in with a browser
_PAGE: Final = "500"


class _Unobserved:
    """Nobody counts the requests of a command."""

    def api_request(self, method: str, *, code: str) -> None:
        """Look away."""


@asynccontextmanager
async def connected(context: str | None) -> AsyncIterator[Api]:
    """The API server of a context; None: the current one, or that of the pod."""
    async with Api(
        log_in_again=lambda: log_in(context),
        request_timeout=_REQUEST_SECONDS,
        clock=SystemClock(),
        observer=_Unobserved(),
    ) as opened:
        yield opened


async def every(opened: Api, kind: str, namespace: str) -> list[Object]:
    """All objects of a kind of ours in a namespace."""
    found: list[Object] = []
    params = {"limit": _PAGE}
    while True:
        page = await opened.get(api.path_of(kind, namespace), **params)
        found += page["items"]
        if not page["metadata"].get("continue"):
            return found
        params["continue"] = page["metadata"]["continue"]


def current_namespace(context: str | None) -> str:
    """The namespace of a context, for commands that need nothing else of the cluster. Raises InvalidSpecError."""
    try:
        return log_in(context).default_namespace or "default"
    except LoginError as error:
        raise InvalidSpecError(f"of which namespace? Name it with -n ({error.message})") from error


def log_in(context: str | None) -> kopf.ConnectionInfo:
    """How to reach and to log in to the API server of a context. Blocks. Raises LoginError."""
    files = [Path(path).expanduser() for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    files = files or [path for path in [Path("~/.kube/config").expanduser()] if path.exists()]
    if not files:
        return api.log_in()
    merged: dict[str, dict[str, dict[str, Any]]] = {"contexts": {}, "clusters": {}, "users": {}}
    try:
        for file in files:
            config = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
            context = context or config.get("current-context")
            for section, part in (("contexts", "context"), ("clusters", "cluster"), ("users", "user")):
                for item in config.get(section) or []:
                    merged[section].setdefault(item["name"], _absolute(item.get(part) or {}, file.parent))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise LoginError(f"the kubeconfig {file} cannot be read: check $KUBECONFIG") from error
    if context is None or context not in merged["contexts"]:
        known = ", ".join(sorted(merged["contexts"])) or "none"
        raise LoginError(f"the kubeconfig has no context '{context or ''}' (there is {known}): choose with --context")
    chosen = merged["contexts"][context]
    cluster, user = (
        merged[section].get(chosen.get(part, ""), {}) for section, part in (("clusters", "cluster"), ("users", "user"))
    )
    if "server" not in cluster:
        raise LoginError(f"the context '{context}' of the kubeconfig names no cluster with a server: correct it")
    info = kopf.ConnectionInfo(
        server=cluster["server"],
        ca_path=cluster.get("certificate-authority"),
        ca_data=cluster.get("certificate-authority-data"),
        insecure=cluster.get("insecure-skip-tls-verify"),
        proxy_url=cluster.get("proxy-url"),
        username=user.get("username"),
        password=user.get("password"),
        token=user.get("token") or _token(user.get("tokenFile")),
        certificate_path=user.get("client-certificate"),
        certificate_data=user.get("client-certificate-data"),
        private_key_path=user.get("client-key"),
        private_key_data=user.get("client-key-data"),
        default_namespace=chosen.get("namespace") or "default",
    )
    return _by_plugin(info, user["exec"]) if user.get("exec") else info


def _absolute(part: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Paths in a kubeconfig are relative to it."""
    files = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
    return {key: str(folder / value) if key in files and value else value for key, value in part.items()}


def _token(file: str | None) -> str | None:
    try:
        return Path(file).read_text(encoding="utf-8").strip() if file else None
    except OSError as error:
        raise LoginError(f"the token file {file} of the kubeconfig cannot be read") from error


def _by_plugin(info: kopf.ConnectionInfo, plugin: Mapping[str, Any]) -> kopf.ConnectionInfo:
    """Ask the log-in plug-in that the kubeconfig names, as kubectl does (client.authentication.k8s.io)."""
    question = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": {"interactive": False}}
    extra = {item["name"]: item["value"] for item in plugin.get("env") or []}
    try:
        answer = subprocess.run(  # noqa: S603 - the caller's own kubeconfig names the program, as for kubectl
            [plugin["command"], *(plugin.get("args") or [])],
            env={**os.environ, **extra, "KUBERNETES_EXEC_INFO": json.dumps(question)},
            stdout=subprocess.PIPE,
            timeout=_PLUGIN_SECONDS,
            check=True,
        )
        status = json.loads(answer.stdout)["status"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise LoginError(
            f"the log-in plug-in '{plugin.get('command')}' of the kubeconfig failed: try kubectl"
        ) from error
    return replace(
        info,
        token=status.get("token"),
        certificate_data=status.get("clientCertificateData"),
        private_key_data=status.get("clientKeyData"),
    )
