"""How many examples a property is tried with: in `make test` half of what its author asks for, or many times that.

Each run draws other ones, so two runs are as good as one of twice the length, and every commit has some. `make
properties` is for whoever has changed much, or has a night.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

_TIMES: Final = float(os.environ.get("HOMEROOM_EXAMPLES", "0.5"))


def often(number: int) -> int:
    """How often something is tried whose author asks for that number."""
    return max(1, round(number * _TIMES))


def examples(number: int, *, one_fixture: bool = False) -> settings:
    """`number`: what its author asks for. `one_fixture`: all of them have the same one, which none of them changes."""
    return settings(
        max_examples=often(number),
        # On a busy machine a deadline fails and says nothing about the code; speed is measured in bench/.
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture] if one_fixture else [],
    )
