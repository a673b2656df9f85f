"""Damage done to the files of a build, for tests."""

from pathlib import Path


def flip(path: Path, at: int, bit: int = 0) -> bytes:
    """Turns one bit over; returns what was there."""
    data = path.read_bytes()
    path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
    return data
