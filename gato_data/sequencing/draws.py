"""Every random choice of a build: a pure function of (seed, purpose, stable ids).

Nothing here has a state, so that neither the runner, nor the number of workers, nor the order of
the work can change what is drawn. Philox is counter-based and keyed by a hash of the names.
"""

import hashlib
import json

import numpy as np

Name = str | int


def _digest(seed: int, purpose: str, names: tuple[Name, ...]) -> bytes:
    # JSON keeps ("ab", "c") and ("a", "bc"), and 1 and "1", apart.
    text = json.dumps([seed, purpose, *names], ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def sort_key(seed: int, purpose: str, *names: Name) -> bytes:
    """16 bytes that put things into a seeded order."""
    return _digest(seed, purpose, names)


def uniform(seed: int, purpose: str, *names: Name) -> float:
    """One number in [0, 1)."""
    # 53 bits, as many as a float64 holds.
    return (int.from_bytes(_digest(seed, purpose, names)[:8], "little") >> 11) * 2.0**-53


def generator(seed: int, purpose: str, *names: Name) -> np.random.Generator:
    """A generator that belongs to these names alone."""
    key = np.frombuffer(_digest(seed, purpose, names), dtype="<u8")
    return np.random.Generator(np.random.Philox(key=key))
