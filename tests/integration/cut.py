"""Lines that are cut, for the tests of every product: a middleware of the HTTP client."""

from __future__ import annotations

import aiohttp


class Cut:
    """A line that is cut for good after some requests: before the next one is sent, or before its answer arrives."""

    def __init__(self, *, after: int, unheard: bool) -> None:
        self.left = after
        self.unheard = unheard

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        self.left -= 1
        if self.left < 0 and not (self.unheard and self.left == -1):
            raise aiohttp.ClientConnectionError
        answer = await handler(request)
        if self.left < 0:
            await answer.read()
            answer.release()
            raise aiohttp.ClientConnectionError
        return answer
