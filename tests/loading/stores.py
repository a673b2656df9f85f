"""Shards of bytes in a store, and folders of copies, for tests of the cache."""

from pathlib import Path

import google_crc32c
import numpy as np

from gato_data.loading.cache import Cache
from gato_data.loading.fetching import RemoteShard
from gato_data.storage import files


def content(number: int, size: int = 1000) -> bytes:
    return bytes([number % 256]) * size


def put(store: str, number: int, size: int = 1000) -> RemoteShard:
    """A shard in a store; what it holds is its number, over and over."""
    data = content(number, size)
    url = files.join(store, f"toy-train-{number:05d}-of-00099.arrow")
    files.publish_bytes(url, data)
    return RemoteShard(url, size, google_crc32c.Checksum(data).digest().hex(), None, 1)


def put_tfrecord(store: str, offsets: list[int]) -> RemoteShard:
    """A shard of the size 1000 with a sidecar."""
    data = content(7)
    url = files.join(store, "toy-train.tfrecord-00000-of-00001")
    sidecar = files.join(store, "toy-train-00000-of-00001.offsets")
    files.publish_bytes(url, data)
    files.publish_bytes(sidecar, np.array(offsets, "<u8").tobytes())
    return RemoteShard(url, 1000, google_crc32c.Checksum(data).digest().hex(), sidecar, 2)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def numbers(folder: Path) -> set[int]:
    """The shards of `put` that have copies, all of which are whole."""
    found = {path.read_bytes() for path in folder.glob("*.arrow")}
    assert all(data == data[:1] * len(data) for data in found)
    return {data[0] for data in found}


def quick(folder: Path, most_bytes: int = 1 << 20) -> Cache:
    return Cache(folder, most_bytes, waits=(0.01,), patience=0.2)
