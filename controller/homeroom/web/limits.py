"""How often somebody may try: token buckets, in memory.

Not in the store: whoever is a stranger must not be able to make us write, and a restart forgives one burst at most.
With several processes each counts for itself. Neighbours: `pages` (per address and network, and all together), `desk`
(per key and per teacher), `chats` (per visit, per person and per account).
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


def network(address: str) -> tuple[str, str]:
    """What counts as one address, and the network that a single customer may have all of.

    Of IPv6 a /64 and a /48, since whoever has one of these has all of it; of IPv4 the address itself and its /24.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "", ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    bits = (32, 24) if isinstance(parsed, ipaddress.IPv4Address) else (64, 48)
    one, whole = (str(ipaddress.ip_network((parsed, length), strict=False)) for length in bits)
    return one, whole
