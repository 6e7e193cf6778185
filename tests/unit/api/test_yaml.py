from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from homeroom.api.yaml import UnreadableError, load_all
from homeroom.errors import InvalidSpecError

# What tests/integration/test_crds.py shows kubectl to make of the same file.
TRICKY = {
    "words": [True] * 2 + [False] * 2 + [True] * 2 + [False] + [True] * 2 + [False] * 2 + [True] * 2
    + [False, "yEs", "oN", "nO", "t"],
    "nothing": [None, None, None, "nUll", ""],
    "nothing2": None,
    "integers": [0, 0, 0, 12, -12, 15, 15, 15, 31, 31, 16, 3, 1, -3, -15, 1000, 1, 1, 8, 90],
    "large": [
        9223372036854775807,
        9.223372036854776e18,
        -9223372036854775808,
        -9.223372036854776e18,
        1.2345678901234567e19,
        1.2345678901234568e29,
        9.223372036854776e18,
        "0x10000000000000000",
        9.223372036854776e18,
    ],
    "floats": [
        1, 1, 0.5, -0.5, 0.5, 1.5, 1000, 1000, 1e-07, 12000, 1.5, 1e20, 1e21, 1.5e300, "1e400", 0, 0.30000000000000004,
    ],
    "not-numbers": [
        "_1", "1e", "0b2", "0x", "0x1p4", "1.2.3", ".", "..", "+", ".1.2", "190:20:30", "12:30", "1:2", "0o8", "1 2",
        "12h", "-_", "inf", "nan", "-",
    ],
    "dates": ["2026-06-20", "2001-12-14t21:59:43.10-05:00", "2026-06-20 10:00:00", "2026-06-20T10:00:00Z"],
    "quoted": ["y", "yes", "1", "0x1F", "null", "yes", "1"],
    "equals": ["=", "<<", "<<"],
    "block": "y\n",
    "folded": "no yes",
    "tab": "a\tb",
    "plain-tab": "a\tb",
    "true": "key",
    "1": "key",
    "15": "key",
    "anchors": {"first": 1, "second": 2},
    "alias": {"first": 1, "second": 2},
    "merged": {"first": 1, "second": "two", "third": 3},
    "merged-list": {"a": 1, "b": 3, "c": 4},
    "unicode": ["é", "é", "A", "it's", "ab"],
    "spread": "one two\nthree",
}  # fmt: skip


def test_scalars_become_what_kubectl_makes_of_them() -> None:
    document = load_all((Path(__file__).parent / "tricky.yaml").read_text(), file="tricky.yaml")[0]
    assert repr(document.data["spec"]) == repr(TRICKY)  # repr tells 1 from 1.0 and from True


def test_documents_are_cut_where_kubectl_cuts_them() -> None:
    text = "\ufeff# only a comment\n---\na: 1\r\n--- # words behind it\r\n---\nb: |\n  ---\n  text\n...\n---\n"
    documents = load_all(text, file="x")
    assert [document.data for document in documents] == [{"a": 1}, {"b": "---\ntext\n"}]
    assert [document.line() for document in documents] == [3, 6]


def test_a_list_is_read_as_its_items() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n  - a: 1\n  - b:\n      - 2\n      - 3\n"
    documents = load_all(text, file="x")
    assert [document.data for document in documents] == [{"a": 1}, {"b": [2, 3]}]
    assert documents[1].line(("b", 1)) == 7


def test_every_field_knows_its_line() -> None:
    document = load_all("---\n\na:\n  b: [1,\n    2]\n  c: {d: x}\n", file="x")[0]
    lines = {("a",): 3, ("a", "b"): 4, ("a", "b", 1): 5, ("a", "c", "d"): 6}
    assert {path: document.line(path) for path in lines} == lines


def test_a_field_that_is_missing_has_the_line_of_what_it_is_missing_in() -> None:
    document = load_all("a: 1\nb:\n  c: 2\n", file="x")[0]
    assert document.line(("b", "d", 3)) == 2
    assert document.line(("e",)) == 1


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "`a` is there twice, first in line 1"),
        ("yes: 1\n\ny: 2\n", 3, "`true` is there twice, first in line 1"),
        ("a: 1\n---\nb: {c: 1, c: 2}\n", 3, "`c` is there twice, first in line 3"),
        ("a: 1\n--- b\n", 2, "`---` must stand alone on its line"),
        ("a: 1\n----\n", 2, "`---` must stand alone on its line"),
        ("a: 1\n...\nb: 2\n", 3, "not YAML: did not find expected <document start>"),
        ("a: 1\n...\n%YAML 1.1\n", 4, "not YAML: did not find expected <document start>"),
        ("- a\n", 1, "must be an object with `apiVersion` and `kind`"),
        ("kind: List\nitems: [1]\n", 2, "must be an object"),
        ("a: [1\nb: 2\n", 2, "not YAML: while parsing a flow sequence, did not find expected ',' or ']'"),
        ("a:\n\t- b\n", 2, "not YAML: while scanning for the next token, found character that cannot start any token"),
        ("a: b: c\n", 1, "not YAML: mapping values are not allowed in this context"),
        ("a: *b\n", 1, "not YAML: found undefined alias"),
        ("a: &b 1\nc: &b 2\n", 2, "not YAML: found duplicate anchor; first occurrence, second occurrence"),
        ("a: &b [*b]\n", 1, "contains itself through an alias"),
        ("x: &x {a: 1}\ny: {a: 2, <<: *x}\n", 2, "`<<` must stand before `a`, or it takes its place"),
        ("x: {<<: 1}\n", 1, "`<<` must be given a mapping, or a list of mappings"),
        ("a: 1\nb: .inf\n", 2, "'.inf' is no number that JSON can hold: put it in quotes if it is text"),
        ("a: !!python/name:os.system x\n", 1, "must not carry the tag 'tag:yaml.org,2002:python/name:os.system'"),
        ("a: !x {}\n", 1, "must not carry the tag '!x'"),
        ("~: 1\n", 1, "a key must be text: put it in quotes"),
        ("1.5: 1\n", 1, "a key must be text: put it in quotes"),
        ("[a]: 1\n", 1, "a key must be text: put it in quotes"),
        ("a: 1\nb: \x01\n", 2, "not YAML: a character that must not stand in a text file"),
        ("a: \ud83d\n", 1, "must be text in UTF-8"),
        ("a: " + "[" * 100_000, 1, "must not be nested more than 100 levels deep"),
    ],
)  # fmt: skip
def test_errors_name_the_line(text: str, line: int, words: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        load_all(text, file="rules/math.yaml")
    assert (caught.value.line, caught.value.text) == (line, words)
    assert caught.value.message == f"rules/math.yaml:{line}: {words}"
    assert isinstance(caught.value, InvalidSpecError)


def test_nested_aliases_do_not_fill_the_memory() -> None:
    text = "a: &a [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]\n"
    text += "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True))
    with pytest.raises(UnreadableError, match="more than 1000000 values once its aliases are expanded"):
        load_all(text, file="x")


_text = st.text(st.sampled_from('ay1é😀 "\\/:#\n'), max_size=5)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(_text, _json, max_size=3))
def test_what_was_written_with_all_in_quotes_is_read_back(data: dict[str, object]) -> None:
    documents = load_all("a: 1\n---\n" + json.dumps(data, ensure_ascii=False), file="x")
    assert documents[1].data == data


@given(st.text(st.sampled_from("ab:-? {}[],&*!|>'\"%@`#\n\t.0<~"), max_size=30))
def test_no_text_ends_in_anything_but_objects_or_an_error(text: str) -> None:
    with contextlib.suppress(UnreadableError):
        assert all(isinstance(document.data, dict) for document in load_all(text, file="x"))


def test_pyyaml_has_libyaml() -> None:
    assert yaml.__with_libyaml__
