"""Whoever carries a resource tells its revision; who must not be read, or is not there, is passed over."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from tests.unit.operator.test_api import status, talking_to

from homeroom.operator.api import UnavailableError
from homeroom.operator.gitops import Revisions
from homeroom.reconcile.ports import UNKNOWN_REVISION, Object

FLUX = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/lakeside"
ARGO = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/lakeside"
BY_FLUX = {"kustomize.toolkit.fluxcd.io/name": "lakeside", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
TRACKING = "argocd.argoproj.io/tracking-id"
BY_ARGO = {TRACKING: "lakeside:homeroom.dev/LearningApp:n/kolibri"}
OURS = {"homeroom.dev/revision": "by hand"}


def app(*, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None) -> Object:
    metadata = {"name": "kolibri", "namespace": "n", "labels": labels, "annotations": annotations}
    return {"apiVersion": "homeroom.dev/v1alpha1", "kind": "LearningApp", "metadata": metadata}


async def told(carriers: dict[str, Any], *objects: Object, code: int = 404) -> str:
    """The revision, where the API server has these carriers (path -> status), and answers anything else with `code`."""
    revision, _ = await both(carriers, *objects, code=code)
    return revision


async def both(carriers: dict[str, Any], *objects: Object, code: int = 404) -> tuple[str, list[str]]:
    """As `told`, and what was asked for."""
    asked: list[str] = []

    def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path in carriers:
            return web.json_response({"status": carriers[request.path]})
        return status(code, "no")

    async with talking_to(answer) as api:
        return await Revisions(api, argocd_namespace="argocd").of(objects), asked


@pytest.mark.parametrize(
    ("carrier", "revision"),
    [
        ({"lastAttemptedRevision": "main@sha1:b", "lastAppliedRevision": "main@sha1:a"}, "main@sha1:b"),
        ({"lastAppliedRevision": "main@sha1:a"}, "main@sha1:a"),
        ({}, "by hand"),
        (None, "by hand"),
    ],
)
async def test_flux_tells_what_it_is_applying_now(carrier: dict[str, str] | None, revision: str) -> None:
    assert await told({FLUX: carrier}, app(labels=BY_FLUX, annotations=OURS)) == revision


@pytest.mark.parametrize(
    ("carrier", "revision"),
    [
        ({"operationState": {"syncResult": {"revision": "b"}}, "sync": {"revision": "c"}}, "b"),
        ({"operationState": {"operation": {"sync": {"revision": "b"}}}, "sync": {"revision": "a"}}, "b"),
        ({"operationState": {"syncResult": {"revisions": ["b", "c"]}}}, "b, c"),
        ({"sync": {"revision": "a"}}, "a"),
        ({"sync": None, "operationState": None}, "by hand"),
    ],
)
async def test_argo_cd_tells_what_it_is_applying_now(carrier: dict[str, Any], revision: str) -> None:
    assert await told({ARGO: carrier}, app(annotations={**BY_ARGO, **OURS})) == revision


async def test_an_application_may_lie_in_another_namespace() -> None:
    elsewhere = ARGO.replace("argocd", "teams")
    mark = {TRACKING: "teams_lakeside:homeroom.dev/LearningApp:n/kolibri"}
    assert await told({elsewhere: {"sync": {"revision": "a"}}}, app(annotations=mark)) == "a"


async def test_the_copied_mark_of_another_object_and_no_name_at_all_are_not_followed() -> None:
    for mark in (
        "lakeside:homeroom.dev/LearningApp:n/other",
        "lakeside",
        "../../secrets:homeroom.dev/LearningApp:n/kolibri",
        "..:homeroom.dev/LearningApp:n/kolibri",
        ":homeroom.dev/LearningApp:n/kolibri",
    ):
        assert await both({}, app(annotations={TRACKING: mark})) == (UNKNOWN_REVISION, [])


async def test_an_application_that_only_has_the_name_of_a_label_is_not_believed() -> None:
    labelled = app(labels={"app.kubernetes.io/instance": "lakeside"}, annotations=OURS)
    listed = {"group": "homeroom.dev", "kind": "LearningApp", "namespace": "n", "name": "kolibri"}
    sync = {"sync": {"revision": "a"}}
    assert await told({ARGO: {**sync, "resources": [listed]}}, labelled) == "a"
    assert await told({ARGO: {**sync, "resources": [{**listed, "name": "other"}]}}, labelled) == "by hand"
    assert await told({ARGO: sync}, labelled) == "by hand"


@pytest.mark.parametrize("code", [403, 404])
async def test_without_the_right_or_the_kind_our_own_annotation_counts(code: int) -> None:
    marked = app(labels=BY_FLUX, annotations={**BY_ARGO, **OURS})
    assert await both({}, marked, code=code) == ("by hand", [FLUX, ARGO])
    assert await told({}, app(labels=BY_FLUX), code=code) == UNKNOWN_REVISION
    assert await told({}, app()) == UNKNOWN_REVISION


async def test_a_missing_right_is_logged_once() -> None:
    async with talking_to(lambda _: status(403, "forbidden")) as api:
        revisions = Revisions(api, argocd_namespace="argocd")
        with capture_logs() as logs:
            for _ in range(3):
                assert await revisions.of([app(labels=BY_FLUX)]) == UNKNOWN_REVISION
    assert [entry["log_level"] for entry in logs] == ["debug"]


async def test_each_carrier_is_asked_once_and_several_revisions_are_joined() -> None:
    one, other = app(labels=BY_FLUX), app(annotations={"homeroom.dev/revision": "a"})
    carriers = {FLUX: {"lastAttemptedRevision": "b"}}
    assert await both(carriers, one, other, one, app()) == ("a, b", [FLUX])
    assert len(await told({}, app(annotations={"homeroom.dev/revision": "a" * 300}))) == 256


async def test_no_answer_is_no_revision() -> None:
    async with talking_to(lambda _: status(503, "soon", **{"Retry-After": "30"})) as api:
        with pytest.raises(UnavailableError):
            await Revisions(api, argocd_namespace="argocd").of([app(labels=BY_FLUX)])
