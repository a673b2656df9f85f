"""Every random choice of a build: a pure function of (seed, purpose, stable ids).

Nothing here has a state, so that neither the runner, nor the number of workers, nor the order of
the work can change what is drawn. Philox is counter-based and keyed by a hash of the names.
"""

import hashlib
import json
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Name = str | int


def _digest(seed: int, purpose: str, names: tuple[Name, ...]) -> bytes:
    # JSON keeps ("ab", "c") and ("a", "bc"), and 1 and "1", apart.
    text = json.dumps([seed, purpose, *names], ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def sort_key(seed: int, purpose: str, *names: Name) -> bytes:
    """16 bytes that put things into a seeded order."""
    return _digest(seed, purpose, names)


def sort_keys(seed: int, purpose: str, names: Iterable[tuple[Name, ...]]) -> npt.NDArray[np.uint64]:
    """The keys of many things as numbers in the same order: uint64 [n, 2], by rows."""
    # One string of bytes grows instead of as many objects as there are things.
    joined = bytearray()
    for one in names:
        joined += _digest(seed, purpose, one)
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def uniform(seed: int, purpose: str, *names: Name) -> float:
    """One number in [0, 1)."""
    # 53 bits, as many as a float64 holds.
    return (int.from_bytes(_digest(seed, purpose, names)[:8], "little") >> 11) * 2.0**-53


class Uniforms:
    """What `generator(…).random(count)` gives, for many names one after the other.

    Most of the time of a generator goes into making it; here one is set back and given a key. Not
    for several threads at once.
    """

    def __init__(self) -> None:
        self._bits = np.random.Philox(key=0)
        self._generator = np.random.Generator(self._bits)
        self._fresh = self._bits.state

    def draw(self, count: int, seed: int, purpose: str, *names: Name) -> npt.NDArray[np.float64]:
        """float64 [count] in [0, 1)."""
        key = np.frombuffer(_digest(seed, purpose, names), dtype="<u8")
        self._fresh["state"]["key"] = key
        self._bits.state = self._fresh
        return self._generator.random(count)


def generator(seed: int, purpose: str, *names: Name) -> np.random.Generator:
    """A generator that belongs to these names alone."""
    key = np.frombuffer(_digest(seed, purpose, names), dtype="<u8")
    return np.random.Generator(np.random.Philox(key=key))
