"""Attributes, sizes and checksums of episodes, and what counts as damage."""

import itertools
import struct

import google_crc32c
import numpy as np
import pytest

from gato_data.readers.features import Leaf
from gato_data.readers.minari_storage import (
    Attributes,
    Budget,
    StoredEpisode,
    TooLargeError,
)
from gato_data.storage.example import BytesColumn

NOTHING = Attributes.of([])


def texts(*parts: bytes) -> BytesColumn:
    lengths = np.array([len(part) for part in parts], np.int64)
    return BytesColumn(b"".join(parts), np.cumsum(lengths) - lengths, lengths)


# No two of these hold the same.
EPISODES = {
    "empty": StoredEpisode(NOTHING, {}, {}, 0),
    "attribute": StoredEpisode(Attributes.of([("id", 1)]), {}, {}, 0),
    "other attribute": StoredEpisode(Attributes.of([("id", 2)]), {}, {}, 0),
    "unreadable attribute": StoredEpisode(Attributes.of([("id", [])]), {}, {}, 0),
    "unreadable": StoredEpisode(NOTHING, {}, {"a": "why"}, 0),
    "numbers": StoredEpisode(NOTHING, {"a": np.array([1, 2])}, {}, 0),
    "other numbers": StoredEpisode(NOTHING, {"a": np.array([1, 3])}, {}, 0),
    "other path": StoredEpisode(NOTHING, {"b": np.array([1, 2])}, {}, 0),
    "other shape": StoredEpisode(NOTHING, {"a": np.array([[1, 2]])}, {}, 0),
    "other type": StoredEpisode(NOTHING, {"a": np.array([1, 2], np.uint64)}, {}, 0),
    "texts": StoredEpisode(NOTHING, {"a": texts(b"ab", b"c")}, {}, 0),
    "other ends": StoredEpisode(NOTHING, {"a": texts(b"a", b"bc")}, {}, 0),
    "other texts": StoredEpisode(NOTHING, {"a": texts(b"ab", b"d")}, {}, 0),
}


def test_the_checksum_covers_everything() -> None:
    crcs = {name: episode.crc for name, episode in EPISODES.items()}
    for (first, one), (second, other) in itertools.combinations(crcs.items(), 2):
        assert one != other, (first, second)


def test_the_checksum_is_that_of_the_content() -> None:
    # Pinned: the rows of an index that is there already hold it.
    hashed = b'[{"unreadable": {}, "values": {}}, {}]' + b"a <i8 (2,);" + struct.pack("<qq", 1, 2)
    assert EPISODES["numbers"].crc == google_crc32c.value(hashed)
    one, other = {"a": np.array([1]), "b": texts(b"x")}, {"b": texts(b"x"), "a": np.array([1])}
    assert StoredEpisode(NOTHING, one, {}, 0).crc == StoredEpisode(NOTHING, other, {}, 9).crc


def test_attributes_are_texts_and_numbers() -> None:
    found = Attributes.of(
        [
            ("text", "ü"),
            ("options/deep", -(1 << 63)),
            ("seed", (1 << 64) - 1),
            ("good", False),
            ("score", float("nan")),
            ("none", None),
            ("small", -(1 << 63) - 1),
            ("large", 1 << 64),
            ("list", [1]),
            ("half", "\ud800"),
            ("\ud800", 3),
        ]
    )
    assert [(leaf.path, leaf.kind, leaf.dtype, leaf.obstacle is None) for leaf in found.leaves] == [
        ("episode_metadata/text", "text", "string", True),
        ("episode_metadata/options/deep", "tensor", "int64", True),
        ("episode_metadata/seed", "tensor", "int64", True),
        ("episode_metadata/good", "tensor", "bool", True),
        ("episode_metadata/score", "tensor", "float64", True),
        ("episode_metadata/?", "tensor", "int64", True),
        ("episode_metadata/small", "tensor", "float64", False),
        ("episode_metadata/large", "tensor", "float64", False),
        ("episode_metadata/list", "tensor", "float64", False),
        ("episode_metadata/half", "tensor", "float64", False),
    ]
    assert not any(leaf.per_step or leaf.shape for leaf in found.leaves)
    assert isinstance(found.leaves[0], Leaf)


def test_a_budget_ends() -> None:
    budget = Budget(10)
    budget.take(4)
    budget.take(6)
    with pytest.raises(TooLargeError, match="take 11 bytes or more, over the limit of 10"):
        budget.take(1)


def test_a_budget_as_large_as_the_peak_of_another_allows_the_same() -> None:
    budget = Budget(10)
    for size in (7, 2):
        budget.take(size)
    budget.restart()
    budget.take(8)
    assert budget.peak == 9
    again = Budget(9)
    again.take(9)
    with pytest.raises(TooLargeError):
        again.take(1)
