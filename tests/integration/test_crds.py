"""The CRDs and the documentation, against the real API server and the real kubectl."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from homeroom.api import API_VERSION, KINDS, DistrictStatus, Reason, RecordCounts, SnapshotStatus, conditions, parse
from homeroom.api.common import Status
from homeroom.api.yaml import load_all
from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.server import ServerError

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PAGES = {kind: (ROOT / "docs" / "resources" / f"{kind.lower()}.md").read_text() for kind in KINDS}
NOW = datetime(2026, 8, 31, 8, 0, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def crds(controlplane: ControlPlane) -> None:
    """Our CRDs, applied as a user would apply them."""
    controlplane.kubectl("apply", "--server-side", "--validate=strict", f"--kustomize={ROOT / 'crds'}")
    names = [f"crd/{model.plural}.homeroom.dev" for model in KINDS.values()]
    controlplane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)


def _create(plane: ControlPlane, namespace: str, document: Mapping[str, Any], *, for_good: bool = True) -> None:
    """What `kubectl create --validate=strict` does; not `for_good`: the API server judges, and stores nothing."""
    version, kind = document["apiVersion"], document["kind"]
    served = plane.read(f"/apis/{version}" if "/" in version else f"/api/{version}")["resources"]
    found = next(one for one in served if one["kind"] == kind and "/" not in one["name"])
    where = f"/namespaces/{namespace}" if found["namespaced"] else ""
    strict = "?fieldValidation=Strict" + ("" if for_good else "&dryRun=All")
    base = "/apis" if "/" in version else "/api"
    plane.ask("POST", f"{base}/{version}{where}/{found['name']}{strict}", document)


def _path(namespace: str, kind: str, name: str = "") -> str:
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{KINDS[kind].plural}/{name}".removesuffix("/")


def _get(plane: ControlPlane, namespace: str, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = plane.read(_path(namespace, kind, name))
    return found


def _write_status(plane: ControlPlane, namespace: str, kind: str, name: str, status: Status) -> None:
    now = _get(plane, namespace, kind, name)
    whole = {**now, "status": status.document()}
    plane.ask("PUT", f"{_path(namespace, kind, name)}/status?fieldValidation=Strict", whole)


def _sample(kind: str) -> dict[str, Any]:
    """The first sample of a kind's page."""
    return dict(load_all(next(_samples(PAGES[kind])), file=kind)[0].data)


def _samples(page: str) -> Iterator[str]:
    for match in re.finditer(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        yield match[1]


def _texts() -> dict[str, str]:
    """Every YAML of the documentation and the examples: name -> text."""
    pages = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
    texts = {
        f"{page.relative_to(ROOT)}-{index}": sample
        for page in pages
        for index, sample in enumerate(_samples(page.read_text()), start=1)
    }
    files = sorted(ROOT.glob("examples/**/*.yaml"))
    return texts | {str(file.relative_to(ROOT)): file.read_text() for file in files if file.stem != "kustomization"}


_TEXTS = _texts()


@pytest.mark.parametrize("name", _TEXTS)
def test_every_sample_is_accepted(controlplane: ControlPlane, name: str) -> None:
    for read in load_all(_TEXTS[name], file=name):
        document = dict[str, Any](read.data)
        # It may name a namespace that is not there; which one it is does not matter here.
        document["metadata"] = {key: value for key, value in document["metadata"].items() if key != "namespace"}
        _create(controlplane, "default", document, for_good=False)


def test_our_yaml_is_that_of_kubectl(controlplane: ControlPlane, tmp_path: Path) -> None:
    texts = {**_TEXTS, "tricky.yaml": (ROOT / "tests" / "unit" / "api" / "tricky.yaml").read_text()}
    files = [tmp_path / f"{number}.yaml" for number in range(len(texts))]
    for file, text in zip(files, texts.values(), strict=True):
        file.write_text(text)
    ours = [(name, document.data) for name, text in texts.items() for document in load_all(text, file=name)]
    said = controlplane.kubectl(
        "create", "--dry-run=client", "--validate=false", "--output=json", *(f"--filename={file}" for file in files)
    )
    theirs = list(_objects(said))
    for (name, data), other in zip(ours, theirs, strict=True):
        if "namespace" not in data["metadata"]:  # type: ignore[operator]  # samples are complete objects
            other["metadata"].pop("namespace", None)
        assert repr(_sorted(data)) == repr(_sorted(other)), name  # tells 1 from true


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The objects that kubectl prints one after the other; its numbers beyond 64 bits are floats."""
    decoder = json.JSONDecoder(parse_int=lambda digits: _number(int(digits)))
    while text := text.strip():
        found, end = decoder.raw_decode(text)
        yield found
        text = text[end:]


def _number(value: int) -> float:
    return value if -(2**63) <= value < 2**63 else float(value)


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_page_calls_refused_is_refused(controlplane: ControlPlane, kind: str) -> None:
    """tests/unit/api/test_validate.py finds the same rows without an API server."""
    changes = re.findall(r"^\| `(\{.*\})` \| (.*) \|$", PAGES[kind], re.MULTILINE)
    assert changes
    rules = {rule.message for rule in _rules(KINDS[kind].model_fields["spec"].annotation)}
    for change, words in changes:
        spec = _merged(_sample(kind)["spec"], load_all(change, file=change)[0].data)
        with pytest.raises(ServerError, match=" refused ") as caught:
            _create(controlplane, "default", {**_sample(kind), "spec": spec}, for_good=False)
        assert words not in rules or words in str(caught.value)


def _merged(value: Any, change: Any) -> Any:
    """A JSON merge patch (RFC 7386)."""
    if not isinstance(change, Mapping):
        return change
    value = value if isinstance(value, Mapping) else {}
    return {
        key: _merged(value.get(key), change[key]) if key in change else value[key]
        for key in {**value, **change}
        if change.get(key, ...) is not None
    }


def _rules(model: Any) -> Iterator[Any]:
    yield from getattr(model, "cel_rules", ())
    for field in getattr(model, "model_fields", {}).values():
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            yield from _rules(inner)


def test_metadata_that_we_call_wrong_is_refused(controlplane: ControlPlane) -> None:
    """The rows of test_metadata_is_checked_too in tests/unit/api/test_validate.py."""
    wrong: list[dict[str, object]] = [
        {"name": "Lakeside"},
        {"name": "a", "labels": {"a": 1}},
        {"name": "a", "annotations": {"a": True}},
        {"name": "a", "lables": {}},
        {"name": "a\n"},
    ]
    for metadata in wrong:
        with pytest.raises(ServerError, match=r"[mM]eta"):
            _create(controlplane, "default", {**_sample("District"), "metadata": metadata}, for_good=False)


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("LearningApp", {"districtRef": {"name": "hillside"}}, "`districtRef` must not change"),
        ("SharingRule", {"appRef": {"name": "other"}}, "`appRef` must not change"),
        ("School", {"districtRef": {"name": "hillside"}}, "`districtRef` and `sourcedId` must not change"),
        ("School", {"sourcedId": "s-002"}, "`districtRef` and `sourcedId` must not change"),
    ],
)
def test_what_must_not_change_cannot(
    controlplane: ControlPlane, namespace: str, kind: str, change: dict[str, Any], words: str
) -> None:
    sample = _sample(kind)
    _create(controlplane, namespace, sample)
    with pytest.raises(ServerError, match=words):
        controlplane.ask("PATCH", _path(namespace, kind, sample["metadata"]["name"]), {"spec": change})


@pytest.mark.parametrize("kind", KINDS)
def test_the_api_server_fills_in_the_defaults_of_the_models(
    controlplane: ControlPlane, namespace: str, kind: str
) -> None:
    sample = _sample(kind)
    _create(controlplane, namespace, sample)
    stored = _get(controlplane, namespace, kind, sample["metadata"]["name"])
    assert stored["status"] == {"observedGeneration": -1}
    assert _without_empty_lists(parse(sample).document()["spec"]) == stored["spec"]
    assert parse(stored).spec == parse(sample).spec


def _without_empty_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _without_empty_lists(item) for key, item in value.items() if item != []}


@pytest.mark.parametrize("state", ["done", "working", "failed_retrying", "failed", "suspended", "deleting"])
def test_every_state_can_be_stored_and_read_back(controlplane: ControlPlane, namespace: str, state: str) -> None:
    _create(controlplane, namespace, _sample("District"))
    make: Mapping[str, Callable[[DistrictStatus], DistrictStatus]] = {
        "done": lambda status: conditions.done(status, generation=1, message="all is well", now=NOW),
        "working": lambda status: conditions.working(status, generation=1, message="reading", now=NOW),
        "failed_retrying": lambda status: conditions.failed_retrying(
            status, generation=1, reason=Reason.SOURCE_UNAVAILABLE, message="no answer", now=NOW
        ),
        "failed": lambda status: conditions.failed(
            status, generation=1, reason=Reason.SOURCE_INVALID, message="x" * 40_000, now=NOW
        ),
        "suspended": lambda status: conditions.suspended(status, generation=1, now=NOW),
        "deleting": lambda status: conditions.deleting(status, generation=1, message="", now=NOW),
    }
    status = make[state](DistrictStatus())
    _write_status(controlplane, namespace, "District", "lakeside", status)
    stored = _get(controlplane, namespace, "District", "lakeside")
    assert parse(stored).status == status
    assert conditions.violations(stored, final=state != "working") == []


def test_get_shows_the_columns(controlplane: ControlPlane, namespace: str) -> None:
    for kind in KINDS:
        _create(controlplane, namespace, _sample(kind))
    snapshot = SnapshotStatus(
        digest="9f3c", accepted_time=NOW, counts=RecordCounts(schools=3, students=280, classes=41)
    )
    status = conditions.done(DistrictStatus(snapshot=snapshot), generation=1, message="all is well", now=NOW)
    _write_status(controlplane, namespace, "District", "lakeside", status)

    def cells(line: str) -> list[str]:
        return re.split(r"\s{2,}", line.strip())

    header, row = controlplane.kubectl("get", "dist", f"--namespace={namespace}").splitlines()
    assert cells(header) == ["NAME", "READY", "SCHOOLS", "STUDENTS", "STATUS", "AGE"]
    assert cells(row)[:-1] == ["lakeside", "True", "3", "280", "all is well"]

    header, row = controlplane.kubectl("get", "dist", f"--namespace={namespace}", "--output=wide").splitlines()
    assert cells(header)[6:] == ["CLASSES", "QUARANTINED", "SNAPSHOT", "SUSPENDED"]
    assert cells(row)[6:] == ["41", "0", "9f3c", "false"]

    every = controlplane.kubectl("get", "homeroom", f"--namespace={namespace}")
    for kind, name in [("district", "lakeside"), ("learningapp", "kolibri"), ("sharingrule", "homerooms")]:
        assert f"{kind}.homeroom.dev/{name} " in every


@pytest.mark.parametrize("kind", KINDS)
def test_the_short_name_works(controlplane: ControlPlane, namespace: str, kind: str) -> None:
    _create(controlplane, namespace, _sample(kind))
    found = controlplane.kubectl("get", KINDS[kind].short_names[0], f"--namespace={namespace}", "--output=name")
    assert found.strip() == f"{kind.lower()}.homeroom.dev/{_sample(kind)['metadata']['name']}"


def test_explain_knows_the_fields(controlplane: ControlPlane) -> None:
    assert 'decides what "today" is' in controlplane.kubectl("explain", "district.spec.timeZone")
