"""Small damages of bytes, drawn by a generator: what storage, tools and attackers do to files."""

import re
import struct
from collections.abc import Callable, Sequence

import numpy as np

# Inputs stay small, so that thousands of them are tried in a second.
MOST_BYTES = 1 << 18
_NUMBER = re.compile(rb"-?\d+")
# Borders of integers, and sizes that ask for too much memory.
_NUMBERS = (
    *(0, 1, 2, 3, 4, 7, 8, 16, 0x7F, 0x80, 0xFF, 0x100, 0x3FF, 0x400, 0x7FFF, 0x8000, 0xFFFF),
    *(1 << 16, 1 << 20, 1 << 24, (1 << 26) + 1, (1 << 28) - 1, 1 << 30, (1 << 31) - 1, 1 << 31),
    *((1 << 32) - 1, 1 << 32, 1 << 40, 1 << 53, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
)
_TEXTS = (b"-1", b"1e999", b"NaN", b"0.5", b"null", b"true", b"[]", b"{}", b'""', b"99999999999999")
_WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}

Mutation = Callable[[bytearray, np.random.Generator, Sequence[bytes]], None]


def mutate(
    data: bytes, random: np.random.Generator, words: Sequence[bytes], others: Sequence[bytes]
) -> bytes:
    """A damaged copy.

    Args:
      data: what is damaged.
      random: draws one to six damages.
      words: that mean something in the format.
      others: valid inputs, of which a part may be taken.
    """
    found = bytearray(data)
    # Most of all few: what is damaged in many places is refused by the first of them.
    for _ in range(min(6, int(random.geometric(0.5)))):
        if random.random() < 0.1:
            _splice(found, random, others)
        else:
            _MUTATIONS[int(random.integers(len(_MUTATIONS)))](found, random, words)
    return bytes(found[:MOST_BYTES])


def _place(found: bytearray, random: np.random.Generator, room: int = 0) -> int:
    """A place with so many bytes after it; 0 where there is none."""
    return int(random.integers(max(1, len(found) - room + 1)))


def _some(random: np.random.Generator, most: int) -> int:
    """A size: as often below 16 as above."""
    return int(random.integers(1, 1 + min(most, 16 if random.random() < 0.5 else 1 << 14)))


def _flip_bit(found: bytearray, random: np.random.Generator, _: Sequence[bytes]) -> None:
    if found:
        found[_place(found, random, 1)] ^= 1 << int(random.integers(8))


def _set_byte(found: bytearray, random: np.random.Generator, _: Sequence[bytes]) -> None:
    if found:
        found[_place(found, random, 1)] = int(random.integers(256))


def _set_number(found: bytearray, random: np.random.Generator, _: Sequence[bytes]) -> None:
    width = (1, 2, 4, 8)[int(random.integers(4))]
    if len(found) < width:
        return
    value = _NUMBERS[int(random.integers(len(_NUMBERS)))] & ((1 << 8 * width) - 1)
    order = "<>"[int(random.integers(2))]
    place = _place(found, random, width)
    if random.random() < 0.5:  # where length fields lie
        place -= place % width
    found[place : place + width] = struct.pack(order + _WIDTHS[width], value)


def _shift_number(found: bytearray, random: np.random.Generator, _: Sequence[bytes]) -> None:
    """A little more or less than what stands there, as an off-by-one in a length."""
    width = (1, 2, 4, 8)[int(random.integers(4))]
    if len(found) < width:
        return
    form = "<>"[int(random.integers(2))] + _WIDTHS[width]
    place = _place(found, random, width)
    [value] = struct.unpack_from(form, found, place)
    step = int(random.integers(-16, 17))
    struct.pack_into(form, found, place, (value + step) & ((1 << 8 * width) - 1))


def _truncate(found: bytearray, random: np.random.Generator, _: Sequence[bytes]) -> None:
    del found[_place(found, random) :]


def _drop(found: bytearray, random: np.random.Generator, _: Sequence[bytes]) -> None:
    place = _place(found, random)
    del found[place : place + _some(random, max(1, len(found)))]


def _repeat(found: bytearray, random: np.random.Generator, _: Sequence[bytes]) -> None:
    place = _place(found, random)
    part = found[place : place + _some(random, max(1, len(found)))]
    times = int(random.integers(1, 4)) if random.random() < 0.9 else int(random.integers(4, 200))
    found[place:place] = part * min(times, 1 + MOST_BYTES // (1 + len(part)))


def _insert_word(found: bytearray, random: np.random.Generator, words: Sequence[bytes]) -> None:
    place, word = _place(found, random), _word(random, words)
    end = place + (len(word) if random.random() < 0.5 else 0)
    found[place:end] = word


def _set_text_number(found: bytearray, random: np.random.Generator, _: Sequence[bytes]) -> None:
    """Another number where digits stand, as in JSON and in the headers of tars."""
    matches = list(_NUMBER.finditer(found))
    if matches:
        chosen = matches[int(random.integers(len(matches)))]
        number = str(_NUMBERS[int(random.integers(len(_NUMBERS)))]).encode()
        texts = (*_TEXTS, number, b"-" + number)
        found[chosen.start() : chosen.end()] = texts[int(random.integers(len(texts)))]


def _fill(found: bytearray, random: np.random.Generator, _: Sequence[bytes]) -> None:
    """A run of one byte, or of noise."""
    size = _some(random, MOST_BYTES)
    noise = random.bytes(size) if random.random() < 0.5 else bytes([random.integers(256)]) * size
    place = _place(found, random)
    end = place + (size if random.random() < 0.5 else 0)
    found[place:end] = noise


def _swap(found: bytearray, random: np.random.Generator, _: Sequence[bytes]) -> None:
    """Two parts change places."""
    size = _some(random, max(1, len(found) // 2))
    first, second = _place(found, random, size), _place(found, random, size)
    if abs(first - second) >= size:
        one, other = found[first : first + size], found[second : second + size]
        found[first : first + size], found[second : second + size] = other, one


def _splice(found: bytearray, random: np.random.Generator, others: Sequence[bytes]) -> None:
    """A part of another input, in place of a part of this one or between two."""
    other = others[int(random.integers(len(others)))]
    start = int(random.integers(len(other) + 1))
    part = other[start : start + _some(random, max(1, len(other)))]
    place = _place(found, random)
    end = place + (len(part) if random.random() < 0.5 else 0)
    found[place:end] = part


def _word(random: np.random.Generator, words: Sequence[bytes]) -> bytes:
    known = words or _TEXTS
    return known[int(random.integers(len(known)))]


_MUTATIONS: tuple[Mutation, ...] = (
    *(_flip_bit, _set_byte, _set_number, _set_number, _shift_number, _truncate, _drop),
    *(_repeat, _insert_word, _insert_word, _set_text_number, _fill, _swap),
)
