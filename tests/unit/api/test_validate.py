from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from homeroom.api import KINDS
from homeroom.api.validate import Problem, validate_texts
from homeroom.api.yaml import load_all

PAGES = Path(__file__).parents[3] / "docs" / "resources"

DISTRICT = """
apiVersion: homeroom.dev/v1alpha1
kind: District
metadata:
  name: lakeside
spec:
  timeZone: Europe/Amsterdam
  source:
    oneRosterCSV: {url: "file:export.zip"}
"""
APP = """
apiVersion: homeroom.dev/v1alpha1
kind: LearningApp
metadata: {name: kolibri}
spec:
  districtRef: {name: lakeside}
  target:
    kolibri: {url: "http://kolibri.example", secretRef: {name: kolibri}}
"""


RULE = """
apiVersion: homeroom.dev/v1alpha1
kind: SharingRule
metadata: {name: all}
spec:
  appRef: {name: kolibri}
  share: Students
  shareEverything: true
"""


def _refused() -> Iterator[Any]:
    """(document, words) of each row below "What is refused"; tests/integration/test_crds.py asks the API server."""
    for kind in KINDS:
        page = (PAGES / f"{kind.lower()}.md").read_text()
        _, sample, _ = re.split(r"^```(?:yaml)?\n", page, maxsplit=2, flags=re.MULTILINE)
        for change, words in re.findall(r"^\| `(\{.*\})` \| (.*) \|$", page, re.MULTILINE):
            document = dict(load_all(sample, file=kind)[0].data)
            document["spec"] = _merged(document["spec"], load_all(change, file=change)[0].data)
            yield pytest.param(document, words, id=f"{kind}-{change}")


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


@pytest.mark.parametrize(("document", "words"), [*_refused()])
def test_what_the_page_calls_refused_is_found_in_its_words(document: dict[str, Any], words: str) -> None:
    found = [problem.text for problem in validate_texts({"x.yaml": json.dumps(document)})]
    assert words in found


def test_a_folder_without_fault_has_no_problems() -> None:
    assert validate_texts({"district.yaml": DISTRICT, "app.yaml": f"{APP}\n---{RULE}"}) == []


def test_objects_of_others_are_let_pass() -> None:
    assert validate_texts({"x": "apiVersion: v1\nkind: Secret\n---\nkind: Kustomization\nresources: [a]\n"}) == []


def test_a_problem_says_where_and_what_and_what_to_do() -> None:
    text = DISTRICT.replace("timeZone: Europe/Amsterdam", "timezone: Europe/Amsterdam")
    missing, unknown = validate_texts({"lakeside/district.yaml": text})
    assert unknown == Problem(
        file="lakeside/district.yaml",
        line=7,
        field="spec.timezone",
        text="is not a field here",
        todo="did you mean `timeZone`?",
    )
    assert str(unknown) == "lakeside/district.yaml:7: spec.timezone: is not a field here (did you mean `timeZone`?)"
    assert (missing.line, missing.field) == (6, "spec.timeZone")


def test_an_unreadable_file_does_not_hide_the_others() -> None:
    problems = validate_texts({"b.yaml": DISTRICT + "  color: red\n", "a.yaml": "a: 1\na: 2\n", "c.yaml": "{"})
    assert [(problem.file, problem.line) for problem in problems] == [("a.yaml", 2), ("b.yaml", 10), ("c.yaml", 2)]


@pytest.mark.parametrize("secret", ["hunter2"])
def test_no_value_that_may_be_secret_is_repeated(secret: str) -> None:
    text = DISTRICT.replace("file:export.zip", f"https://somebody:{secret}@sis.example/export.zip")
    problems = validate_texts({"x.yaml": text})
    assert [problem.field for problem in problems] == ["spec.source.oneRosterCSV.url"]
    assert secret not in str(problems)


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ("{name: Lakeside}", "metadata.name"),
        ("{name: a, labels: {a: 1}}", "metadata.labels.a"),
        ("{name: a, annotations: {a: yes}}", "metadata.annotations.a"),
        ("{name: a, lables: {}}", "metadata.lables"),
        ('{name: "a\\n"}', "metadata.name"),
        ("{namespace: a}", "metadata.name"),
    ],
)
def test_metadata_is_checked_too(metadata: str, field: str) -> None:
    text = DISTRICT.replace("metadata:\n  name: lakeside", f"metadata: {metadata}")
    assert field in [problem.field for problem in validate_texts({"x.yaml": text})]


def test_a_null_that_has_a_default_is_as_if_it_were_not_there() -> None:
    assert validate_texts({"x.yaml": DISTRICT + "  sync: null\n  suspend:\n  homeroom: {classTypes: ~}\n"}) == []


@pytest.mark.parametrize("schedule", ["0 17-8 * * *", "0 2 31 2 *"])
def test_a_schedule_that_never_comes_to_pass_is_found(schedule: str) -> None:
    text = DISTRICT + f"  sync: {{mode: Schedule, schedule: '{schedule}'}}\n"
    assert [problem.field for problem in validate_texts({"x.yaml": text})] == ["spec.sync.schedule"]


def test_an_unknown_kind_of_ours_is_a_typing_error() -> None:
    problems = validate_texts({"x.yaml": DISTRICT.replace("District", "Distrikt")})
    assert [problem.text for problem in problems] == ["'Distrikt' of 'homeroom.dev/v1alpha1' is not a kind of Homeroom"]


def test_references_have_to_be_among_the_files() -> None:
    problems = validate_texts({"app.yaml": APP, "rule.yaml": RULE.replace("kolibri", "kolibry")})
    assert [(problem.file, problem.line, problem.field, problem.text) for problem in problems] == [
        ("app.yaml", 6, "spec.districtRef.name", "there is no District 'lakeside' in these files"),
        ("rule.yaml", 6, "spec.appRef.name", "there is no LearningApp 'kolibry' in these files"),
    ]


@pytest.mark.parametrize(
    ("district", "app", "found"),
    [
        ("", "", []),
        ("a", "a", []),
        ("a", "", []),
        ("", "a", []),
        ("a", "b", ["there is no District 'lakeside' in namespace 'b'"]),
    ],
)
def test_references_stay_within_a_namespace(district: str, app: str, found: list[str]) -> None:
    texts = {
        "district.yaml": DISTRICT.replace("  name: lakeside", f"  name: lakeside\n  namespace: '{district}'", 1),
        "app.yaml": APP.replace("{name: kolibri}", f"{{name: kolibri, namespace: '{app}'}}", 1),
    }
    assert [problem.text for problem in validate_texts(texts)] == found


def test_one_object_in_two_places_is_found() -> None:
    problems = validate_texts({"a.yaml": DISTRICT, "b.yaml": DISTRICT})
    assert [(problem.file, problem.text) for problem in problems] == [
        ("b.yaml", "the District 'lakeside' stands also in a.yaml:2")
    ]


POLICY = """
apiVersion: homeroom.dev/v1alpha1
kind: ChatPolicy
metadata:
  name: NAME
spec:
  districtRef: {name: lakeside}
  platformRef: {name: matrix}
  match:
    - {key: school, operator: OPERATOR, values: [s-001]}
  chats:
    - {type: StaffRoom}
"""
PLATFORM = """
apiVersion: homeroom.dev/v1alpha1
kind: ChatPlatform
metadata:
  name: matrix
spec:
  matrix: {homeserver: "https://matrix.example", serverName: school.example, secretRef: {name: matrix}}
  identity: {type: UserIds, userIdType: Matrix}
"""


def policy(name: str, operator: str) -> str:
    return POLICY.replace("NAME", name).replace("OPERATOR", operator)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ((policy("a", "In"), policy("b", "NotIn")), []),
        (
            (policy("a", "In"), policy("b", "In")),
            [("1.yaml", 10, "schools have the same type of chats by the ChatPolicy 'a', too")],
        ),
        ((policy("a", "In"), policy("b", "In").replace("name: b", "name: b\n  namespace: other")), []),
        ((policy("a", "In"), policy("b", "in")), [("1.yaml", 11, "must be one of 'In', 'NotIn'")]),
    ],
)
def test_policies_about_one_school_and_type_of_chats_are_found(
    texts: tuple[str, ...], found: list[tuple[str, int, str]]
) -> None:
    others = {f"{name}-{space}": add(text, space) for space in ("here", "other") for name, text in SHARED.items()}
    files = {f"{at}.yaml": add(text, "here") for at, text in enumerate(texts)}
    problems = validate_texts({**others, **files})
    assert [(problem.file, problem.line, problem.text) for problem in problems] == found


SHARED = {"district": DISTRICT, "platform": PLATFORM}


def add(text: str, namespace: str) -> str:
    """The same in a namespace, where it is in none."""
    return text if "namespace:" in text else text.replace("metadata:\n", f"metadata:\n  namespace: {namespace}\n", 1)
