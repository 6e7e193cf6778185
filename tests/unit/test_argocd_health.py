"""Our kinds' health in Argo CD: its own test file, each state that the operator writes, the form for argocd-cm."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaRuntime

from homeroom.api import KINDS, Reason, conditions
from homeroom.api.common import GROUP, RootStatus

MANIFESTS = Path(__file__).parents[2] / "manifests" / "argocd"
HEALTH = MANIFESTS / "resource_customizations" / GROUP / "_"
SCRIPT = (HEALTH / "health.lua").read_text()
TESTS = yaml.safe_load((HEALTH / "health_test.yaml").read_text())["tests"]
NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
DONE = conditions.done(RootStatus(), generation=2, message="all is well", now=NOW)


def health(obj: Mapping[str, Any]) -> dict[str, str]:
    """What the script says, run as Argo CD runs it: Lua 5.1 with the base and table libraries only."""
    lua = LuaRuntime(register_eval=False, register_builtins=False)
    for name in ("string", "os", "io", "math", "debug", "package", "require", "coroutine", "python"):
        lua.globals()[name] = None
    lua.globals().obj = lua.table_from(obj, recursive=True)
    return dict(lua.execute(SCRIPT))


def resource(status: RootStatus, *, generation: int = 2, suspend: bool = False) -> dict[str, Any]:
    return {
        "metadata": {"generation": generation},
        "spec": {"suspend": suspend},
        "status": status.document(),
    }


@pytest.mark.parametrize("case", TESTS, ids=lambda case: Path(case["inputPath"]).stem)
def test_argos_own_tests(case: dict[str, Any]) -> None:
    assert health(yaml.safe_load((HEALTH / case["inputPath"]).read_text())) == case["healthStatus"]


def test_every_sample_is_tested() -> None:
    samples = {str(path.relative_to(HEALTH)) for path in HEALTH.glob("testdata/*")}
    assert samples == {case["inputPath"] for case in TESTS}


def test_a_resource_without_status_waits_for_the_operator() -> None:
    assert health({"metadata": {"generation": 1}, "spec": {}})["status"] == "Progressing"


def test_not_seen_yet() -> None:
    assert health(resource(RootStatus()))["status"] == "Progressing"


def test_done_is_healthy_until_the_next_commit() -> None:
    assert health(resource(DONE)) == {"status": "Healthy", "message": "all is well"}
    assert health(resource(DONE, generation=3))["status"] == "Progressing"


def test_a_routine_failure_is_not_degraded_while_it_is_tried_again() -> None:
    status = conditions.failed_retrying(
        DONE, generation=2, reason=Reason.TARGET_UNAVAILABLE, message="no answer", now=NOW
    )
    assert health(resource(status)) == {"status": "Progressing", "message": "no answer"}


def test_work_on_a_new_generation_is_progressing() -> None:
    status = conditions.working(DONE, generation=3, message="planning", now=NOW)
    assert health(resource(status, generation=3)) == {"status": "Progressing", "message": "planning"}


def test_whatever_needs_a_person_is_degraded() -> None:
    status = conditions.failed(DONE, generation=2, reason=Reason.HELD_FOR_APPROVAL, message="look", now=NOW)
    assert health(resource(status)) == {"status": "Degraded", "message": "look"}


def test_suspended_is_suspended_before_and_after_the_operator_has_seen_it() -> None:
    expected = {"status": "Suspended", "message": "spec.suspend is true"}
    assert health(resource(DONE, generation=3, suspend=True)) == expected
    seen = conditions.suspended(DONE, generation=3, now=NOW)
    assert health(resource(seen, generation=3, suspend=True)) == expected


def test_the_config_map_has_the_script_for_every_kind() -> None:
    data = yaml.safe_load((MANIFESTS / "argocd-cm.yaml").read_text())["data"]
    assert data == {f"resource.customizations.health.{GROUP}_{kind}": SCRIPT for kind in KINDS}
