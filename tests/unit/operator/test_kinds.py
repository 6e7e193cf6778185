"""What a CustomResourceDefinition says about itself, in all the forms that an API server gives it."""

from __future__ import annotations

from typing import Any

import pytest

from homeroom.operator.kinds import is_established


def test_an_established_crd_counts() -> None:
    conditions = [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]
    assert is_established({"status": {"conditions": conditions}})


@pytest.mark.parametrize(
    "status",
    [
        {"conditions": [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "False"}]},
        {"conditions": [{"type": "NamesAccepted", "status": "True"}]},
        {"conditions": [], "storedVersions": ["v1alpha1"]},
        {"conditions": None, "storedVersions": ["v1alpha1"]},  # read in the moment after its creation
        {},
        None,
    ],
)
def test_any_other_does_not(status: Any) -> None:
    assert not is_established({"status": status})
