"""A picture is read from a ConfigMap that is labelled for it, and from no other."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from aiohttp import web
from tests.unit.operator.test_api import status, talking_to

from homeroom.errors import TransientError
from homeroom.operator.cluster import read_picture

LABEL = {"homeroom.dev/use": "pictures"}
CONTENT = b"\x89PNG\r\n\x1a\n\x00"
FILES = {"logo.png": base64.b64encode(CONTENT).decode()}


async def read(found: dict[str, Any] | int) -> bytes:
    """What is read where the API server answers so."""

    def answer(request: web.Request) -> web.Response:
        assert request.path == "/api/v1/namespaces/n/configmaps/pictures"
        return status(found, "no") if isinstance(found, int) else web.json_response(found)

    async with talking_to(answer) as api:
        return await read_picture(api, namespace="n", name="pictures", key="logo.png")


async def test_a_file_of_a_labelled_config_map_is_read() -> None:
    assert await read({"metadata": {"labels": LABEL}, "binaryData": FILES}) == CONTENT


@pytest.mark.parametrize(
    ("found", "reason", "words"),
    [
        (404, "AvatarNotFound", "ConfigMap n/pictures does not exist"),
        (403, "Forbidden", "take `manifests/components/pictures` into its namespace"),
        ({"metadata": {}, "binaryData": FILES}, "AvatarNotFound", "must carry the label `homeroom.dev/use: pictures`"),
        (
            {"metadata": {"labels": {"homeroom.dev/use": "credentials"}}, "binaryData": FILES},
            "AvatarNotFound",
            "must carry the label",
        ),
        ({"metadata": {"labels": LABEL}, "data": {"logo.png": "text"}}, "AvatarNotFound", "has no file `logo.png`"),
        ({"metadata": {"labels": LABEL}}, "AvatarNotFound", "below `binaryData`"),
    ],
)
async def test_what_cannot_be_read_is_told_in_words(found: dict[str, Any] | int, reason: str, words: str) -> None:
    with pytest.raises(TransientError) as caught:
        await read(found)
    assert caught.value.reason == reason
    assert words in caught.value.message
