"""Which partition a key belongs to: Apache Kafka's default partitioner, the same on both logs.

Murmur2 (Austin Appleby, public domain algorithm) with Kafka's seed, as `org.apache.kafka.common.utils.Utils.murmur2`;
the partition is the hash without its sign bit, modulo the number of partitions.
"""

from __future__ import annotations

from functools import lru_cache

_SEED = 0x9747B28C  # Kafka's
_MULTIPLIER = 0x5BD1E995  # murmur2's mixing constants
_SHIFT = 24
_MASK = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """The 32-bit murmur2 hash of a key, as an unsigned integer."""
    length = len(key)
    value = (_SEED ^ length) & _MASK
    whole = length & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at : at + 4], "little") * _MULTIPLIER & _MASK
        word = (word ^ (word >> _SHIFT)) * _MULTIPLIER & _MASK
        value = (value * _MULTIPLIER & _MASK) ^ word
    if whole < length:
        value = (value ^ int.from_bytes(key[whole:], "little")) * _MULTIPLIER & _MASK
    value = (value ^ (value >> 13)) * _MULTIPLIER & _MASK
    return value ^ (value >> 15)


@lru_cache(maxsize=4096)  # the lines of a plant and the parts on them; a line's key is asked for with every record
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a keyed record in a topic of that many partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
