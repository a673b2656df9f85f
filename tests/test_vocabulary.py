"""The id map of the paper, section 2.1, and what the paper leaves open."""

import numpy as np
import pytest

from gato_data import vocabulary
from gato_data.vocabulary import Modality, Vocabulary


@pytest.mark.fidelity("id-map")
def test_ids() -> None:
    assert vocabulary.TEXT_SIZE == vocabulary.CONTINUOUS_START == 32000
    assert vocabulary.CONTINUOUS_START + vocabulary.CONTINUOUS_BINS == 33024
    assert vocabulary.DISCRETE_SIZE == 1024
    assert (vocabulary.SEPARATOR, vocabulary.PADDING, vocabulary.IMAGE) == (33024, 33025, 33026)
    assert vocabulary.BASE_SIZE == 33027


@pytest.mark.fidelity("local-positions", "action-position", "separator-position")
def test_local_positions() -> None:
    assert vocabulary.LOCAL_POSITIONS == 512
    assert vocabulary.ACTION_POSITION == 512
    assert vocabulary.NO_POSITION == -1


def test_modalities() -> None:
    assert [getattr(Modality, name.upper()) for name in Modality.NAMES] == [0, 1, 2, 3, 4, 5]
    assert Modality.NAMES == ("padding", "text", "image", "discrete", "continuous", "separator")


@pytest.mark.parametrize(
    ("offset", "size", "dtype"),
    [
        (0, 33027, np.uint16),
        (33027, 34051, np.uint16),
        (64512, 65536, np.uint16),  # the last id is 65535
        (64513, 65537, np.uint32),
        (2**32 - 1024, 2**32, np.uint32),
    ],
)
def test_size_and_type(offset: int, size: int, dtype: type[np.unsignedinteger]) -> None:
    found = Vocabulary(offset)
    assert found.size == size
    assert found.dtype == dtype
    assert np.iinfo(found.dtype).max >= size - 1


@pytest.mark.parametrize("offset", [-1, 1, 1024, 33024, 33026])
def test_offsets_that_collide(offset: int) -> None:
    with pytest.raises(ValueError, match=f"0 or at least 33027, not {offset}: anything between"):
        Vocabulary(offset)


def test_offsets_beyond_32_bits() -> None:
    with pytest.raises(ValueError, match="at most 4294966272, not 4294966273"):
        Vocabulary(2**32 - 1023)


def test_json() -> None:
    expected = {
        "size": 33027,
        "dtype": "uint16",
        "text": [0, 32000],
        "discrete": [0, 1024],
        "continuous": [32000, 33024],
        "separator": 33024,
        "padding": 33025,
        "image": 33026,
    }
    assert Vocabulary().to_json() == expected
    moved = {"size": 41024, "discrete": [40000, 41024]}
    assert Vocabulary(40000).to_json() == expected | moved
