"""What is edited changes, and no other character does; what cannot be edited so is named, and nothing changes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples

from homeroom.api.edit import added, removed, replaced, with_item, without_item
from homeroom.api.yaml import UnreadableError, load_all

SEATS = ("spec", "seats")
unhurried = examples(150)

_comments = st.sampled_from(("", "# å ä ö: seats: 40", "#\ttabs\there", "# 🎓 {{ not a template }}"))
_numbers = st.sampled_from(("40", "1_000", "0x28", "0", "053", "+7", "40.0"))
_names = st.sampled_from(("rowan-hill", '"rowan-hill"', "'rowan-hill'"))
_FLOW = (
    "{{apiVersion: homeroom.dev/v1alpha1, kind: SchoolLicense, metadata: {{name: {name}}}, spec: {{seats: {seats}}}}}"
)


@dataclass(frozen=True)
class Piece:
    """A document around the number of its seats."""

    before: str
    seats: str
    behind: str

    def __str__(self) -> str:
        return self.with_seats(self.seats)

    def with_seats(self, seats: str) -> str:
        return self.before + seats + self.behind


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    """A licence as somebody may have written it."""
    name, comment, seats = draw(_names), draw(_comments), draw(_numbers)
    if draw(st.booleans()):
        before, behind = _FLOW.format(name=name, seats="\0").split("\0")
        return Piece(before, seats, f"{behind} {comment}\n")
    indent, gap = " " * draw(st.integers(1, 4)), draw(st.sampled_from((" ", "   ", "\t")))
    above = "".join(f"{line}\n" for line in draw(st.lists(_comments, max_size=3)))
    long = f"{indent}reason: {'a rather long text ' * draw(st.sampled_from((0, 9)))}å\n"
    extra = draw(
        st.sampled_from(("", f"{indent}text: |+\n{indent} --seats: 40\n\n", f"{indent}text: >-\n{indent}  folded\n"))
    )
    before = (
        f"{above}apiVersion: homeroom.dev/v1alpha1\nkind: SchoolLicense\nmetadata:\n{indent}name: {name} {comment}\n"
        f"spec:\n{long}{indent}seats:{gap}"
    )
    behind = f"{draw(st.sampled_from(('', ' ', '  ')))}\n{extra}{indent}schoolUnit: '0042'\n"
    if draw(st.booleans()):
        behind = f" {comment}{behind.lstrip(' ')}"
    return Piece(before, seats, behind)


@st.composite
def files(draw: st.DrawFn) -> tuple[list[Piece], str, bool]:
    """Documents, what is in front of them all, and whether the lines end as on Windows."""
    top = draw(st.sampled_from(("", "\ufeff", "# All licences\n\n", "---\n", "# All\n---\n", "\ufeff# Alla\n---\n")))
    return draw(st.lists(pieces(), min_size=1, max_size=4)), top, draw(st.booleans())


def _joined(texts: list[str], top: str, *, windows: bool) -> str:
    text = top + "---\n".join(texts)
    return text.replace("\n", "\r\n") if windows else text


@unhurried
@given(files(), st.data(), st.integers(0, 10_000_000))
def test_only_the_number_changes(file: tuple[list[Piece], str, bool], data: st.DataObject, seats: int) -> None:
    found, top, windows = file
    number = data.draw(st.integers(0, len(found) - 1))
    text = _joined([str(piece) for piece in found], top, windows=windows)
    wanted = [piece.with_seats(str(seats)) if at == number else str(piece) for at, piece in enumerate(found)]
    result = replaced(text, number, SEATS, seats, file="f.yaml")
    assert result == _joined(wanted, top, windows=windows)
    spec = load_all(result, file="f.yaml")[number].data["spec"]
    assert isinstance(spec, dict)
    assert spec["seats"] == seats


@unhurried
@given(files(), st.data())
def test_what_is_removed_was_added_in_the_same_characters(
    file: tuple[list[Piece], str, bool], data: st.DataObject
) -> None:
    found, top, windows = file
    texts = [str(piece) for piece in found]
    text = _joined(texts, top, windows=windows)
    more = str(data.draw(pieces()))
    longer = _joined([*texts, more], top, windows=windows)
    if not more.startswith(("#", "\n")) and not text.lstrip("\ufeff \t\r\n").startswith("{"):
        assert added(text, more, file="f.yaml") == longer
        assert removed(longer, len(texts), file="f.yaml") == text
    number = data.draw(st.integers(0, len(found) - 1))
    before = [document.data for document in load_all(text, file="f.yaml")]
    result = removed(text, number, file="f.yaml")
    assert [document.data for document in load_all(result, file="f.yaml")] == before[:number] + before[number + 1 :]
    assert [line for line in ("# All licences", "# Alla") if line in top] == [
        line for line in ("# All licences", "# Alla") if line in result
    ]
    for at, piece in enumerate(texts):  # the others are there as they were
        assert at == number or (piece.replace("\n", "\r\n") if windows else piece).strip() in result


LIST = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
# what is here
resources:
  - pool.yaml # the pool
{items}namespace: lakeside
"""


def test_an_item_comes_behind_the_others_and_goes_again() -> None:
    text = LIST.format(items="")
    longer = LIST.format(items="  - rowan.yaml\n")
    assert with_item(text, "resources", "rowan.yaml", file="k") == longer
    assert with_item(longer, "resources", "rowan.yaml", file="k") == longer
    assert without_item(longer, "resources", "rowan.yaml", file="k") == text
    assert without_item(text, "resources", "rowan.yaml", file="k") == text


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("resources: [a.yaml]\n", "resources: [a.yaml, b.yaml]\n"),
        ("resources: [ 'a.yaml' ] # all\n", "resources: [ 'a.yaml', b.yaml ] # all\n"),
        ('{"resources": ["a.yaml"]}', '{"resources": ["a.yaml", b.yaml]}'),
        ("resources:\n- a.yaml", "resources:\n- a.yaml\n- b.yaml\n"),
        ("resources:\r\n- a.yaml\r\n", "resources:\r\n- a.yaml\r\n- b.yaml\r\n"),
        ("resources:\n  -   a.yaml # a\n\n# end\n", "resources:\n  -   a.yaml # a\n  -   b.yaml\n\n# end\n"),
        ("resources:\nnamespace: x\n", "resources: [b.yaml]\nnamespace: x\n"),
        ("resources: # none\n", "resources: [b.yaml] # none\n"),
        ("resources: []\r\n", "resources: [b.yaml]\r\n"),
        ("namespace: x", "namespace: x\nresources:\n  - b.yaml\n"),
    ],
)
def test_an_item_is_added_in_the_manner_of_the_list(one: str, two: str) -> None:
    assert with_item(one, "resources", "b.yaml", file="k") == two
    shorter = without_item(two, "resources", "b.yaml", file="k")
    before = load_all(one, file="k")[0].data
    assert load_all(shorter, file="k")[0].data == {**before, "resources": before.get("resources") or []}
    if before.get("resources") and one.endswith("\n"):
        assert shorter == one


def test_the_last_item_leaves_an_empty_list() -> None:
    assert without_item("resources:\n  - a.yaml # a\n", "resources", "a.yaml", file="k") == "resources: []\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("metadata: {name: &n 40}\nspec: {seats: *n}\n", "f.yaml:2: spec.seats stands there in a way"),
        ("spec: {seats: &n 40, priority: *n}\n", "f.yaml:1: spec.seats stands there in a way"),
        ("base: &b {seats: 40}\nspec:\n  <<: *b\n", "f.yaml:1: spec.seats stands there in a way"),
        ("spec: {unit: 1}\n", "f.yaml:1: spec.seats is not there"),
    ],
)
def test_a_number_that_is_also_something_else_is_not_changed(text: str, words: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        replaced(text, 0, SEATS, 41, file="f.yaml")
    assert words in caught.value.message


def test_an_item_of_a_list_is_not_removed() -> None:
    text = "kind: List\nitems:\n- kind: A\n  spec: {seats: 40}\n- kind: B\n"
    with pytest.raises(UnreadableError, match=r"f\.yaml:3: is an item of a List"):
        removed(text, 0, file="f.yaml")
    assert replaced(text, 0, SEATS, 41, file="f.yaml") == text.replace("40", "41")


def test_nothing_is_added_to_json() -> None:
    with pytest.raises(UnreadableError, match="is JSON"):
        added('\n{"kind": "A"}', "kind: B\n", file="f.yaml")


@pytest.mark.parametrize(
    ("text", "number", "left"),
    [
        ("# top\n\n# a\nkind: A\n---\nkind: B\n", 0, "# top\n\nkind: B\n"),
        ("# a\nkind: A\n---\nkind: B\n", 0, "kind: B\n"),
        ("---\nkind: A\n# end\n---\nkind: B\n", 0, "---\nkind: B\n"),
        ("kind: A\n---\n# b\nkind: B\n---\nkind: C\n", 1, "kind: A\n---\nkind: C\n"),
        ("kind: A\n---\n# south\n\nkind: B\n---\nkind: C\n", 1, "kind: A\n---\n# south\n\n---\nkind: C\n"),
        ("kind: A\n---\nkind: B", 1, "kind: A\n"),
        ("# top\n\nkind: A\n", 0, "# top\n\n"),
    ],
)
def test_comments_go_with_what_they_touch(text: str, number: int, left: str) -> None:
    assert removed(text, number, file="f.yaml") == left
