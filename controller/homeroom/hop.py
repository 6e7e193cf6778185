"""What trying out one step towards the outside tells; sources and targets answer `check` with these."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One step on the way: its name ("name resolution", "log-in"), `ok`, and in plain words what was seen and to do."""

    name: str
    ok: bool
    words: str


async def name_resolution(host: str, port: int) -> Hop:
    """The first step to any server: whether its name is known here."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        words = f"the name {host} is not known here: check the address, and the DNS of the cluster"
        return Hop(name="name resolution", ok=False, words=words)
    words = f"{host} is {', '.join(sorted({str(entry[4][0]) for entry in found}))}"
    return Hop(name="name resolution", ok=True, words=words)
