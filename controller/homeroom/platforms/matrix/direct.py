"""One message to one account, in a room of its own that we leave at once.

The account is joined rather than invited, so the message is there without a tap, on any client. We do not stay: every
room that we are in is read in every run. No room is used twice, and none is looked for by a name or an alias, which
somebody else could have made first, to read along. Neighbours: `platform` (calls this), `people` (who can be joined).
"""

from __future__ import annotations

import uuid

from homeroom.errors import RefusedError
from homeroom.platforms.matrix.api import ADMIN, CLIENT, Api, path
from homeroom.platforms.matrix.people import unfit
from homeroom.platforms.matrix.rooms import Us


async def tell(api: Api, us: Us, account: str, text: str, *, title: str) -> None:
    """Send `text`, in a room called `title`.

    Raises RefusedError when there is no such account, or it is out of use; and as `Api.call`.
    """
    if account == us.operator:
        raise RefusedError("the account is our own", reason="TargetRefused")
    if (problem := await unfit(api, us, account)) is not None:
        raise RefusedError(problem, reason="TargetRefused")
    room = await api.call(
        "POST",
        f"{CLIENT}/createRoom",
        {
            "preset": "private_chat",
            "visibility": "private",
            "is_direct": True,
            "name": title,
            "room_version": us.version,
            "creation_content": {"m.federate": False},
            "power_level_content_override": {"invite": 100},
        },
    )
    at = str(room["room_id"])
    try:
        await api.call("POST", path(f"{ADMIN}/v1/join", at), {"user_id": account})
        message = {"msgtype": "m.text", "body": text}  # of notices phones tell nobody
        await api.call("PUT", path(f"{CLIENT}/rooms", at, "send", "m.room.message", uuid.uuid4().hex), message)
    finally:
        await api.call("POST", path(f"{CLIENT}/rooms", at, "leave"), {})
