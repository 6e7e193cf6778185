"""A new licence as YAML: what was said, and the rest as it is with the other licences of its pool.

Neighbours: `licence`, and `tree`, which puts it into the files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homeroom.api import (
    API_VERSION,
    Access,
    District,
    Language,
    LicensePool,
    SchoolLicense,
)
from homeroom.api.validate import validate_texts
from homeroom.cli import terminal
from homeroom.cli.capacity import split_name
from homeroom.cli.register import ChosenUnit
from homeroom.cli.seats import place, reference, same
from homeroom.cli.tree import Edit, Place, Tree
from homeroom.errors import InvalidSpecError

REFERENCES: Final = ("spec.poolRef.name", "spec.districtRef.name")
"""Fields of a licence that refer to what may be elsewhere."""
_LICENCE: Final = SchoolLicense.__name__
_POOL: Final = LicensePool.__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a new licence takes from its surroundings; `namespace` empty: its file does not say.

    `pool`: namespace (empty: not said) and name. `mates`: the other licences of the pool. `pool_at`: where the pool is.
    """

    name: str
    namespace: str
    pool: tuple[str, str]
    mates: Sequence[Place]
    pool_at: Place | None
    access: Access
    district: str

    def document(
        self,
        unit: ChosenUnit,
        seats: int,
        *,
        school: str | None,
        reason: str | None,
        priority: int | None,
        mailed: tuple[str, Language | None] | None,
    ) -> str:
        """As YAML, in the order of the docs. `reason`: why the unit is right that the register lacks.

        `mailed`: the Secret with the addresses that get the key, and the language of the mail.
        """
        delivery = ""
        if mailed is not None:
            secret, language = mailed
            delivery = f"  deliverKeyTo:\n    contactSecretRef: {{name: {_word(secret)}}}\n"
            delivery += f"    language: {language.value}\n" if language is not None else ""
        space = f"\n  namespace: {self.namespace}" if self.namespace else ""
        far = f", namespace: {self.pool[0]}" if self.pool[0] not in {"", self.namespace} else ""
        comment = " ".join((unit.name or "").split())
        override = ""
        if unit.unlisted:
            override = f"\n  unitOverride: {{name: {_quoted(unit.name or '')}, reason: {_quoted(reason or '')}}}"
        return (
            f"apiVersion: {API_VERSION}\nkind: {_LICENCE}\nmetadata:\n  name: {_word(self.name)}{space}\nspec:\n"
            f"  poolRef: {{name: {_word(self.pool[1])}{far}}}\n"
            f"  schoolUnit: {_quoted(unit.code)}{f' # {comment}' if comment else ''}{override}\n"
            f"  seats: {seats}\n"
            + (f"  priority: {priority}\n" if priority is not None else "")
            + f"  access: {self.access.value}\n{delivery}  districtRef: {{name: {_word(self.district)}}}\n"
            + (f"  school: {_quoted(school)}\n" if school else "")
        )


def drafted(
    work: Tree,
    name: str,
    pool: str | None,
    *,
    namespace: str | None,
    access: Access | None,
    district: str | None,
) -> Draft:
    """Whatever was not said, as it is with the other licences of the pool."""
    for each in work.every(_LICENCE):
        if same(place(each.document.data), (namespace or "", name)):
            raise InvalidSpecError(
                f"SchoolLicense '{name}' is there already, in {each}: resize it, or choose another name"
            )
    pools = {place(each.document.data): each for each in work.every(_POOL)}
    if pool is None and len(pools) != 1:
        there = ", ".join(sorted("/".join(filter(None, each)) for each in pools)) or "none"
        raise InvalidSpecError(f"of which pool? Name it with --pool (in {work.root} there is {there})")
    named = next(iter(pools)) if pool is None else split_name(pool)
    pool_at = next((at for key, at in pools.items() if same(key, named)), None)
    if pool_at is not None:
        named = (named[0] or place(pool_at.document.data)[0], named[1])
    mates = [each for each in work.every(_LICENCE) if same(reference(each.document.data), named)]
    spaces = [place(each.document.data)[0] for each in mates]
    space = namespace or (Counter(spaces).most_common(1)[0][0] if spaces else named[0])
    mates = [each for each in mates if place(each.document.data)[0] == space] or mates
    specs = [spec for each in mates if isinstance(spec := each.document.data.get("spec"), Mapping)]
    usual = {spec.get("access") for spec in specs}
    if access is None:
        access = Access(str(usual.pop())) if len(usual) == 1 and usual <= {*Access} else Access.KEY
    return Draft(
        name=name,
        namespace=space,
        pool=named,
        mates=mates,
        pool_at=pool_at,
        access=access,
        district=_district(work, district, specs, space),
    )


def _district(work: Tree, wanted: str | None, specs: Sequence[Mapping[str, object]], namespace: str) -> str:
    """The District that was named and is there, else that of the other licences, else the only one of the namespace."""
    if wanted is not None:
        if work.every(District.__name__):
            work.one(District.__name__, namespace, wanted)
        return wanted
    named = {str(ref.get("name")) for spec in specs if isinstance(ref := spec.get("districtRef"), Mapping)}
    if not named:
        found = [place(each.document.data) for each in work.every(District.__name__)]
        named = {each[1] for each in found if same((each[0], ""), (namespace, ""))}
    if len(named) != 1:
        there = f" ({', '.join(sorted(named))})" if named else ""
        raise InvalidSpecError(f"which District has the school? Name it with --district{there}")
    return named.pop()


def tell_others(draft: Draft, unit: ChosenUnit) -> None:
    """A school may have several licences, each with its key; whoever makes a second one should know."""
    for each in draft.mates:
        spec = each.document.data.get("spec")
        if isinstance(spec, Mapping) and spec.get("schoolUnit") == unit.code:
            terminal.warning(f"{unit.named} has a licence already: '{place(each.document.data)[1]}' in {each}")


def file_of(work: Tree, name: str, draft: Draft, file: Path | None) -> Path:
    """Where it goes: a file with several licences takes it, else it gets a file beside those of the others."""
    if file is not None:
        return next((known for known in work.texts if known.resolve() == file.resolve()), file)
    if draft.mates:
        last = draft.mates[-1].file
        if sum(each.file == last for each in draft.mates) > 1:
            return last
        return last.parent / f"{name}.yaml"
    if draft.pool_at is not None:
        return draft.pool_at.file.parent / f"{name}.yaml"
    raise InvalidSpecError(
        f"into which file? Neither the pool nor a licence of it is in {work.root}: name it with --file"
    )


def refuse_invalid(edits: Sequence[Edit]) -> None:
    """Raise InvalidSpecError where `homeroom validate` would find more in these files than it does now.

    What a licence refers to was looked at before, and may be elsewhere.
    """
    before = validate_texts({str(edit.file): edit.before for edit in edits if edit.before is not None})
    known = {(problem.file, problem.field, problem.text) for problem in before}
    for problem in validate_texts({str(edit.file): edit.after for edit in edits if edit.after is not None}):
        if problem.field not in REFERENCES and (problem.file, problem.field, problem.text) not in known:
            raise InvalidSpecError(f"that would be wrong: {problem}")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _word(text: str) -> str:
    """A name, in quotation marks where it would be something else without: 0012, or on."""
    return (
        text
        if text[:1].isalpha() and text not in {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
        else _quoted(text)
    )
