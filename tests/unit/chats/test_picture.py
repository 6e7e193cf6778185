"""What can be the picture of a chat."""

from __future__ import annotations

import pytest

from homeroom.chats.picture import LARGEST, picture_of
from homeroom.errors import InvalidSpecError

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


@pytest.mark.parametrize(("content", "type_"), [(PNG + b"1", "image/png"), (JPEG + b"\xe0", "image/jpeg")])
def test_a_png_or_a_jpeg_is_one(content: bytes, type_: str) -> None:
    found = picture_of(content)
    assert (found.content, found.type) == (content, type_)
    assert found.digest != picture_of(content + b"2").digest
    assert picture_of(content.ljust(LARGEST)).type == type_


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG",
        b"GIF89a",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b" " + PNG,
        PNG.decode("latin1").encode(),
    ],
)
def test_nothing_else_is(content: bytes) -> None:
    with pytest.raises(InvalidSpecError, match="no PNG and no JPEG") as caught:
        picture_of(content)
    assert caught.value.reason == "AvatarUnusable"


def test_a_large_one_is_none() -> None:
    with pytest.raises(InvalidSpecError, match="the picture has 256 KiB: make it smaller") as caught:
        picture_of(PNG.ljust(LARGEST + 1))
    assert caught.value.reason == "AvatarUnusable"
