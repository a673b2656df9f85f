"""What counts as damage of a file, and what as a failure of reading it."""

import struct

import pyarrow as pa
import pytest

from gato_data.errors import ContentError
from gato_data.readers.damage import damage_named
from gato_data.readers.minari_storage import TooLargeError


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        RuntimeError("x"),
        RecursionError("x"),
        ValueError("x"),
        TypeError("x"),
        OverflowError("x"),
        UnicodeDecodeError("utf-8", b"", 0, 1, "x"),
        pa.ArrowInvalid("x"),
        pa.ArrowNotImplementedError("x"),
        struct.error("x"),
        OSError("what HDF5 calls damage"),
    ],
)
def test_damage_is_named(error: Exception) -> None:
    with pytest.raises(ContentError, match=r"^damaged \("), damage_named():
        raise error


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), MemoryError(), TooLargeError(), ContentError("x")]
)
def test_what_is_no_damage_passes(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, damage_named():
        raise error
    assert caught.value is error
