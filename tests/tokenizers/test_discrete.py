import numpy as np
import pytest

from gato_data.tokenizers import discrete


@pytest.mark.parametrize("dtype", ["bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4"])
def test_every_integer_type(dtype: str) -> None:
    values = np.array([[0, 1], [1, 100]]).astype(dtype)
    ids = discrete.encode(values, offset=40_000)
    assert ids.dtype == np.int32
    assert ids.tolist() == (values.astype(int) + 40_000).tolist()
    assert discrete.decode(ids, offset=40_000).tolist() == values.astype(int).tolist()


@pytest.mark.fidelity("discrete-ids")
def test_all_values_round_trip() -> None:
    values = np.arange(1024).reshape(4, 16, 16)
    assert discrete.encode(values).tolist() == values.tolist()  # the overlap with text ids
    np.testing.assert_array_equal(discrete.decode(discrete.encode(values)), values)


@pytest.mark.fidelity("discrete-ids")
@pytest.mark.parametrize(
    ("dtype", "bad"),
    [("i8", -1), ("i8", 1024), ("i4", 1025), ("i1", -128), ("u8", 2**64 - 1), ("i8", 2**32 + 5)],
)
def test_values_outside_the_range_are_named(dtype: str, bad: int) -> None:
    values = np.zeros((3, 4), dtype)
    values[2, 1] = bad
    with pytest.raises(ValueError, match=rf"^{bad} at index \(2, 1\) .* 0 to 1023"):
        discrete.encode(values)


@pytest.mark.parametrize("bad", [33026, 34051, 0])
def test_ids_outside_the_range_are_named(bad: int) -> None:
    with pytest.raises(ValueError, match=rf"^{bad} at index \(1,\) .* 33027 to 34050"):
        discrete.decode([33027, bad], offset=33027)


@pytest.mark.parametrize("values", [np.array([1.0]), np.array(["1"]), np.array([1 + 0j])])
def test_other_types_are_refused(values: np.ndarray) -> None:
    with pytest.raises(TypeError, match="integers"):
        discrete.encode(values)
    with pytest.raises(TypeError, match="integers"):
        discrete.decode(values)


def test_empty_and_scalar() -> None:
    assert discrete.encode(np.zeros((0, 3), int)).shape == (0, 3)
    assert discrete.encode(np.int64(5)).tolist() == 5


@pytest.mark.fidelity("discrete-ids")
def test_arguments_are_never_changed() -> None:
    values = np.arange(5, dtype=np.int32)
    values.flags.writeable = False
    ids = discrete.encode(values, offset=33027)
    ids += 1
    discrete.decode(ids, offset=33027)
    assert values.tolist() == [0, 1, 2, 3, 4]
