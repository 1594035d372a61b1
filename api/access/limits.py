"""How often somebody may ask: so many requests a second, saved up for some seconds, for each person and each address.

The generic cell rate algorithm (ITU-T I.371, annex A): one number for each key, the time at which all it has asked for
would be paid at its rate. What is refused is not counted. Kept in this process only, and for the latest keys only:
whoever is forgotten starts anew with all of the burst.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import Counter
from functools import lru_cache

from api.http.errors import ApiError
from ingest.settings import Settings

BURST_S = 10.0  # a list scrolled through fast asks for hundreds of small pictures, then for none
KEYS_MAX = 10_000  # a megabyte; more people than a plant has, and an attack from more addresses forgets only itself
STREAMS_MAX = 20  # of one person: a browser keeps six connections to a place, and somebody has three at work
STREAM_WAIT_S = 5
UNLIMITED = ("/healthz", "/readyz", "/api/control/mode")  # whoever stops the line is never told to wait


class Rate:
    """`per_s` requests a second for each key, with as many as `burst_s` seconds bring at once. For one event loop."""

    def __init__(self, per_s: float, burst_s: float = BURST_S, keys_max: int = KEYS_MAX) -> None:
        self._each_s = 1.0 / per_s
        self._burst_s = burst_s
        self._keys_max = keys_max
        self._paid_at: dict[str, float] = {}  # the one longest silent first

    def wait_s(self, key: str, now_s: float) -> float:
        """0: it may ask now, and this counts. Else the seconds until it may."""
        paid_at = max(now_s, self._paid_at.get(key, 0.0))
        wait_s = paid_at + self._each_s - now_s - max(self._burst_s, self._each_s)
        if wait_s > 1e-9:
            return wait_s
        self._paid_at.pop(key, None)
        self._paid_at[key] = paid_at + self._each_s
        if len(self._paid_at) > self._keys_max:
            del self._paid_at[next(iter(self._paid_at))]
        return 0.0


class Limits:
    """The limits of one API process."""

    def __init__(self, settings: Settings) -> None:
        self._people = Rate(settings.person_requests_s_max)
        self._addresses = Rate(settings.address_requests_s_max)
        self._streams: Counter[str] = Counter()

    def check_address(self, path: str, address: str) -> None:
        """Asked before it is known who asks. Raises ApiError 429."""
        _check(self._addresses, path, block_of(address), "this address")

    def check_person(self, path: str, name: str) -> None:
        """Raises ApiError 429."""
        _check(self._people, path, name, name)

    def begin_stream(self, name: str) -> None:
        """Raises ApiError 429 when this person has too many open."""
        if self._streams[name] >= STREAMS_MAX:
            said = f"{name} has {STREAMS_MAX} streams open: close one"
            raise ApiError(429, said, None, {"Retry-After": str(STREAM_WAIT_S)})
        self._streams[name] += 1

    def end_stream(self, name: str) -> None:
        self._streams[name] -= 1
        if not self._streams[name]:
            del self._streams[name]


def _check(rate: Rate, path: str, key: str, who: str) -> None:
    if path in UNLIMITED:
        return
    if wait_s := rate.wait_s(key, time.monotonic()):
        headers = {"Retry-After": str(math.ceil(wait_s))}
        raise ApiError(429, f"too many requests of {who}: try again in {math.ceil(wait_s)} s", None, headers)


@lru_cache(maxsize=1000)
def block_of(address: str) -> str:
    """What one machine has: an IPv4 address, of IPv6 the network of 64 bits in which it chooses freely (RFC 4291)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(parsed), 64), strict=False))
    return address
