"""Matrix, on a Synapse server: chats are rooms, members are local accounts. In words for people: docs/matrix.md.

`api` makes the calls and tells their failures apart, `room` says what a room's state means and what ours shall be
(pure), `platform` reads all rooms and carries out plans, `listening` understands what is told of changes (pure),
`links` says where people find a room.
"""

from homeroom.platforms.matrix.links import link, masked
from homeroom.platforms.matrix.platform import MatrixPlatform

__all__ = ["MatrixPlatform", "link", "masked"]
