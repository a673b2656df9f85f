"""How documents and pairs become sequences: windows, packs, groups, crops, and pieces of files."""

from collections.abc import Sequence
from typing import TypeVar

# Records of an input file in a run, at most, by whether they have images; and its stored bytes.
RUN_RECORDS = {True: 256, False: 4096}
RUN_BYTES = 64 * 2**20

T = TypeVar("T")


def runs(sizes: Sequence[int], has_images: bool) -> list[list[int]]:
    """Positions of the records of one file, run by run.

    Args:
      sizes: stored bytes of each record.
      has_images: whether the records are of images.
    """
    found: list[list[int]] = []
    stored = 0
    for number, size in enumerate(sizes):
        full = not found or len(found[-1]) == RUN_RECORDS[has_images]
        if full or stored + size > RUN_BYTES:
            found.append([])
            stored = 0
        found[-1].append(number)
        stored += size
    return found


def joined(pieces: list[list[T]], sizes: list[int], least: int) -> list[list[T]]:
    """Pieces with at least so many pairs; too small ones go together with those that follow.

    Args:
      pieces: records.
      sizes: pairs of each piece.
      least: pairs of a sequence.
    """
    found: list[list[T]] = []
    open_piece: list[T] = []
    pairs = 0
    for piece, size in zip(pieces, sizes, strict=True):
        open_piece, pairs = open_piece + piece, pairs + size
        if pairs >= least:
            found.append(open_piece)
            open_piece, pairs = [], 0
    if open_piece:
        if not found:
            raise ValueError(f"{pairs} pairs do not make a sequence of {least}")
        found[-1] = found[-1] + open_piece
    return found


def filled(pieces: list[list[T]], weights: list[int], has_images: bool) -> list[list[T]]:
    """Pieces of documents that are packed: neighbours together, up to the size of a run.

    Args:
      pieces: records.
      weights: stored bytes of each piece.
      has_images: whether the records are of images.
    """
    found: list[list[T]] = []
    stored = 0
    for piece, weight in zip(pieces, weights, strict=True):
        fits = found and len(found[-1] + piece) <= RUN_RECORDS[has_images]
        if fits and stored + weight <= RUN_BYTES:
            found[-1] = found[-1] + piece
            stored += weight
        else:
            found.append(piece)
            stored = weight
    return found


def cover(tokens: int, length: int, phase: float) -> list[int]:
    """Starts of windows that hold every token of a document, walking from a phase before it."""
    if tokens <= length:
        return [0]
    starts = []
    walk = -int(phase * length)
    while walk + length < tokens:
        starts.append(max(0, walk))
        walk += length
    return [*starts, tokens - length]


def random(tokens: int, length: int, draws: Sequence[float]) -> list[int]:
    """Starts of windows that lie anywhere in a document, one for each draw."""
    places = max(0, tokens - length) + 1
    return [int(draw * places) for draw in draws]


def packed(sizes: Sequence[int], length: int) -> list[list[int]]:
    """Which documents go into which sequence.

    Each goes where the least room is left after it, of several such the one begun first.

    Args:
      sizes: tokens of the documents, in the order in which they are placed.
      length: tokens of a sequence.

    Returns:
      Positions of documents, in each sequence in the order in which they were placed.
    """
    sequences: list[list[int]] = []
    for document, size in enumerate(sizes):
        best, least = None, length
        for sequence in sequences:
            left = length - sum(sizes[other] for other in sequence) - size
            if 0 <= left < least:
                best, least = sequence, left
        if best is None:
            best = []
            sequences.append(best)
        best.append(document)
    return sequences


def groups(order: Sequence[T], size: int) -> list[list[T]]:
    """Pairs in turn, `size` at a time; the last group is filled up from the first ones."""
    found: list[list[T]] = []
    for first in range(0, len(order), size):
        found.append([order[place % len(order)] for place in range(first, first + size)])
    return found
