"""Documents that hold a checksum of themselves."""

import hashlib
import json
from typing import Any

import pytest

from gato_data.records.sealed import encode_sealed, is_sealed, seal


def test_the_checksum_is_that_of_everything_else() -> None:
    content = {"b": 1, "a": ["é"]}
    text = '{\n "a": [\n  "é"\n ],\n "b": 1\n}'.encode()
    assert seal(content)["checksum"] == hashlib.sha256(text).hexdigest()
    assert seal(seal(content)) == seal(content)
    assert json.loads(encode_sealed(content)) == seal(content)


def test_any_other_byte_is_noticed() -> None:
    data = encode_sealed({"command": ["x", "y"], "seconds": 1.5})
    assert is_sealed(data)
    for at in range(len(data)):
        for bits in (1, 0x20, 0x80):
            assert not is_sealed(data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :])
    assert not is_sealed(data + b"\n")
    assert not is_sealed(data[:-1])


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"\xff", b"{}", b"[" * 100_000])
def test_what_is_no_such_document(data: bytes) -> None:
    assert not is_sealed(data)


@pytest.mark.parametrize("name", ["\udcff.txt", "\\udcff", "a\n\x00", "\U0010ffff"])
def test_names_that_are_no_text_come_back(name: str) -> None:
    """As a name of a file whose bytes are no UTF-8 stands in `sys.argv`."""
    content: dict[str, Any] = {"command": [name]}
    data = encode_sealed(content)
    assert is_sealed(data)
    assert json.loads(data)["command"] == [name]
