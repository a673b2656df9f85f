"""Views of one TFRecord record: what our layout holds, without a copy, and nothing of any other."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.records import tfrecord
from gato_data.sequencing.sequences import PATCH_FIELDS, SCALAR_FIELDS, TOKEN_FIELDS
from gato_data.storage import example, framing
from tests.records.batches import batches, random_batch, shape_of

NAMES = (*TOKEN_FIELDS, *PATCH_FIELDS, *SCALAR_FIELDS)


def framed(batch: Any) -> list[np.ndarray[Any, Any]]:
    """The bytes of each record, with its frame."""
    return [
        np.frombuffer(framing.frame(payload), np.uint8) for payload in tfrecord.serialise(batch)
    ]


@settings(max_examples=60, deadline=None)
@given(batches())
def test_views_are_the_fields_of_the_record(batch: Any) -> None:
    for number, data in enumerate(framed(batch)):
        found = tfrecord.own_views(data, NAMES, *shape_of(batch))
        assert found is not None
        for name, value in batch.record(number).items():
            if name in SCALAR_FIELDS:
                assert found[name].tolist() == [value]
            elif name in NAMES:
                np.testing.assert_array_equal(found[name], value, name, strict=True)


def test_nothing_is_copied_but_scalars_and_nothing_can_be_written() -> None:
    (data,) = framed(random_batch([3], 50))
    found = tfrecord.own_views(data, NAMES, 50, np.uint16)
    assert found is not None
    for name, value in found.items():
        assert np.shares_memory(value, data) == (name not in SCALAR_FIELDS), name
        assert not value.flags.writeable


@settings(deadline=None)
@given(st.data())
def test_any_changed_byte_and_any_other_end_is_left_to_the_careful_reader(
    data: st.DataObject,
) -> None:
    (good,) = framed(random_batch([2], 7))
    place = data.draw(st.integers(0, len(good) - 1))
    bad = good.copy()
    bad[place] ^= data.draw(st.integers(1, 255))
    assert tfrecord.own_views(bad, NAMES, 7, np.uint16) is None
    assert tfrecord.own_views(good[:place], NAMES, 7, np.uint16) is None


@pytest.mark.parametrize(("length", "dtype"), [(6, np.uint16), (7, np.uint32), (8, np.uint16)])
def test_a_record_of_another_shape_is_not_viewed(length: int, dtype: Any) -> None:
    (data,) = framed(random_batch([2], 7))
    assert tfrecord.own_views(data, NAMES, length, dtype) is None
    assert tfrecord.own_views(data, NAMES, 7, np.uint16) is not None


def test_a_record_of_another_layout_is_not_viewed() -> None:
    batch = random_batch([2], 7)
    (payload,) = tfrecord.serialise(batch)
    features = example.parse(payload)
    plain: dict[str, Any] = {
        name: (x.ints().tolist() if x.kind == example.INT64_LIST else list(x.bytes_column()))
        for name, x in features.items()
    }
    other = framing.frame(example.serialise(plain | {"unknown": [b"x"]}))
    data = np.frombuffer(other, np.uint8)
    assert tfrecord.own_views(data, NAMES, 7, np.uint16) is None
    same = np.frombuffer(framing.frame(example.serialise(plain)), np.uint8)
    assert tfrecord.own_views(same, NAMES, 7, np.uint16) is not None
