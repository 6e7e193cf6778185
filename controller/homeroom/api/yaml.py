"""YAML, read as kubectl reads it: the same text gives the same object here and in the cluster.

kubectl cuts a stream at lines that begin with ``---`` and reads YAML 1.1 by Go's rules: ``y``, ``yes`` and ``on`` are
booleans, ``017`` and ``0o17`` are fifteen, ``1_000`` is a thousand, a date stays text, keys become text. PyYAML's own
rules differ in each of these, so only its parser is used (libyaml, which Go's is a port of) and the scalars are
resolved here. A test compares the two
on the real kubectl.

Stricter in what kubectl lets pass and nobody can mean: a key or an anchor that is there twice, a merge (``<<``) that
silently beats a key before it, text behind the end of a document, tags other than ``!!str``.

``validate.py`` checks what is read here, and uses the line of each field for its findings; ``edit.py`` changes it by
the place of each value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from homeroom.api.common import Path
from homeroom.errors import InvalidSpecError

MAX_NODES: Final = 1_000_000
"""Values in one document after aliases are expanded; a few lines of nested aliases could fill the memory."""

MAX_DEPTH: Final = 100

_STRING: Final = "tag:yaml.org,2002:str"
_LIST: Final = "tag:yaml.org,2002:seq"
_MAP: Final = "tag:yaml.org,2002:map"
_COLLECTIONS: Final[Mapping[type[Node], str]] = {SequenceNode: _LIST, MappingNode: _MAP}
_PLAIN: Final = "plain"  # a scalar without quotes and tag: the only one whose text decides its type

_WORDS: Final[Mapping[str, bool | None]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_NOT_FINITE: Final = {
    sign + word for word in (".inf", ".Inf", ".INF") for sign in ("", "+", "-")
} | {".nan", ".NaN", ".NAN"}  # fmt: skip
_INTEGER: Final = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|[1-9][0-9]*|0)")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class UnreadableError(InvalidSpecError):
    """The text is no YAML, or no object; the message begins with ``file:line:``."""

    def __init__(self, *, file: str, line: int, text: str) -> None:
        super().__init__(f"{file}:{line}: {text}")
        self.file = file
        self.line = line
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One object of a file: its `data` as plain JSON, and where each field stands.

    `lines`: of each field, from 1. `spans`: of each value, the characters from and up to which it is in the text; what
    an alias stands for is at its anchor. `part`: the same of all that is between two ``---``; None for an item of a
    ``List``.
    """

    file: str
    data: Mapping[str, object]
    lines: Mapping[Path, int]
    spans: Mapping[Path, tuple[int, int]]
    part: tuple[int, int] | None

    def line(self, path: Path = ()) -> int:
        """The line (from 1) of a field, or of the nearest thing around it that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines[path]


def load_all(text: str, *, file: str) -> list[Document]:
    """All objects in `text`, in order; those in a ``List`` one by one, as kubectl does. `file` is for messages.

    Raises UnreadableError where the text is no YAML, or no object.
    """
    documents: list[Document] = []
    for first_line, extent, part in _split(text, file=file):
        reader = _Reader(file=file, first_line=first_line, begin=extent[0])
        data = reader.read(part)
        if data is None:  # nothing but comments
            continue
        if not isinstance(data, dict):
            raise reader.error(reader.lines[()], "must be an object with `apiVersion` and `kind`")
        documents += _flatten(Document(file=file, data=data, lines=reader.lines, spans=reader.spans, part=extent))
    return documents


def _flatten(document: Document) -> Iterator[Document]:
    items = document.data.get("items")
    if document.data.get("kind") != "List" or not isinstance(items, list):
        yield document
        return
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise UnreadableError(file=document.file, line=document.line(("items", index)), text="must be an object")
        lines = {path[2:]: line for path, line in document.lines.items() if path[:2] == ("items", index)}
        spans = {path[2:]: span for path, span in document.spans.items() if path[:2] == ("items", index)}
        yield from _flatten(Document(file=document.file, data=item, lines=lines, spans=spans, part=None))


def _split(text: str, *, file: str) -> Iterator[tuple[int, tuple[int, int], str]]:
    """(first line, extent, text) of each document: kubectl looks for ``---`` at the start of a line before it parses.

    The line end in front of a ``---`` belongs to the extent and not to the text.
    """
    first, part = 1, list[str]()
    rest = text.removeprefix("\ufeff")
    begin = at = len(text) - len(rest)
    for number, line in enumerate(rest.split("\n"), start=1):
        line_begin, at = at, at + len(line) + 1
        if not line.startswith("---"):
            part.append(line)
            continue
        behind = line[3:].strip()
        if behind and not behind.startswith("#"):
            raise UnreadableError(file=file, line=number, text="`---` must stand alone on its line")
        yield first, (begin, line_begin), "\n".join(part)
        first, begin, part = number + 1, min(at, len(text)), []
    yield first, (begin, len(text)), "\n".join(part)


class _Loader(yaml.CBaseLoader):
    """libyaml's parser, without PyYAML's opinion on types."""

    def resolve(self, kind: type[Node], value: str, implicit: tuple[bool, bool]) -> str:  # noqa: ARG002 - PyYAML's signature
        if kind is ScalarNode and implicit[0]:
            return _PLAIN
        return _COLLECTIONS.get(kind, _STRING)


class _Reader:
    """Reads one document, and notes the line of each field on the way."""

    def __init__(self, *, file: str, first_line: int, begin: int) -> None:
        self.file = file
        self.first_line = first_line
        self.begin = begin
        self.lines: dict[Path, int] = {}
        self.spans: dict[Path, tuple[int, int]] = {}
        self.count = 0

    def error(self, line: int, text: str) -> UnreadableError:
        return UnreadableError(file=self.file, line=line, text=text)

    def read(self, text: str) -> object:
        """The value of the document, None when it is empty."""
        try:
            self._check_depth(text)
            loader = _Loader(text)
            try:
                nodes = list[Node]()
                while loader.check_node():
                    nodes += [node] if (node := loader.get_node()) else []
            finally:
                loader.dispose()
            if len(nodes) > 1:
                raise self.error(self._line(nodes[1]), "is behind `...`, the end of a document: use `---`")
            return self._value(nodes[0], path=(), around=()) if nodes else None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = self.first_line + (mark.line if mark else 0)
            words = ", ".join(filter(None, (error.context, error.problem)))
            raise self.error(line, f"not YAML: {words}") from error
        except UnicodeEncodeError as error:
            raise self.error(self.first_line, "must be text in UTF-8") from error
        except yaml.reader.ReaderError as error:
            line = self.first_line + text.count("\n", 0, error.position)
            raise self.error(line, "not YAML: a character that must not stand in a text file") from error

    def _check_depth(self, text: str) -> None:
        """Refuse what is nested too deeply: the composer recurses in C, where too deep is the end of the process."""
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    line = self.first_line + (event.start_mark.line if event.start_mark else 0)
                    raise self.error(line, f"must not be nested more than {MAX_DEPTH} levels deep")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1

    def _line(self, node: Node) -> int:
        return self.first_line + int(node.start_mark.line)

    def _value(self, node: Node, *, path: Path, around: tuple[Node, ...]) -> object:
        """The value of a node; `around` are those that it is in, for aliases that go round in a circle."""
        line = self._line(node)
        self.lines.setdefault(path, line)
        self.spans.setdefault(path, (self.begin + int(node.start_mark.index), self.begin + int(node.end_mark.index)))
        self.count += 1
        if self.count > MAX_NODES:
            raise self.error(self.first_line, f"has more than {MAX_NODES} values once its aliases are expanded")
        if node in around:
            raise self.error(line, "contains itself through an alias")
        if isinstance(node, SequenceNode) and node.tag == _LIST:
            return [
                self._value(item, path=(*path, index), around=(*around, node)) for index, item in enumerate(node.value)
            ]
        if isinstance(node, MappingNode) and node.tag == _MAP:
            return self._mapping(node, path=path, around=(*around, node))
        if isinstance(node, ScalarNode) and node.tag == _PLAIN:
            return self._plain(node.value, line=line)
        if isinstance(node, ScalarNode) and node.tag == _STRING:
            return str(node.value)
        raise self.error(line, f"must not carry the tag '{node.tag}'")

    def _mapping(self, node: MappingNode, *, path: Path, around: tuple[Node, ...]) -> dict[str, object]:
        merged: dict[str, object] = {}
        own: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = self._line(key_node)
            if isinstance(key_node, ScalarNode) and key_node.tag == _PLAIN and key_node.value == "<<":
                for key, value in self._merge(value_node, path=path, around=around).items():
                    if key in own:
                        raise self.error(line, f"`<<` must stand before `{key}`, or it takes its place")
                    merged[key] = value
                continue
            key = self._key(key_node)
            if key in own:
                raise self.error(line, f"`{key}` is there twice, first in line {self.lines[(*path, key)]}")
            self.lines[(*path, key)] = line
            own[key] = self._value(value_node, path=(*path, key), around=around)
        return {**merged, **own}

    def _merge(self, node: Node, *, path: Path, around: tuple[Node, ...]) -> dict[str, object]:
        """What `<<` brings: one mapping, or several of which the first wins."""
        sources = list(node.value) if isinstance(node, SequenceNode) else [node]
        result: dict[str, object] = {}
        for source in reversed(sources):
            value = self._value(source, path=path, around=around)
            if not isinstance(value, dict):
                raise self.error(self._line(node), "`<<` must be given a mapping, or a list of mappings")
            result |= value
        return result

    def _key(self, node: Node) -> str:
        """Keys are text in JSON; kubectl turns whole numbers and booleans into it."""
        value = self._plain(node.value, line=self._line(node)) if node.tag == _PLAIN else node.value
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str | int) and isinstance(node, ScalarNode):
            return str(value)
        raise self.error(self._line(node), "a key must be text: put it in quotes")

    def _plain(self, text: str, *, line: int) -> str | bool | int | float | None:
        """What a scalar without quotes means, by the rules of Go's yaml.v2."""
        if text in _WORDS:
            return _WORDS[text]
        if text in _NOT_FINITE:
            raise self.error(line, f"'{text}' is no number that JSON can hold: put it in quotes if it is text")
        digits = text if text.startswith(".") else text.replace("_", "")
        if text[0] not in "+-.0123456789":
            return text
        if _INTEGER.fullmatch(digits):
            number = _go_integer(digits)
            if -(2**63) <= number < 2**63:
                return number
            if digits[0] not in "+-" and number < 2**64:
                return float(number)
        if _FLOAT.fullmatch(digits) and math.isfinite(float(digits)):
            return _json_number(float(digits))
        return text


def _go_integer(digits: str) -> int:
    """A whole number as Go writes it, where a leading zero means octal."""
    sign = -1 if digits[0] == "-" else 1
    body = digits.lstrip("+-").lower()
    if body[:2] in {"0x", "0o", "0b"}:
        return sign * int(body, 0)
    return sign * int(body, 8 if body[0] == "0" else 10)


def _json_number(value: float) -> int | float:
    """A float after its way through JSON, where 1.0 is written 1 and read as a whole number."""
    return int(value) if value.is_integer() and abs(value) < 2**63 else value
