"""What a declared licence says of seats that only the store knows better: fewer are requested than are in use (R17).

Neighbours: `validate` and `plan`, which refuse it; the API server warns of it (`manifests/base/admission.yaml`), and
whatever comes through all the same is kept by the operator.
"""

from __future__ import annotations

from collections.abc import Mapping

from homeroom.api import API_VERSION, SchoolLicense


def below_use(data: Mapping[str, object], used: Mapping[str, int]) -> str | None:
    """What is wrong with an object as it is declared, in words; None: it is no such licence, or it requests enough.

    `used`: `Store.seats_in_use`. An object without a namespace is compared with all licences of its name.
    """
    if (data.get("apiVersion"), data.get("kind")) != (API_VERSION, SchoolLicense.__name__):
        return None
    metadata, spec = data.get("metadata"), data.get("spec")
    requested = spec.get("seats") if isinstance(spec, Mapping) else None
    if not isinstance(metadata, Mapping) or not isinstance(requested, int):
        return None
    space, name = metadata.get("namespace"), metadata.get("name")
    meant = [f"{space}/{name}"] if space else [one for one in used if one.partition("/")[2] == name]
    held = max((used.get(one, 0) for one in meant), default=0)
    if requested >= held:
        return None
    return f"{requested:,} seats are requested and {held:,} are in use"
