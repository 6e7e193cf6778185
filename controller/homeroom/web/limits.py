"""How often somebody may try: token buckets, in memory.

Not in the store: whoever is a stranger must not be able to make us write, and a restart forgives one burst at most.
With several processes each counts for itself. Neighbours: `site` (per address, and all together), `desk` (per key and
per teacher).
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_BUCKETS: Final = 20_000
"""So many are remembered of each kind, some MB; the limit for all together bounds whoever has more addresses."""


class Limit:
    """At most `burst` attempts at once per key, and one more every `seconds`."""

    def __init__(self, *, burst: int, seconds: float, monotonic: Callable[[], float]) -> None:
        self._burst, self._seconds, self._monotonic = burst, seconds, monotonic
        self._free: OrderedDict[str, float] = OrderedDict()  # when the bucket of a key is full again, oldest use first

    def take(self, key: str = "") -> bool:
        """Whether one more attempt is allowed now; then it is counted."""
        now = self._monotonic()
        full = max(self._free.get(key, now), now) + self._seconds
        if full > now + self._burst * self._seconds:
            return False
        self._free[key] = full
        self._free.move_to_end(key)
        if len(self._free) > _BUCKETS:
            self._free.popitem(last=False)
        return True


def network(address: str) -> str:
    """What counts as one address: of IPv6 its /64, since whoever has one of these has all of it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
