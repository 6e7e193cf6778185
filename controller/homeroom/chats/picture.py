"""The picture of a chat, as a declaration brings it: what can be one. Pure.

The picture of a chat belongs to its people. A declared one is shown once, and again only after it was declared anew:
by its digest, which the platform keeps with the mark of the chat. Neighbours: `homeroom.reconcile.avatar` (fetches it),
`homeroom.platforms` (show it).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from homeroom.api.reasons import Reason
from homeroom.errors import InvalidSpecError

LARGEST: Final = 256 << 10
"""Bytes. Programs show it the size of a thumbnail, and a ConfigMap holds a mebibyte at most."""

_BEGINNINGS: Final = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
"""No SVG: that is a document, with scripts in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A PNG or JPEG. `type`: its media type."""

    content: bytes = field(repr=False)
    type: str

    @property
    def digest(self) -> str:
        """SHA-256 of the content, in hex."""
        return hashlib.sha256(self.content).hexdigest()


def picture_of(content: bytes) -> Picture:
    """What these bytes are, by the first of them. Raises InvalidSpecError for anything but a small PNG or JPEG."""
    if len(content) > LARGEST:
        raise InvalidSpecError(
            f"the picture has {len(content) >> 10} KiB: make it smaller, {LARGEST >> 10} KiB at most",
            reason=Reason.AVATAR_UNUSABLE,
        )
    for beginning, type_ in _BEGINNINGS.items():
        if content.startswith(beginning):
            return Picture(content=content, type=type_)
    raise InvalidSpecError("the picture is no PNG and no JPEG: save it as one", reason=Reason.AVATAR_UNUSABLE)
