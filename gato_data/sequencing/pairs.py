"""Groups of image-text pairs (Gato paper, section 3.2).

"We sample five (image, text) pairs, tokenize them, concatenate, and then pad or randomly crop to
the required training sequence length." Pairs are taken in turn from a seeded order of a piece of
the corpus, so that each is used once in a pass; a last group is filled from the start of the order.
"""

import itertools
from collections.abc import Sequence

from gato_data.sequencing import draws


def choose_alternative(count: int, seed: int, dataset: str, record: str, pass_number: int) -> int:
    """Which of several captions or answers of a record a pass takes."""
    return int(draws.uniform(seed, "alternative", dataset, record, pass_number) * count)


def group(
    ids: Sequence[str], size: int, seed: int, dataset: str, pass_number: int
) -> list[list[int]]:
    """Which pairs make a sequence together.

    Args:
      ids: of the pairs of a piece.
      size: pairs in a group.
      seed, dataset, pass_number: what the order depends on.

    Returns:
      For each group the numbers of its `size` pairs, in order. Where there are fewer pairs than
      `size`, some stand in it more than once.
    """

    def order(number: int) -> bytes:
        return draws.sort_key(seed, "pairs", dataset, pass_number, ids[number])

    ordered = sorted(range(len(ids)), key=order)
    groups = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    if groups:
        again = itertools.cycle(ordered)
        groups[-1] += itertools.islice(again, size - len(groups[-1]))
    return groups


def crop(
    sizes: Sequence[int], length: int, seed: int, dataset: str, first: str, pass_number: int
) -> tuple[int, list[tuple[int, int]]]:
    """The window of L tokens of a group, or all of it where it is no longer.

    Args:
      sizes: tokens of its pairs.
      length: L.
      seed, dataset, pass_number: what the offset depends on.
      first: the id of its first pair.

    Returns:
      The offset of the window in the concatenated pairs, and of each pair the tokens
      [start, stop) that lie in it.
    """
    excess = max(0, sum(sizes) - length)
    offset = int(draws.uniform(seed, "crop", dataset, first, pass_number) * (excess + 1))
    ranges = []
    begin = 0
    for size in sizes:
        start, stop = (min(max(end - begin, 0), size) for end in (offset, offset + length))
        ranges.append((start, stop))
        begin += size
    return offset, ranges
