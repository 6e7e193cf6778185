"""`docs/operator.md` lists what there is, with the values that it has."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from homeroom.operator.metrics import Metrics
from homeroom.operator.runtime import Settings

PAGE = (Path(__file__).parents[3] / "docs" / "operator.md").read_text()


def test_every_metric_is_listed_and_no_other() -> None:
    exposed = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in Metrics()._registry.collect()
        if family.name.startswith("homeroom_")
    }
    assert set(re.findall(r"^\| `(homeroom_\w+)` \|", PAGE, re.MULTILINE)) == exposed


def settings() -> dict[str, Any]:
    """Each setting with its default, those within a setting by their path."""
    found: dict[str, Any] = {}
    whole = Settings(owner_id="x")
    for field in fields(whole):
        value = getattr(whole, field.name)
        if is_dataclass(value):
            found |= {f"{field.name}.{inner.name}": getattr(value, inner.name) for inner in fields(value)}
        elif field.name != "owner_id":
            found[field.name] = value
    return found


@pytest.mark.parametrize(("name", "default"), settings().items())
def test_every_setting_is_listed_with_its_default(name: str, default: object) -> None:
    rows = [line.split(" | ") for line in PAGE.splitlines() if f"`{name}`" in line.split(" | ")[0]]
    assert len(rows) == 1
    names, values = re.findall(r"`([\w.]+)`", rows[0][0]), [text.strip("` ") for text in rows[0][1].split(",")]
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    assert values[names.index(name)] == shown
