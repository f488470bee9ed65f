"""CityHash64, version 1.0, Pike and Alakuijala, Google 2011: how CatBoost tells the words of a category apart."""

LONGEST = 32
"""Bytes of a word that is hashed here."""

_ALL = (1 << 64) - 1
_K0, _K1, _K2, _K3 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F, 0xC949D7C7509E6557
_MIX = 0x9DDFEA08EB382D69


def hashed(word: str) -> int | None:
    """The number that CatBoost writes for a word, int32; None for one of more than 32 bytes."""
    text = word.encode()
    if len(text) > LONGEST:
        return None
    low = _city(text) & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def _city(s: bytes) -> int:
    n = len(s)
    if n > 16:
        a, b, c, d = _at(s, 0) * _K1 & _ALL, _at(s, 8), _at(s, n - 8) * _K2 & _ALL, _at(s, n - 16) * _K0 & _ALL
        return _mixed(_turned(a - b & _ALL, 43) + _turned(c, 30) + d & _ALL, a + _turned(b ^ _K3, 20) - c + n & _ALL)
    if n > 8:
        a, b = _at(s, 0), _at(s, n - 8)
        return _mixed(a, _turned(b + n & _ALL, n)) ^ b
    if n >= 4:
        return _mixed(n + (_at(s, 0, 4) << 3) & _ALL, _at(s, n - 4, 4))
    if not n:
        return _K2
    found = ((s[0] + (s[n >> 1] << 8)) * _K2 & _ALL) ^ ((n + (s[-1] << 2)) * _K3 & _ALL)
    return (found ^ found >> 47) * _K2 & _ALL


def _at(s: bytes, place: int, size: int = 8) -> int:
    return int.from_bytes(s[place : place + size], "little")


def _turned(value: int, by: int) -> int:
    return (value >> by | value << 64 - by) & _ALL


def _mixed(low: int, high: int) -> int:
    a = (low ^ high) * _MIX & _ALL
    a ^= a >> 47
    b = (high ^ a) * _MIX & _ALL
    b ^= b >> 47
    return b * _MIX & _ALL
