"""The working tree of a repository: where each object is in its files, and changes of these, shown and then written.

Flow: `Tree.read`, then edits of one place each by `homeroom.api.edit`, which go into the `kustomization.yaml` too, then
`show` and `write`. A file is replaced in one step and keeps its mode. Nothing outside of the tree is touched, also not
where a link leads there. Neighbour: `licence`.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from homeroom.api.edit import added, removed, replaced, with_item, without_item
from homeroom.api.yaml import Document, UnreadableError, load_all
from homeroom.cli import terminal
from homeroom.cli.files import yaml_files
from homeroom.cli.seats import is_a, place, same
from homeroom.errors import InvalidSpecError, RefusedError

_KUSTOMIZATIONS: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_PATCHES: Final = ("patches", "patchesStrategicMerge", "patchesJson6902", "replacements")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One object of a tree: the `file` as it was named, and the `number` (from 0) of the document in it."""

    file: Path
    number: int
    document: Document

    def __str__(self) -> str:
        return f"{self.file}:{self.document.line()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What becomes of a file; `before` None: it is made, `after` None: it is deleted."""

    file: Path
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The YAML files below `root`: file -> text, with their line ends. `broken`: what cannot be read as YAML."""

    root: Path
    texts: Mapping[Path, str]
    places: Sequence[Place]
    broken: Sequence[UnreadableError]

    @classmethod
    def read(cls, root: Path) -> Self:
        """All that is below `root`; a file that several links lead to counts once."""
        files = [*yaml_files(root), *sorted(root.rglob(_KUSTOMIZATIONS[-1]))]
        texts: dict[Path, str] = {}
        places: list[Place] = []
        broken: list[UnreadableError] = []
        known: set[Path] = set()
        for file in sorted(files, key=Path.is_symlink):
            if not file.is_file() or file.resolve() in known:
                continue
            known.add(file.resolve())
            try:
                text = file.read_bytes().decode()
                documents = load_all(text, file=str(file))
            except UnicodeDecodeError as error:
                raise InvalidSpecError(f"{file} is not UTF-8 text: save it as UTF-8") from error
            except UnreadableError as error:
                broken.append(error)
                continue
            texts[file] = text
            places += [Place(file=file, number=number, document=each) for number, each in enumerate(documents)]
        return cls(root=root, texts=texts, places=sorted(places, key=lambda one: str(one.file)), broken=broken)

    def every(self, kind: str) -> list[Place]:
        """All objects of a kind of ours, in the order of the files."""
        return [each for each in self.places if is_a(each.document.data, kind)]

    def one(self, kind: str, namespace: str, name: str) -> Place:
        """The object of this name. Raises InvalidSpecError where there is none, or where it is there twice."""
        found = [each for each in self.every(kind) if same(place(each.document.data), (namespace, name))]
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidSpecError(
                f"{kind} '{name}' is declared in {' and in '.join(map(str, found))}: edit by hand what is to "
                "change, or say which with -n or --tree"
            )
        wanted = "/".join(filter(None, (namespace, name)))
        names = sorted({"/".join(filter(None, place(each.document.data))) for each in self.every(kind)})
        near = difflib.get_close_matches(wanted, names, n=3) or names[:3]
        there = f"there is {', '.join(near)}" if near else "there is none at all; another --tree?"
        raise InvalidSpecError("\n".join([f"no {kind} '{wanted}' in {self.root}: {there}", *self._hidden(kind)]))

    def _hidden(self, kind: str) -> Iterator[str]:
        """Files that may well have what is looked for, and are templates."""
        for error in self.broken:
            if kind in Path(error.file).read_text(encoding="utf-8"):
                yield f"{error.message} (a template? edit that by hand)"

    def refuse_patched(self, kind: str, name: str) -> None:
        """Raise InvalidSpecError where a kustomization changes the object: what its file says is not what counts."""
        for each in self.places:
            for field in _PATCHES if each.file.name in _KUSTOMIZATIONS else ():
                patches = each.document.data.get(field)
                for number, patch in enumerate(patches if isinstance(patches, list) else ()):
                    if kind in (told := str(patch)) and (name in told or "name" not in told):
                        line = each.document.line((field, number))
                        raise InvalidSpecError(
                            f"{each.file}:{line}: changes {kind} '{name}' on its way: edit it by hand"
                        )

    # -- edits --------------------------------------------------------------------------------------------------

    def with_number(self, at: Place, path: tuple[str, ...], value: int) -> list[Edit]:
        """Another whole number in one object."""
        text = self.texts[at.file]
        return [self._edit(at.file, replaced(text, at.number, path, value, file=str(at.file)))]

    def with_document(self, file: Path, document: str) -> list[Edit]:
        """One more object, in a file that may be new, and that file in the kustomization of its folder."""
        before = self.texts.get(file)
        if before is None and (file.exists() or file.is_symlink()):
            raise RefusedError(
                f"{file} is there, and is no YAML file of this tree: name another --file", reason="Taken"
            )
        after = document if before is None else added(before, document, file=str(file))
        return [self._edit(file, after), *self._listed(file)]

    def without(self, at: Place) -> list[Edit]:
        """Without one object; with the last one its file goes, also out of all kustomizations."""
        left = removed(self.texts[at.file], at.number, file=str(at.file))
        if load_all(left, file=str(at.file)):
            return [self._edit(at.file, left)]
        edits = [self._edit(at.file, None)]
        for one in self._kustomizations():
            text = before = self.texts[one.file]
            for item in _items(one):
                if _named(one, item) == at.file.resolve():
                    text = without_item(text, "resources", item, file=str(one.file))
            edits += [self._edit(one.file, text)] if text != before else []
        return edits

    def after(self, edits: Sequence[Edit]) -> dict[str, str]:
        """The texts as they would be."""
        changed = {edit.file: edit.after for edit in edits}
        return {str(file): text for file, text in {**self.texts, **changed}.items() if text is not None}

    def _edit(self, file: Path, after: str | None) -> Edit:
        if not file.resolve().is_relative_to(self.root.resolve()):
            raise RefusedError(
                f"{file} is not below {self.root}, where a link leads is not edited", reason="OutsideTree"
            )
        return Edit(file=file, before=self.texts.get(file), after=after)

    def _listed(self, file: Path) -> Iterator[Edit]:
        """The kustomization of the folder, or those elsewhere that list its files one by one, with the file."""
        folder = file.resolve().parent
        listing = [one for one in self._kustomizations() if one.file.resolve().parent == folder]
        if not listing:
            listing = [
                one for one in self._kustomizations() if any(_named(one, item).parent == folder for item in _items(one))
            ]
        for one in listing:
            if any(_named(one, item) == file.resolve() for item in _items(one)):
                continue
            name = os.path.relpath(file.resolve(), one.file.resolve().parent)
            name = Path(name).as_posix()
            yield self._edit(one.file, with_item(self.texts[one.file], "resources", name, file=str(one.file)))

    def _kustomizations(self) -> list[Place]:
        return [each for each in self.places if each.file.name in _KUSTOMIZATIONS]


def _items(kustomization: Place) -> list[str]:
    items = kustomization.document.data.get("resources")
    return [item for item in items if isinstance(item, str)] if isinstance(items, list) else []


def _named(kustomization: Place, item: str) -> Path:
    return (kustomization.file.resolve().parent / item).resolve()


def show(edits: Sequence[Edit]) -> None:
    """Print what would change, as `git diff` does."""
    for edit in edits:
        before, after = (str(edit.file) if text is not None else "/dev/null" for text in (edit.before, edit.after))
        old, new = ((text or "").splitlines() for text in (edit.before, edit.after))
        for line in difflib.unified_diff(old, new, before, after, lineterm=""):
            heading = line.startswith(("---", "+++"))
            style = "bold" if heading else {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
            terminal.say(line, style=style)


def write(edits: Sequence[Edit]) -> None:
    """Write all that, each file in one step. Raises RefusedError, with nothing written, where one was changed since."""
    for edit in edits:
        now = edit.file.read_bytes() if edit.file.exists() else None
        if now != (edit.before.encode() if edit.before is not None else None):
            raise RefusedError(f"{edit.file} was changed meanwhile: nothing was written, try again", reason="Changed")
    for edit in edits:
        if edit.after is None:
            edit.file.unlink()
        else:
            _replace(edit.file.resolve(), edit.after.encode())


def _replace(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        if file.exists():
            new.chmod(stat.S_IMODE(file.stat().st_mode))
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
