"""The draws of a corpus by their published recipe: a hash of names, and Philox keyed by one."""

import hashlib
import json

import numpy as np


def hashed(seed: int, purpose: str, *names: str | int) -> bytes:
    """BLAKE2b-128 of the JSON list [seed, purpose, names …]; things are ordered by it, too."""
    text = json.dumps([seed, purpose, *names])
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).digest()


def uniform(seed: int, purpose: str, *names: str | int) -> float:
    """A number in [0, 1): the upper 53 bits of the first eight bytes, which are little-endian."""
    number = int.from_bytes(hashed(seed, purpose, *names)[:8], "little")
    return (number // 2**11) / 2**53


def window_numbers(
    seed: int, dataset: str, name: str, pass_number: int, windows: int
) -> list[float]:
    """What Philox gives for the windows of one document: the phase, then four for each window.

    Of the four, the last one is the window's start; the others are for prompts, which corpora have
    none of.
    """
    digest = hashed(seed, "windows", dataset, name, pass_number)
    key = [int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")]
    generator = np.random.Generator(np.random.Philox(key=np.array(key, np.uint64)))
    return [float(generator.random()) for _ in range(1 + 4 * windows)]
