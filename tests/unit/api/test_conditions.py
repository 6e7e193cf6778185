from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.api import Condition, ConditionStatus, DistrictStatus, Reason, conditions
from homeroom.api.conditions import ConditionType

T0 = datetime(2026, 8, 31, 8, 0, tzinfo=UTC)

State = Callable[[DistrictStatus, int, datetime], DistrictStatus]

STATES: dict[str, State] = {
    "working": lambda s, g, now: conditions.working(s, generation=g, message="reading", now=now),
    "done": lambda s, g, now: conditions.done(s, generation=g, message="all is well", now=now),
    "failed_retrying": lambda s, g, now: conditions.failed_retrying(
        s, generation=g, reason=Reason.SOURCE_UNAVAILABLE, message="no answer", now=now
    ),
    "failed": lambda s, g, now: conditions.failed(
        s, generation=g, reason=Reason.INVALID_SPEC, message="wrong", now=now
    ),
    "suspended": lambda s, g, now: conditions.suspended(s, generation=g, now=now),
    "deleting": lambda s, g, now: conditions.deleting(s, generation=g, message="cleaning up", now=now),
}
FINISHED = {"done", "failed", "suspended"}


def _object(status: DistrictStatus, generation: int) -> dict[str, object]:
    return {"metadata": {"generation": generation}, "status": status.document()}


@pytest.mark.parametrize(
    ("name", "ready", "negative", "observed", "kstatus"),
    [
        ("working", "Unknown", "Reconciling", -1, "InProgress"),
        ("done", "True", None, 2, "Current"),
        ("failed_retrying", "False", "Reconciling", -1, "InProgress"),
        ("failed", "False", "Stalled", 2, "Failed"),
        ("suspended", "False", "Stalled", 2, "Failed"),
        ("deleting", "False", "Reconciling", -1, "InProgress"),
    ],
)
def test_each_state_is_as_the_table_says(
    name: str, ready: str, negative: str | None, observed: int, kstatus: str
) -> None:
    status = STATES[name](DistrictStatus(), 2, T0)
    found = {condition.type: condition.status.value for condition in status.conditions}
    assert found == {"Ready": ready} | ({negative: "True"} if negative else {})
    assert status.observed_generation == observed
    assert _kstatus(_object(status, 2)) == kstatus


def test_an_object_that_nobody_has_seen_is_in_progress() -> None:
    assert _kstatus(_object(DistrictStatus(), 1)) == "InProgress"


@given(st.lists(st.tuples(st.sampled_from(sorted(STATES)), st.integers(0, 1), st.integers(0, 5)), min_size=1))
def test_no_sequence_of_states_breaks_a_rule(steps: list[tuple[str, int, int]]) -> None:
    status, generation, now = DistrictStatus(), 1, T0
    for name, edits, hours in steps:
        generation, now = generation + edits, now + timedelta(hours=hours)
        before, status = status, STATES[name](status, generation, now)
        assert conditions.violations(_object(status, generation), final=name != "working") == []
        assert STATES[name](status, generation, now + timedelta(days=1)) == status  # nothing new is nothing to write
        for condition in status.conditions:
            old = conditions.find(before.conditions, condition.type)
            flipped = old is None or old.status is not condition.status
            assert condition.last_transition_time == (now if flipped else old.last_transition_time)  # type: ignore[union-attr]  # flipped covers None
        assert status.observed_generation == (generation if name in FINISHED else before.observed_generation)


def test_conditions_of_others_stay_as_they_are_behind_ours() -> None:
    other = Condition(
        type="example.com/Audited",
        status=ConditionStatus.TRUE,
        observed_generation=1,
        last_transition_time=T0,
        reason="Seen",
        message="",
    )
    status = DistrictStatus(conditions=(other,))
    for state in STATES.values():
        status = state(status, 1, T0)
        assert status.conditions[-1] == other
    assert status.conditions[0].type == "Reconciling"


def test_a_positive_condition_of_ours_stands_beside_ready() -> None:
    status = conditions.with_condition(
        DistrictStatus(),
        type_=ConditionType.RECORDS_VALID,
        value=False,
        reason=Reason.RECORDS_QUARANTINED,
        message="3 records are quarantined",
        generation=4,
        now=T0,
    )
    status = STATES["done"](status, 4, T0)
    assert [condition.type for condition in status.conditions] == ["Ready", "RecordsValid"]
    assert [condition.status.value for condition in status.conditions] == ["True", "False"]
    assert conditions.violations(_object(status, 4), final=True) == []


def test_a_message_is_cut_to_what_the_api_takes() -> None:
    status = conditions.done(DistrictStatus(), generation=1, message="x" * 40_000, now=T0)
    assert len(status.conditions[0].message) == 32_768
    assert status.conditions[0].message.endswith("x...")


def _raw(*types: tuple[str, str], generation: int = 2, observed: int = 2, of: int = 2) -> dict[str, object]:
    items: list[dict[str, Any]] = [{"type": name, "status": value, "observedGeneration": of} for name, value in types]
    return {
        "metadata": {"generation": generation},
        "status": {"observedGeneration": observed, "conditions": items},
    }


@pytest.mark.parametrize(
    ("obj", "final", "rules"),
    [
        (_raw(("Ready", "True")), True, []),
        (_raw(("Stalled", "True"), ("Ready", "True")), True, ["FAIL1", "FAIL4", "WARN1"]),
        (_raw(), False, ["FAIL2"]),
        ({}, True, ["FAIL2"]),
        (_raw(("Reconciling", "True"), ("Ready", "Unknown")), True, ["FAIL3"]),
        (_raw(("Reconciling", "True"), ("Ready", "Unknown")), False, []),
        (_raw(("Stalled", "True"), ("Ready", "Unknown")), True, ["FAIL4"]),
        (_raw(("Stalled", "True"), ("Reconciling", "True"), ("Ready", "False")), True, ["FAIL5"]),
        (_raw(("Ready", "False"), observed=3), True, ["FAIL6"]),
        (_raw(("Ready", "True"), observed=1), True, ["FAIL7", "FAIL9"]),
        (_raw(("Ready", "True"), of=1), True, ["FAIL8", "FAIL9"]),
        (_raw(("Ready", "False"), observed=1, of=1), True, []),
        (_raw(("Ready", "Unknown")), False, ["FAIL11"]),
        (_raw(("Reconciling", "False"), ("Ready", "True")), True, ["WARN1", "WARN3"]),
        (_raw(("Stalled", "False"), ("Ready", "False")), True, ["WARN4"]),
        (_raw(("Ready", "False"), of=0), True, ["WARN5"]),
    ],
)  # fmt: skip
def test_each_rule_is_noticed(obj: dict[str, object], final: bool, rules: list[str]) -> None:  # noqa: FBT001 - a table
    assert [text.partition(":")[0] for text in conditions.violations(obj, final=final)] == rules


def _kstatus(obj: dict[str, Any]) -> str:
    """The algorithm of kstatus for kinds that it does not know (domain rule, not our code)."""
    status = obj["status"]
    if status["observedGeneration"] != obj["metadata"]["generation"]:
        return "InProgress"
    for condition in status["conditions"]:
        if (condition["type"], condition["status"]) == ("Reconciling", "True"):
            return "InProgress"
        if (condition["type"], condition["status"]) == ("Stalled", "True"):
            return "Failed"
    ready = [condition["status"] for condition in status["conditions"] if condition["type"] == "Ready"]
    return "Current" if ready in ([], ["True"]) else "InProgress"
