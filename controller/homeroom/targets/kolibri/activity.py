"""When accounts were last used, as our plugin for Kolibri tells it (`kolibri-plugin/`, docs/activity.md).

It gives one answer per facility, whole or none: the plugin refuses a session that has ended, where Kolibri's own lists
would be empty. What it tells about accounts that are not ours is dropped here.
Neighbours: `reading` (whose an account is), `target` (who calls this).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from homeroom.errors import IncompleteReadError, TerminalError
from homeroom.roster.state import Actual
from homeroom.targets import ACTIVITY_SCHEMA
from homeroom.targets.kolibri.api import Api, RefusedCallError
from homeroom.targets.kolibri.writing import PARALLEL
from homeroom.wire import gathered

PATH: Final = "kolibri_homeroom_activity/api/activity/"
MISSING: Final = (
    "kolibri does not tell when accounts were last used: install and enable its plugin kolibri_homeroom_activity, and "
    "restart it (docs/activity.md)"
)

_LISTS: Final = {"accounts": "account", "last_login": "last_login", "last_interaction": "last_interaction"}
"""What an answer consists of, and how we call it: texts, all lists of one length."""
_MOMENT: Final = "%Y-%m-%dT%H:%M:%SZ"


async def installed(api: Api) -> bool:
    """Whether this Kolibri has the plugin, and it is enabled."""
    try:
        await api.get(PATH)
    except RefusedCallError as error:
        return not _unknown(error)  # the plugin refuses a question that names no facility
    return True


async def read(api: Api, actual: Actual) -> pl.DataFrame:
    """One row per account of ours, ACTIVITY_SCHEMA; see `KolibriTarget.activity`."""
    schools = actual.schools.with_row_index("row").filter(
        pl.col("key").is_in(actual.owned_schools.implode()) & ~pl.col("key").is_in(list(actual.unsure))
    )
    conflicts = pl.DataFrame(list(actual.conflicts), schema={"school": pl.String, "key": pl.String}, orient="row")
    ours = (
        actual.people.with_row_index("person")
        .filter(pl.col("key").is_not_null() & ~pl.col("person").is_in(actual.adopting.people.implode()))
        .select("key", row="school", account="external_id")
        .join(schools.select("row", school="key"), on="row")
        .join(conflicts, on=["school", "key"], how="anti")
    )
    before = await api.sure()
    told = await gathered(lambda facility: _told(api, facility), schools["external_id"].to_list(), at_once=PARALLEL)
    if await api.whoami() != before:
        raise IncompleteReadError(
            "kolibri ended the session, or changed its rights, while we asked when accounts were last used",
            reason="TargetIncomplete",
        )
    nobodys = pl.DataFrame(schema={name: kind for name, kind in ACTIVITY_SCHEMA.items() if name in _LISTS.values()})
    everybody = pl.concat([nobodys, *told])
    return ours.join(everybody, on="account").select(ACTIVITY_SCHEMA.names()).sort("school", "key")


def parsed(answer: object) -> pl.DataFrame:
    """[account, last_login, last_interaction], as in ACTIVITY_SCHEMA, of one facility, from the JSON of its answer.

    Raises IncompleteReadError when it is not that: nothing of it counts then.
    """
    lists = answer if isinstance(answer, dict) else {}
    try:
        told = pl.DataFrame(
            [pl.Series(name, lists[old], dtype=pl.String) for old, name in _LISTS.items()]
        ).with_columns(
            pl.col("last_login", "last_interaction").str.to_datetime(_MOMENT, time_unit="us", time_zone="UTC")
        )
    except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise _other() from error
    if told["account"].has_nulls() or told["account"].is_duplicated().any():
        raise _other()
    return told


async def _told(api: Api, facility: str) -> pl.DataFrame:
    try:
        answer = await api.get(PATH, facility=facility)
    except RefusedCallError as error:
        if _unknown(error):
            raise TerminalError(MISSING, reason="CapabilityMissing") from error
        raise IncompleteReadError(
            f"kolibri did not tell when the accounts of facility {facility} were last used, because the session has "
            f"ended, the facility has gone, or our account does not administer it ({error.message})",
            reason="TargetIncomplete",
        ) from error
    return parsed(answer)


def _unknown(error: RefusedCallError) -> bool:
    """Whether nobody answers at our address: Kolibri's own 404 is a page, and the plugin has none."""
    return error.status == 404 and not error.code


def _other() -> IncompleteReadError:
    return IncompleteReadError(
        "kolibri's plugin kolibri_homeroom_activity answers in other words than that of this release: install this one",
        reason="TargetIncomplete",
    )
