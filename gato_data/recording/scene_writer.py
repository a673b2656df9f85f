"""Scenes as WebDataset: tar files, in which a sample is a `.png` and the `.json` of its notes."""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import BinaryIO

from gato_data.recording.environment import needs_extra
from gato_data.recording.scene_samples import Sample
from gato_data.recording.writer import folder_published_at, shard_sizes
from gato_data.storage import files


def write_scenes(path: str, samples: Iterable[Sample], count: int) -> int:
    """Writes `count` samples as the folder `path`, which appears whole or not at all.

    The folder has scenes-00000.tar and so on, and in them 000000.png, 000000.json, 000001.png, …

    Args:
      path: the target; does not exist.
      samples: in order; taken one by one.
      count: how many there are.

    Returns:
      the bytes of its files.

    Raises:
      UsageError: Pillow is not installed.
    """
    numbered = enumerate(samples)
    size = 0
    with folder_published_at(path) as folder:
        for shard, length in enumerate(shard_sizes(count)):
            target = files.join(folder, f"scenes-{shard:05d}.tar")
            members = _members(islice(numbered, length))
            files.publish(target, lambda file, members=members: _write_tar(file, members))  # type: ignore[misc]
            size += files.size_of(target)
    return size


def _members(numbered: Iterable[tuple[int, Sample]]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the members of a tar file."""
    for number, sample in numbered:
        yield f"{number:06d}.png", png(sample)
        yield f"{number:06d}.json", json.dumps(sample.notes, ensure_ascii=False).encode()


def png(sample: Sample) -> bytes:
    """The picture as PNG, which keeps every pixel."""
    with needs_extra("build"):
        from PIL import Image
    encoded = io.BytesIO()
    Image.fromarray(sample.picture).save(encoded, format="PNG")
    return encoded.getvalue()


def _write_tar(file: BinaryIO, members: Iterable[tuple[str, bytes]]) -> None:
    # Headers hold no time and no owner, so that equal scenes are equal bytes.
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
