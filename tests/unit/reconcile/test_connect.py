"""The way to sources and targets, as a resource declares it."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from homeroom.api import ChatPlatform, District, Language, Proxy
from homeroom.demo.stage import RECORDS
from homeroom.errors import TerminalError
from homeroom.platforms.matrix import MatrixPlatform
from homeroom.reconcile.connect import Outside
from homeroom.sources import ExportInvalidError
from homeroom.sources.oneroster_csv import OneRosterCSV

PROXY = {
    "url": "http://proxy.example:3128",
    "secretRef": {"name": "proxy"},
    "noProxy": ["sis.internal", ".Example.com", "10.1.2.3", "::1"],
}


@pytest.mark.parametrize(
    ("url", "direct"),
    [
        ("https://sis.internal/export.zip", True),
        ("https://SIS.internal:8443/export.zip", True),
        ("https://sis.internal./export.zip", True),
        ("https://x.sis.internal/export.zip", False),
        ("https://sis.example.com/export.zip", True),
        ("https://example.com/export.zip", False),
        ("https://badexample.com/export.zip", False),
        ("https://10.1.2.3/export.zip", True),
        ("https://[::1]/export.zip", True),
        ("https://10.1.2.34/export.zip", False),
        ("file:///export.zip", False),
    ],
)
def test_what_no_proxy_names_is_reached_directly(url: str, *, direct: bool) -> None:
    assert Proxy.model_validate(PROXY).passed_by(url) is direct


async def test_extension_columns_are_read_of_the_source_as_declared(tmp_path: Path) -> None:
    """A column that the District names has to be there; a District that names none reads none."""
    export = tmp_path / "lakeside" / "export"
    shutil.copytree(RECORDS, export)
    source: dict[str, Any] = {"oneRosterCSV": {"url": "file:export"}}
    document: dict[str, Any] = {
        "apiVersion": "homeroom.dev/v1alpha1",
        "kind": "District",
        "metadata": {"name": "d", "namespace": "lakeside", "uid": "1", "generation": 1},
        "spec": {"timeZone": "UTC", "source": source},
    }

    async def secret(*, namespace: str, name: str) -> Mapping[str, str]:
        raise AssertionError((namespace, name))

    outside = Outside(owner_id="here", file_root=tmp_path)
    plain = await outside.source(District.model_validate(document), secret)
    assert plain.read(export, previous=None).counts["classes"]
    source["oneRosterCSV"]["extensions"] = {"classTeacher": "metadata.classTeacher"}
    declared = await outside.source(District.model_validate(document), secret)
    with pytest.raises(ExportInvalidError, match=r"classes\.csv, column metadata\.classTeacher"):
        declared.read(export, previous=None)


@pytest.mark.parametrize("direct", [True, False])
async def test_the_way_to_the_records_is_as_declared(monkeypatch: pytest.MonkeyPatch, *, direct: bool) -> None:
    """Whatever stands in the proxy's password, its address is still the proxy's."""
    made: dict[str, Any] = {}

    class Source(OneRosterCSV):
        def __init__(self, **how: Any) -> None:
            made.update(how)
            super().__init__(**how)

    async def secret(*, namespace: str, name: str) -> Mapping[str, str]:
        assert (namespace, name) == ("lakeside", "proxy")
        return {"username": "u@s", "password": "p/w:@x"}

    monkeypatch.setattr("homeroom.reconcile.connect.OneRosterCSV", Source)
    host = "sis.internal" if direct else "sis.example"
    document = {
        "apiVersion": "homeroom.dev/v1alpha1",
        "kind": "District",
        "metadata": {"name": "d", "namespace": "lakeside", "uid": "1", "generation": 1},
        "spec": {
            "timeZone": "UTC",
            "source": {"oneRosterCSV": {"url": f"https://{host}/export.zip"}, "proxy": PROXY},
        },
    }
    await Outside(owner_id="here").source(District.model_validate(document), secret)
    assert made["proxy"] == (None if direct else "http://u%40s:p%2Fw%3A%40x@proxy.example:3128")


@pytest.mark.parametrize("direct", [True, False])
async def test_the_way_to_a_chat_server_is_as_declared(monkeypatch: pytest.MonkeyPatch, *, direct: bool) -> None:
    made: dict[str, Any] = {}

    class Platform(MatrixPlatform):
        def __init__(self, **how: Any) -> None:
            made.update(how)
            super().__init__(**how)

    async def secret(*, namespace: str, name: str) -> Mapping[str, str]:
        assert namespace == "lakeside"
        return {"proxy": {"username": "u@s", "password": "p/w:@x"}, "matrix": {"accessToken": "syt_x\n"}}[name]

    monkeypatch.setattr("homeroom.reconcile.connect.MatrixPlatform", Platform)
    authority = trustme.CA()
    document = {
        "apiVersion": "homeroom.dev/v1alpha1",
        "kind": "ChatPlatform",
        "metadata": {"name": "matrix", "namespace": "lakeside"},
        "spec": {
            "matrix": {
                "homeserver": f"https://{'sis.internal' if direct else 'matrix.example'}",
                "serverName": "school.example",
                "secretRef": {"name": "matrix"},
                "roomVersion": 11,
            },
            "identity": {"type": "UserIds", "userIdType": "Matrix"},
            "proxy": PROXY,
            "caBundle": authority.cert_pem.bytes().decode(),
        },
    }
    platform = ChatPlatform.model_validate(document)
    await Outside(owner_id="here").platform(platform, secret, district="lakes", language=Language.DUTCH)
    assert made["proxy"] == (None if direct else "http://u%40s:p%2Fw%3A%40x@proxy.example:3128")
    assert (made["token"], made["room_version"]) == ("syt_x", "11")
    assert made["owner"] == "here/lakeside/lakes"
    assert "school" in made["notice"]
    ours = ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())
    assert ours in made["ssl"].get_ca_certs(binary_form=True)


async def test_a_chat_server_needs_a_token() -> None:
    async def secret(*, namespace: str, name: str) -> Mapping[str, str]:
        del namespace, name
        return {"password": "x"}

    spec = {
        "matrix": {"homeserver": "https://m.example", "serverName": "x.example", "secretRef": {"name": "matrix"}},
        "identity": {"type": "UserIds", "userIdType": "Matrix"},
    }
    document = {"metadata": {"name": "matrix", "namespace": "lakeside"}, "kind": "ChatPlatform", "spec": spec}
    with pytest.raises(TerminalError, match="accessToken") as caught:
        await Outside(owner_id="here").platform(ChatPlatform.model_validate(document), secret, district="")
    assert caught.value.reason == "SecretNotFound"
