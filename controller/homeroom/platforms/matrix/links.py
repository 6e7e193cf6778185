"""Links to rooms, for tables that people read. Pure. Neighbour: `platform`, which makes the rooms."""

from __future__ import annotations

from urllib.parse import quote


def link(room: str, *, server: str) -> str:
    """The address under which any client opens a room, by its id; it lets nobody in who is not a member."""
    return f"https://matrix.to/#/{quote(room, safe='!')}?via={quote(server, safe='')}"


def masked(room: str) -> str:
    """Enough of a room's id to tell two apart by eye, and too little to make a link of."""
    return f"…{room.partition(':')[0][-4:]}"
