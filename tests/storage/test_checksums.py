"""Checksums of files against known values, larger than what is read at once."""

import hashlib
from pathlib import Path

import fsspec
import google_crc32c
import pytest

from gato_data.storage import checksums, files


def test_known_values(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"123456789")
    assert checksums.crc32c_of(str(path)) == (9, "e3069283")
    assert checksums.sha256_of(str(path)) == (
        9,
        "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    )


def test_a_file_of_several_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "READ_BUFFER", 1000)
    data = bytes(range(256)) * 21
    fsspec.filesystem("memory").pipe_file("/checksums/a", data)
    path = "memory://checksums/a"
    assert checksums.sha256_of(path) == (len(data), hashlib.sha256(data).hexdigest())
    assert checksums.crc32c_of(path) == (len(data), f"{google_crc32c.value(data):08x}")
