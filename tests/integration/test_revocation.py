"""R20 in a real Kolibri: a revoked licence takes its teachers out of class, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from homeroom.demo.stage import RECORDS, Records, Stage, condition, wait_for

from .stage_fixtures import State, accounts, held

pytestmark = pytest.mark.integration


def coaches(state: State) -> dict[str, set[tuple[str, str]]]:
    """School -> (class, full name) of those who teach it."""
    return {
        school: {(name, who) for name, members in classes.items() for who, role in members if role == "coach"}
        for school, classes in state.items()
    }


def administrators(state: State) -> dict[str, set[tuple[str, str]]]:
    return {school: classes.get("", set()) for school, classes in state.items()}


def declare(stage: Stage, kind: str, name: str, spec: dict[str, Any]) -> None:
    metadata = {"name": name, "namespace": stage.namespace}
    document = {"apiVersion": "homeroom.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
    stage.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(document))


def test_a_revoked_licence_takes_its_teachers_out_of_class_and_leaves_their_accounts(synced: Stage) -> None:
    stage, records = synced, Records(RECORDS)
    schools = {row["sourcedId"]: row["name"] for row in records.rows("orgs", type="school")}
    whole = coaches(held(stage))
    registry = {"type": "Source", "districtRef": {"name": "lakeside"}}
    declare(stage, "LicensePool", "seats", {"seats": 1000, "timeZone": "Europe/Stockholm", "unitRegistry": registry})
    for school in schools:
        access = {"access": "Automatic", "districtRef": {"name": "lakeside"}}
        spec = {"poolRef": {"name": "seats"}, "schoolUnit": school, "seats": 300, **access}
        declare(stage, "SchoolLicense", school, spec)
    wait_for(
        "all are granted",
        lambda: [one.get("status", {}).get("granted") for one in stage.list("schoollicenses")] == [300] * len(schools),
    )
    patch = json.dumps({"spec": {"seating": {"poolRef": {"name": "seats"}}, "removal": {"teachers": "Keep"}}})
    stage.kubectl("patch", "learningapp", "kolibri", "-n", stage.namespace, "--type=merge", "-p", patch)

    def goes_by_seats() -> bool:
        return condition(stage.get("learningapp", "kolibri").get("status", {}), "SeatsKnown") == "True"

    wait_for("the app goes by seats", goes_by_seats, seconds=150, every=0.5)  # an edit has to stand still for a minute
    stage.wait_ready("learningapp", "kolibri")
    before, people = held(stage), accounts(stage)
    assert coaches(before) == whole, "all schools have a licence"

    gone, *_ = schools
    elsewhere = {
        row["userSourcedId"] for row in records.rows("enrollments", role="teacher") if row["schoolSourcedId"] != gone
    }
    names = {
        f"{row['givenName']} {row['familyName']}" for row in records.rows("users") if row["sourcedId"] in elsewhere
    }
    stay = {place for place in coaches(before)[schools[gone]] if place[1] in names}  # connected by another licence
    assert len(stay) < len(coaches(before)[schools[gone]])
    stage.kubectl("delete", "schoollicense", gone, "-n", stage.namespace, "--timeout=60s")
    wait_for("its teachers are out of class", lambda: coaches(held(stage))[schools[gone]] == stay)
    after = held(stage)
    assert coaches(after) == {**coaches(before), schools[gone]: stay}
    assert administrators(after) == administrators(before)
    assert accounts(stage) == people
