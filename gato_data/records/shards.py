"""Shard files: their names, and writing and reading them in either format."""

import re
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from gato_data.errors import UsageError
from gato_data.records import arrow, tfrecord
from gato_data.records.schema import ByteSink
from gato_data.sequencing.sequences import TokenSequences
from gato_data.storage import files

FORMATS = ("arrow", "tfrecord")

# 🤗 Datasets wants the name to end in .arrow, TensorFlow Datasets wants the number at the end.
_ARROW_NAME = re.compile(r".+-\d{5,}-of-\d{5,}\.arrow")
_TFRECORD_NAME = re.compile(r".+\.tfrecord-\d{5,}-of-\d{5,}")


def shard_name(dataset: str, split: str, index: int, count: int, format: str) -> str:
    """The file name of shard `index` of `count`.

    Raises:
      UsageError: there is no such format.
    """
    position = f"{index:05d}-of-{count:05d}"
    if format == "arrow":
        return f"{dataset}-{split}-{position}.arrow"
    if format == "tfrecord":
        return f"{dataset}-{split}.tfrecord-{position}"
    raise UsageError(f"There is no output format '{format}'; choose one of {', '.join(FORMATS)}.")


def offsets_path(path: str) -> str:
    """Where the record offsets of a TFRecord shard lie: NAME-SPLIT-00000-of-00042.offsets.

    It must not look like a shard: TensorFlow Datasets takes NAME-SPLIT.ANYTHING-00000-of-00042
    for one, and people list NAME-SPLIT.tfrecord*.
    """
    stem, _, position = path.rpartition(".tfrecord-")
    return f"{stem}-{position}.offsets"


def write_shard(
    file: ByteSink,
    batches: Iterable[TokenSequences],
    length: int,
    token_dtype: npt.DTypeLike,
    format: str,
    compression: str = "none",
) -> npt.NDArray[np.uint64] | None:
    """Writes a shard of sequences of `length` tokens.

    Args:
      compression: of Arrow buffers; see `arrow.write_shard`.

    Returns:
      For `tfrecord` the record offsets, uint64 [n + 1], to be published beside it; else None.

    Raises:
      ValueError: a batch is not as the record demands.
      OSError: of the file.
    """
    if format == "tfrecord":
        return tfrecord.write_shard(file, batches, length, token_dtype)
    arrow.write_shard(file, batches, length, token_dtype, compression)
    return None


def read_shard(path: str) -> Iterator[TokenSequences]:
    """The sequences of a shard in order, in batches of about 1 MiB.

    Raises:
      UsageError: the name is no shard's, or the records have a higher major version.
      GatoDataError: the file is damaged; names it, and the place in it.
      OSError: of the file system.
    """
    name = files.name_of(path)
    if _ARROW_NAME.fullmatch(name):
        return arrow.read_shard(path)
    if _TFRECORD_NAME.fullmatch(name):
        return tfrecord.read_shard(path)
    raise UsageError(
        f"{path} is no shard of sequences: shards are named NAME-SPLIT-00000-of-00042.arrow or "
        "NAME-SPLIT.tfrecord-00000-of-00042."
    )
