"""Encoded tensors, of declared size, of a size stated beside them, and of any size."""

import tracemalloc
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gato_data.errors import ContentError
from gato_data.readers import tensors
from gato_data.readers.tensors import decode
from gato_data.storage.example import BytesColumn


def column(*values: bytes) -> BytesColumn:
    lengths = np.array([len(value) for value in values], np.int64)
    return BytesColumn(b"".join(values), np.cumsum(lengths) - lengths, lengths)


def sizes(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64)


def test_bfloat16_is_the_upper_half_of_a_float() -> None:
    """Against the type that TFDS writes."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    every = np.arange(2**16, dtype=np.uint16).view(ml_dtypes.bfloat16)
    found, _ = decode("x", column(every.tobytes()), "bytes", "bfloat16", sizes(2**16))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, every.astype(np.float32))


def test_sizes_are_those_of_the_bytes() -> None:
    values = column(b"\1\0\2\0", b"", b"\xff\xff")
    found, counts = decode("x", values, "bytes", "int16", None)
    assert found.tolist() == [1, 2, -1]
    assert counts.tolist() == [2, 0, 1]
    packed = column(*(zlib.compress(value) for value in values))
    found, counts = decode("x", packed, "zlib", "int16", None)
    assert (found.tolist(), counts.tolist()) == ([1, 2, -1], [2, 0, 1])


def test_any_byte_but_zero_is_true() -> None:
    found, _ = decode("x", column(b"\0\1\2\xff"), "bytes", "bool", None)
    assert found.dtype == np.bool_
    assert found.astype(int).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("encoding", "values", "wanted", "message"),
    [
        ("bytes", [b"123"], None, "x: a tensor does not have a whole number of int16 values"),
        ("bytes", [b"12", b"1234"], sizes(1, 1), "x: a tensor does not have the 2 bytes of its"),
        ("bytes", [b"12"], sizes(2), "x: a tensor does not have the 4 bytes of its shape"),
        ("zlib", [zlib.compress(b"1234")], sizes(1), "does not have the 2 bytes"),
        ("zlib", [b"12"], None, "x: not zlib data"),
        ("zlib", [zlib.compress(b"1234")[:-1]], None, "x: the zlib data are cut off"),
    ],
)
def test_bytes_that_are_no_such_tensors(
    encoding: str, values: list[bytes], wanted: Any, message: str
) -> None:
    with pytest.raises(ContentError, match=message):
        decode("x", column(*values), encoding, "int16", wanted)


def test_tensors_of_undeclared_size_are_unpacked_to_a_limit_of_all_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tensors, "MAX_UNDECLARED_BYTES", 1 << 20)
    half = zlib.compress(bytes(1 << 19))
    decode("x", column(half, half), "zlib", "uint8", None)
    bomb = column(half, half, zlib.compress(bytes(64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(ContentError, match="x: its tensors unpack to more than 1048576 bytes"):
            decode("x", bomb, "zlib", "uint8", None)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
