"""Who owns what in a target: the same in a rebuilt cluster, another one in every other tenant (safety row 14)."""

from __future__ import annotations

from typing import Any

from homeroom.api import LearningApp, parse
from homeroom.reconcile.connect import Outside


def app(name: str = "kolibri", namespace: str = "lakeside", **meta: Any) -> LearningApp:
    target = {"kolibri": {"url": "https://kolibri.example", "secretRef": {"name": "kolibri"}}}
    found = parse(
        {
            "apiVersion": "homeroom.dev/v1alpha1",
            "kind": "LearningApp",
            "metadata": {"name": name, "namespace": namespace, "generation": 1, "uid": "first", **meta},
            "spec": {"districtRef": {"name": "lakeside"}, "target": target},
        }
    )
    assert isinstance(found, LearningApp)
    return found


def test_a_resource_that_is_made_anew_owns_what_the_old_one_did() -> None:
    here = Outside(owner_id="region-1")
    assert here.owner(app(uid="another", generation=7)) == here.owner(app())


def test_no_two_apps_are_one_owner() -> None:
    here, there = Outside(owner_id="region-1"), Outside(owner_id="region-2")
    owners = [here.owner(app()), here.owner(app("other")), here.owner(app(namespace="hillside")), there.owner(app())]
    assert len(set(owners)) == len(owners)
