"""Tells everybody in a room of a call: a message, and a widget that shows where the call is now.

The message rings on phones, and is told once: Synapse knows the transaction again. Who comes in later cannot read it,
so the room also has a widget, which is state and not history. It is `im.vector.modular.widgets`, the only kind that
Element shows; the calls that Element makes by itself (`m.call.member`) need no page of ours, and know no address of
another service. There is one widget in a room, that of its last call. Neighbours: `platform` (calls this), `rooms`.
"""

from __future__ import annotations

import hashlib
from typing import Final

from homeroom.platforms.matrix.api import CLIENT, path
from homeroom.platforms.matrix.room import Room
from homeroom.platforms.matrix.rooms import Rooms

WIDGET: Final = "im.vector.modular.widgets"
PLACE: Final = "dev.homeroom.call"
"""State key of the widget, and its id."""


async def announce(rooms: Rooms, room: Room, text: str, *, url: str, word: str) -> None:
    """Send `text`, and show `url`. `word`: of the call. Raises as `Api.call`."""
    operator = rooms.us.operator
    widget = {
        "id": PLACE,
        "type": "m.custom",
        "url": url,
        "name": url.split("/")[2],
        "creatorUserId": operator,
        "data": {},
    }
    await rooms.put(room, WIDGET, widget, PLACE)
    transaction = hashlib.sha256(word.encode()).hexdigest()
    # Nobody is mentioned by it, whatever a title looks like.
    message = {"msgtype": "m.text", "body": text, "m.mentions": {}}
    await rooms.api.call("PUT", path(f"{CLIENT}/rooms", room.id, "send", "m.room.message", transaction), message)
