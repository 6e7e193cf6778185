"""Changes of YAML files by the place of what is changed: all other characters stay, whatever they are.

Text in, text out. Nothing is written anew by an emitter, which would have its own opinion on quotation marks, comments
and line lengths. Each result is read again as kubectl reads it, and has to be exactly what was meant: where that fails
(a value that comes from an anchor, say), the place is named and nothing is changed. Neighbour: ``yaml.py``, which reads
and knows the places.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from homeroom.api.common import Path, field_path
from homeroom.api.yaml import Document, UnreadableError, load_all

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*|\.{1,2}/[A-Za-z0-9_./-]+")
"""File names that are themselves without quotation marks."""
_NOTHING: Final = re.compile(r":[ ]*(?:\[[ ]*\]|null|~)?[ ]*(#.*|\r?)$")
"""What is behind a key that has no value."""
_DASH: Final = re.compile(r"[ ]*-[ ]+")


def replaced(text: str, number: int, path: Path, value: int, *, file: str) -> str:
    """The text with another whole number at `path` of its document `number` (from 0).

    Raises UnreadableError, with the place, where that cannot be done by changing this value alone.
    """
    document = load_all(text, file=file)[number]
    if path not in document.spans:
        raise _refused(document, path, "is not there")
    begin, end = document.spans[path]
    return _checked(
        text,
        f"{text[:begin]}{value}{text[end:]}",
        {number: _with(document.data, path, value)},
        document=document,
        path=path,
        why="stands there in a way that cannot be changed alone (an anchor or a merge?)",
    )


def removed(text: str, number: int, *, file: str) -> str:
    """The text without its document `number` (from 0), with the comments that touch it.

    What is divided from it by an empty line, as the words at the top of a file, stays. Raises UnreadableError for an
    item of a ``List``.
    """
    document = load_all(text, file=file)[number]
    if document.part is None:
        raise _refused(document, (), "is an item of a List")
    begin, end = document.part
    first = _line_start(text, document.spans[()][0])
    while first > begin and text[_line_start(text, first - 1) : first].lstrip().startswith("#"):
        first = _line_start(text, first - 1)
    if text[begin:first].strip():
        begin = first
        if not text[: document.part[0]].strip("\ufeff \t\r\n"):
            end = _behind_line(text, end)  # what stays at the top stands in front of the next document
    elif text[:begin].strip("\ufeff \t\r\n"):
        begin = _line_start(text, begin - 1)  # with the `---` in front of it
    else:
        end = _behind_line(text, end)
    why = "cannot be taken out of its file alone"
    return _checked(text, text[:begin] + text[end:], {number: None}, document=document, path=(), why=why)


def added(text: str, document: str, *, file: str) -> str:
    """The text with one more document at its end, in the line ends of the text.

    Raises UnreadableError where the file is JSON.
    """
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        raise UnreadableError(file=file, line=1, text="is JSON, to which no YAML can be added: name another file")
    end = _line_end(text)
    lines = text.splitlines()
    last = next((line for line in reversed(lines) if line.strip()), "")
    glue = "" if not text or text.endswith("\n") else end
    glue += f"---{end}" if last and not last.startswith("---") else ""
    result = text + glue + document.replace("\n", end)
    before = [each.data for each in load_all(text, file=file)]
    if [each.data for each in load_all(result, file=file)] != [
        *before,
        *(each.data for each in load_all(document, file=file)),
    ]:
        raise UnreadableError(file=file, line=len(lines), text="does not end so that something can be added")
    return result


def with_item(text: str, key: str, item: str, *, file: str) -> str:
    """The text, of one document, with one more item (a file name) in its list `key`; there already: as it is."""
    document = _only(text, file=file)
    items = document.data.get(key)
    if isinstance(items, Sequence) and item in items:
        return text
    end, word = _line_end(text), item if _PLAIN.fullmatch(item) else json.dumps(item)
    if not items and key in document.data:
        result = _of_key(text, document, key, f" [{word}]")
    elif not isinstance(items, Sequence) or not items:
        assert document.part is not None
        at = document.part[1]
        glue = "" if text[:at].endswith("\n") else end
        result = f"{text[:at]}{glue}{key}:{end}  - {word}{end}{text[at:]}"
    else:
        last = document.spans[key, len(items) - 1]
        if text[document.spans[key,][0]] == "[":
            result = f"{text[: last[1]]}, {word}{text[last[1] :]}"
        else:
            dash = text[_line_start(text, last[0]) : last[0]]
            if not _DASH.fullmatch(dash):
                raise _refused(document, (key,), f"needs the item {item}, and is no plain list")
            at = _behind_line(text, last[1])
            glue = "" if text[:at].endswith("\n") else end
            result = f"{text[:at]}{glue}{dash}{word}{end}{text[at:]}"
    meant = {**document.data, key: [*(items if isinstance(items, Sequence) else ()), item]}
    why = f"needs the item {item}, which cannot be added alone"
    return _checked(text, result, {0: meant}, document=document, path=(key,), why=why)


def without_item(text: str, key: str, item: str, *, file: str) -> str:
    """The text, of one document, without an item of its list `key`; not there: as it is."""
    document = _only(text, file=file)
    items = document.data.get(key)
    if not isinstance(items, Sequence) or item not in items:
        return text
    number = items.index(item)
    begin, end = document.spans[key, number]
    flow = text[document.spans[key,][0]] == "["
    if len(items) == 1 and flow:
        result = text[:begin] + text[end:]
    elif flow and number:
        result = text[: document.spans[key, number - 1][1]] + text[end:]
    elif flow:
        result = text[:begin] + text[document.spans[key, 1][0] :]
    else:
        result = text[: _line_start(text, begin)] + text[_behind_line(text, end) :]
        if len(items) == 1:
            result = _of_key(result, document, key, " []")
    meant = {**document.data, key: [each for place, each in enumerate(items) if place != number]}
    why = f"has the item {item}, which cannot be taken out alone"
    return _checked(text, result, {0: meant}, document=document, path=(key,), why=why)


def _only(text: str, *, file: str) -> Document:
    documents = load_all(text, file=file)
    if len(documents) != 1 or documents[0].part is None:
        raise UnreadableError(file=file, line=1, text="must hold one object")
    return documents[0]


def _of_key(text: str, document: Document, key: str, value: str) -> str:
    """The text with a value written behind a key that has none, or an empty list."""
    lines = text.split("\n")
    line = document.line((key,)) - 1
    lines[line] = _NOTHING.sub(lambda found: f":{value}{' ' * found[1].startswith('#')}{found[1]}", lines[line])
    return "\n".join(lines)


def _checked(
    text: str,
    result: str,
    meant: Mapping[int, Mapping[str, object] | None],
    *,
    document: Document,
    path: Path,
    why: str,
) -> str:
    """The result, if it reads as the text does but for these documents (None: it is gone)."""
    before = [each.data for each in load_all(text, file=document.file)]
    wanted = [meant.get(number, data) for number, data in enumerate(before)]
    try:
        found = [each.data for each in load_all(result, file=document.file)]
    except UnreadableError as error:
        raise _refused(document, path, why) from error
    if found != [data for data in wanted if data is not None]:
        raise _refused(document, path, why)
    return result


def _refused(document: Document, path: Path, why: str) -> UnreadableError:
    what = f"{field_path(path)} " if path else ""
    text = f"{what}{why}: edit it by hand"
    return UnreadableError(file=document.file, line=document.line(path), text=text)


def _with(data: object, path: Path, value: int) -> dict[str, object]:
    assert isinstance(data, Mapping)
    head, *rest = path
    return {**data, str(head): _with(data[head], tuple(rest), value) if rest else value}


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _line_start(text: str, at: int) -> int:
    """Where the line that `at` is in begins."""
    return text.rfind("\n", 0, at) + 1


def _behind_line(text: str, at: int) -> int:
    """Where the line behind that of `at` begins."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1
