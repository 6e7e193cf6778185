"""`homeroom web` as a process: what it wants to be told, that it serves and stops in peace, and how it is deployed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints
from urllib.request import urlopen

import pytest
import typer
import yaml

from homeroom.cli import web

from .conftest import EXAMPLES, Homeroom

COMPONENT = EXAMPLES.parent / "manifests" / "components" / "web" / "kustomization.yaml"
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture
def told(tmp_path: Path) -> list[str]:
    """Options of a service for this machine."""
    url = tmp_path / "url"
    url.write_text("smtp+plain://127.0.0.1:25")
    return ["--public-url", "http://127.0.0.1:8081", "--smtp-url-file", str(url), "--mail-from", "a@b.example"]


def test_it_serves_and_stops_in_peace(data: Path, told: list[str]) -> None:
    command = [sys.executable, "-m", "homeroom.cli", "web", *told, "--data", str(data), "--listen", "127.0.0.1:0"]
    environment = {**os.environ, "HOMEROOM_STORE": f"sqlite:///{data / 'homeroom.db'}"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        lines = (json.loads(line) for line in process.stderr)
        port = next(line["port"] for line in lines if line["event"] == "serving")
        for path, words in (
            ("readyz", b"ok\n"),
            ("livez", b"ok\n"),
            ("connect", b"<h1>Connect to a school licence</h1>"),
        ):
            with urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60) as answer:
                assert words in answer.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    "url",
    [
        "licences.example",
        "http://licences.example",  # what is sent there, everybody on the way reads
        "https://licences.example/connect",
        "https://me@licences.example",
        "https://",
        "ftp://licences.example",
        "https://licences.example/?a=b",
        "https://licences.example:x",
    ],
)
def test_the_address_must_be_one_that_browsers_call_an_origin(homeroom: Homeroom, told: list[str], url: str) -> None:
    said = homeroom("web", *told, "--public-url", url)
    assert said.code == 2
    assert "must be like https://licences.example" in said.err


@pytest.mark.parametrize(
    "url", ["https://licences.example", "https://licences.example/", "https://LICENCES.example:443"]
)
def test_it_is_written_as_browsers_write_it(url: str) -> None:
    assert web._origin(url) == "https://licences.example"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--trusted-proxy", "everybody"], "must be an address or a network"),
        (["--trusted-proxy", "10.0.0.1/8"], "must be an address or a network"),
        (["--trusted-proxy", "0.0.0.0/0"], "is everybody"),
        (["--trusted-proxy", "::/0"], "is everybody"),
        (["--listen", "8081"], "must be an address and a port"),
    ],
)
def test_what_cannot_be_is_refused(homeroom: Homeroom, told: list[str], options: list[str], words: str) -> None:
    said = homeroom("web", *told, *options)
    assert (said.code, words in said.err) == (2, True)


def test_without_a_mail_server_or_a_store_there_is_nothing_to_serve(homeroom: Homeroom, told: list[str]) -> None:
    assert "is needed: links are mailed" in homeroom("web", *told[:2]).err
    assert "there is no store at" in homeroom("web", *told).err


def pod() -> Any:
    (patch,) = yaml.safe_load(COMPONENT.read_text())["patches"]
    return yaml.safe_load(patch["patch"])["spec"]["template"]["spec"]


def test_the_container_has_no_access_to_the_cluster() -> None:
    spec = pod()
    assert spec["automountServiceAccountToken"] is False
    mounted = {one["name"]: {mount["mountPath"] for mount in one["volumeMounts"]} for one in spec["containers"]}
    assert TOKEN in mounted["operator"]
    assert mounted["web"] == {"/var/lib/homeroom", "/etc/homeroom/mail", "/tmp"}


def test_the_component_sets_only_what_there_is() -> None:
    component = yaml.safe_load(COMPONENT.read_text())
    (container,) = (one for one in pod()["containers"] if one["name"] == "web")
    known = {
        hint.envvar
        for annotation in get_type_hints(web.command, include_extras=True).values()
        for hint in getattr(annotation, "__metadata__", ())
        if isinstance(hint, typer.models.OptionInfo)
    }
    literals = [text.partition("=")[0] for one in component["configMapGenerator"] for text in one["literals"]]
    remarks = re.findall(r"(HOMEROOM_\w+)=", COMPONENT.read_text())
    assert {*literals, *remarks, *(variable["name"] for variable in container["env"])} <= known
