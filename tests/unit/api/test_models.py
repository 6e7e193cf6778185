from __future__ import annotations

import copy
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from homeroom.api import (
    API_VERSION,
    KINDS,
    MAX_LINKS,
    Condition,
    ConditionStatus,
    District,
    Duration,
    DurationUnit,
    InvalidFieldsError,
    InvalidSpecError,
    LabelSelector,
    LearningApp,
    MatchKey,
    MatchTerm,
    ObjectMeta,
    Operator,
    PersonRemoval,
    Policy,
    School,
    SharingRule,
    StudentKey,
    SyncMode,
    parse,
)

Document = dict[str, Any]


def _district(**spec: object) -> Document:
    source = {"oneRosterCSV": {"url": "https://sis.example/export.zip"}}
    return _object("District", {"timeZone": "Europe/Amsterdam", "source": source, **spec})


def _object(kind: str, spec: Document, **more: object) -> Document:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "lakeside"}, "spec": spec, **more}


_VALID: dict[str, Document] = {
    "District": _district(),
    "LearningApp": _object(
        "LearningApp",
        {
            "districtRef": {"name": "lakeside"},
            "target": {"kolibri": {"url": "http://kolibri.example", "secretRef": {"name": "kolibri"}}},
        },
    ),
    "SharingRule": _object(
        "SharingRule",
        {"appRef": {"name": "kolibri"}, "share": "Sections", "match": [{"key": "grade", "operator": "Exists"}]},
    ),
    "School": _object("School", {"districtRef": {"name": "lakeside"}, "sourcedId": "s-001"}),
    "Approval": _object(
        "Approval",
        {"targetRef": {"kind": "LearningApp", "name": "kolibri"}, "hold": "9f3c1a-7k2m", "reason": "school 3 closed"},
    ),
    "LicensePool": _object(
        "LicensePool",
        {
            "seats": 1000,
            "timeZone": "Europe/Stockholm",
            "unitRegistry": {"type": "Inline", "units": [{"code": "01098360", "name": "Rowan Hill"}]},
            "allowedNamespaces": {"matchLabels": {"municipality": "1285"}},
        },
    ),
    "SchoolLicense": _object(
        "SchoolLicense",
        {
            "poolRef": {"name": "kolibri-seats"},
            "schoolUnit": "01098360",
            "seats": 120,
            "access": "Automatic",
            "districtRef": {"name": "lakeside"},
        },
    ),
    "ChatPlatform": _object(
        "ChatPlatform",
        {
            "matrix": {
                "homeserver": "https://matrix.example", "serverName": "school.example", "secretRef": {"name": "matrix"}
            },
            "identity": {"type": "Template", "template": "@{username}:school.example"},
        },
    ),
    "ChatPolicy": _object(
        "ChatPolicy",
        {
            "districtRef": {"name": "lakeside"},
            "platformRef": {"name": "matrix"},
            "match": [{"key": "school", "operator": "In", "values": ["s-001"]}],
            "chats": [{"type": "StaffRoom"}, {"type": "Subject", "members": ["Teachers"]}],
        },
    ),
    "Chat": _object(
        "Chat",
        {
            "districtRef": {"name": "lakeside"},
            "platformRef": {"name": "matrix"},
            "name": "School newspaper",
            "members": {"people": ["u-1"], "classes": ["c-1"], "roles": [{"role": "Staff", "school": "s-001"}]},
            "admins": ["t-1"],
            "join": "Link",
            "link": {"admits": ["Students"]},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_is_read_into_its_kind_and_written_back(kind: str) -> None:
    resource = parse(_VALID[kind])
    assert type(resource) is KINDS[kind]
    assert parse(resource.document()) == resource


def test_defaults_are_those_of_the_design() -> None:
    district, app, rule = (parse(_VALID[kind]) for kind in ("District", "LearningApp", "SharingRule"))
    assert isinstance(district, District)
    assert (district.spec.sync.mode, district.spec.sync.schedule) == (SyncMode.SCHEDULE, "0 2 * * *")
    assert (district.spec.homeroom.class_types, district.spec.homeroom.subjects) == (("homeroom",), ())
    assert isinstance(app, LearningApp)
    assert (str(app.spec.interval), app.spec.policy) == ("1h", Policy.SYNC)
    removal = app.spec.removal
    assert (removal.students, removal.teachers, removal.administrators) == (
        PersonRemoval.SUSPEND,
        PersonRemoval.KEEP_ACCOUNT,
        PersonRemoval.KEEP,
    )
    assert isinstance(rule, SharingRule)
    assert not rule.spec.share_everything


def test_every_wrong_field_is_named() -> None:
    document = _district(timeZone="Mars/Olympus", sync={"mode": "Interval", "interval": "1s"}, color="red")
    document["spec"]["source"]["oneRosterCSV"]["url"] = "https://somebody:hunter2@sis.example"
    with pytest.raises(InvalidFieldsError) as caught:
        parse(document)
    assert set(caught.value.fields) == {
        ("spec", "timeZone"),
        ("spec", "sync", "interval"),
        ("spec", "color"),
        ("spec", "source", "oneRosterCSV", "url"),
    }
    assert "spec.sync.interval: must be at least 10 seconds and not in months, not '1s'" in caught.value.message
    assert "hunter2" not in caught.value.message
    assert caught.value.reason == "InvalidSpec"


def test_all_broken_rules_of_an_object_are_told_at_once() -> None:
    document = _object("SharingRule", {"appRef": {"name": "kolibri"}})
    with pytest.raises(InvalidFieldsError) as caught:
        parse(document)
    assert caught.value.message == (
        "spec: must have exactly one of `template` and `share`; an Include without `match` shares the whole district: "
        "say so with `shareEverything: true`, or add `match`"
    )


def test_a_subscription_is_read_and_written_as_it_stands() -> None:
    bought = {"students": 5, "schools": ["s-2", "s-1"], "grades": ["KG", "01"], "goLive": "2026-09-01"}
    document = copy.deepcopy(_VALID["LearningApp"])
    document["spec"]["subscription"] = bought
    app = parse(document)
    assert isinstance(app, LearningApp)
    assert app.spec.subscription is not None
    assert app.spec.subscription.go_live == date(2026, 9, 1)
    assert app.spec.subscription.document() == bought


@pytest.mark.parametrize(
    "day", ["", "2026-9-1", "20260901", "2026-W36-2", "2026-02-30", "2026-09-01T00:00:00Z", 1788220800]
)
def test_a_day_has_one_form(day: object) -> None:
    document = copy.deepcopy(_VALID["LearningApp"])
    document["spec"]["subscription"] = {"goLive": day}
    with pytest.raises(InvalidFieldsError, match="must be a date like '2026-09-01'"):
        parse(document)


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "1", "b": "1"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["2", "1"]}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "In", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, False),
    ],
)
def test_labels_are_selected_as_in_kubernetes(selector: Document, fits: bool) -> None:  # noqa: FBT001 - parametrized
    assert LabelSelector.model_validate(selector).fits({"a": "1"}) is fits


def test_a_code_stands_once_in_a_list_of_units() -> None:
    document = copy.deepcopy(_VALID["LicensePool"])
    document["spec"]["unitRegistry"]["units"] *= 2
    with pytest.raises(InvalidFieldsError, match="must not have a code twice"):
        parse(document)


def test_a_rule_is_checked_also_where_a_model_is_made_by_hand() -> None:
    with pytest.raises(ValidationError, match="takes no `values`"):
        MatchTerm(key=MatchKey.GRADE, operator=Operator.EXISTS, values=("01",))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"kind": "District"},
        {"kind": "District", "apiVersion": "homeroom.dev/v2"},
        {"kind": "Pod", "apiVersion": "v1"},
        {"kind": ["District"], "apiVersion": API_VERSION},
    ],
)
def test_other_kinds_are_refused(document: Document) -> None:
    with pytest.raises(InvalidSpecError, match=r"is not a kind of homeroom\.dev/v1alpha1"):
        parse(document)


def test_a_status_of_a_newer_release_does_not_make_the_spec_invalid() -> None:
    document = _district() | {"status": {"observedGeneration": 3, "weather": "fine"}}
    assert parse(document).status.observed_generation == -1


def test_metadata_that_is_not_ours_is_let_pass() -> None:
    document = _district()
    document["metadata"] |= {
        "managedFields": [{}],
        "ownerReferences": [{}],
        "annotations": {"homeroom.dev/reconcile-at": "x" * 999},
    }
    metadata = parse(document).metadata
    assert metadata.reconcile_at == "x" * 256
    assert metadata.full_reconcile_at is None  # fmt: skip


def test_reading_does_not_change_the_document() -> None:
    for document in _VALID.values():
        before = copy.deepcopy(document)
        parse(document)
        assert document == before


def test_models_cannot_be_changed() -> None:
    district = parse(_district())
    with pytest.raises(ValidationError, match="frozen"):
        district.spec.suspend = True  # type: ignore[attr-defined]  # that it is refused at run time too is the point


def test_times_are_written_as_kubernetes_writes_them() -> None:
    moment = datetime(2026, 6, 20, 12, 30, 15, 987654, tzinfo=timezone(timedelta(hours=2)))
    condition = Condition(
        type="Ready", status=ConditionStatus.TRUE, last_transition_time=moment, reason="Succeeded", message=""
    )
    assert condition.document()["lastTransitionTime"] == "2026-06-20T10:30:15Z"
    assert Condition.model_validate(condition.document()) == condition


def test_a_school_has_no_room_for_people() -> None:
    fields = set(School.model_fields["spec"].annotation.model_fields)  # type: ignore[union-attr]  # it is a model
    assert fields == {"district_ref", "sourced_id", "display_name"}


def test_metadata_may_be_made_by_hand() -> None:
    assert ObjectMeta(name="a").generation == 0


@pytest.mark.parametrize(
    "schedule", ["0 2 * * *", "*/15 7-18 * * MON-FRI", "0,30 2 1,15 JAN-JUN 0", "5/10 * * * 7", "0 0 29 2 *"]
)
def test_a_schedule_is_that_of_cron(schedule: str) -> None:
    district = parse(_district(sync={"mode": "Schedule", "schedule": schedule}))
    assert isinstance(district, District)
    assert district.spec.sync.schedule == schedule


@pytest.mark.parametrize("text", ["90s", "30m", "12h", "30d", "3mo", "1s", "9999h", "0s"])
def test_a_duration_keeps_its_text(text: str) -> None:
    assert str(Duration.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "s",
        "0m",
        "00s",
        "01s",
        "-1s",
        "+1s",
        "1.5h",
        "1h30m",
        "1 h",
        "1H",
        "1M",
        "1w",
        "10000s",
        "1s\n",
        "\u0661s",
    ],
)
def test_nothing_else_is_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="must be a number and a unit"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(30)),
    ],
)
def test_a_duration_has_a_length(text: str, expected: timedelta) -> None:
    assert Duration.parse(text).timedelta == expected


def test_months_have_no_length() -> None:
    with pytest.raises(ValueError, match="months differ"):
        _ = Duration.parse("3mo").timedelta


@pytest.mark.parametrize(
    ("start", "text", "end"),
    [
        ((2026, 1, 31), "1mo", (2026, 2, 28)),
        ((2028, 1, 31), "1mo", (2028, 2, 29)),
        ((2026, 11, 30), "3mo", (2027, 2, 28)),
        ((2026, 12, 1), "12mo", (2027, 12, 1)),
        ((2026, 2, 28), "1d", (2026, 3, 1)),
    ],
)
def test_months_are_those_of_the_calendar(start: tuple[int, int, int], text: str, end: tuple[int, int, int]) -> None:
    assert Duration.parse(text).after(datetime(*start, tzinfo=UTC)) == datetime(*end, tzinfo=UTC)


@given(
    st.builds(Duration, amount=st.integers(1, 9999), unit=st.sampled_from(DurationUnit)),
    st.integers(0, 100 * 366).map(lambda days: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days)),
)
def test_every_duration_leads_forward_and_is_read_back(duration: Duration, moment: datetime) -> None:
    assert duration.after(moment) > moment
    assert Duration.parse(str(duration)) == duration


def test_identity_links_are_written_as_they_were_read() -> None:
    document = _district(identity={"studentKey": "Identifier", "links": [{"from": "u-17", "to": "p-0042"}]})
    district = parse(document)
    assert isinstance(district, District)
    identity = district.spec.identity
    assert [(link.from_, link.to) for link in identity.links] == [("u-17", "p-0042")]
    assert identity.links_from is None
    assert identity.document() == document["spec"]["identity"]
    plain = parse(_VALID["District"])
    assert isinstance(plain, District)
    assert plain.spec.identity.student_key is StudentKey.SOURCED_ID


def test_there_are_so_many_links_and_no_more() -> None:
    links = [{"from": f"u-{n}", "to": f"p-{n}"} for n in range(MAX_LINKS + 1)]
    parse(_district(identity={"links": links[:-1]}))
    with pytest.raises(InvalidFieldsError, match=r"spec\.identity\.links"):
        parse(_district(identity={"links": links}))
