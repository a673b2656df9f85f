"""`features.json` and `dataset_info.json`, by which TensorFlow Datasets opens TFRecord shards.

Written without TensorFlow Datasets, whose import takes seconds and brings TensorFlow.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.records.schema import Field, sorted_fields

FILES = ("features.json", "dataset_info.json")
VERSION = "1.0.0"
_CLASSES = "tensorflow_datasets.core.features."


def features_json(length: int, token_dtype: npt.DTypeLike) -> dict[str, Any]:
    """What `features.json` says of sequences of `length` tokens."""
    features = {field.name: _feature(field, length) for field in sorted_fields(token_dtype)}
    return {
        "pythonClassName": _CLASSES + "features_dict.FeaturesDict",
        "featuresDict": {"features": features},
    }


def _feature(field: Field, length: int) -> dict[str, Any]:
    if field.group == "text":
        return {"pythonClassName": _CLASSES + "text_feature.Text", "text": {}}
    # TensorFlow decodes no raw uint32. Below 2**31 int32 has the same bytes; ids reach that only
    # with a `discrete_offset` of that size.
    dtype = "int32" if np.dtype(field.dtype) == np.uint32 else field.dtype
    if field.group == "scalar":
        return {
            "pythonClassName": _CLASSES + "scalar.Scalar",
            "tensor": {"shape": {}, "dtype": dtype, "encoding": "none"},
        }
    sizes = {"L": length, "n": -1}
    dimensions = [str(sizes.get(str(size), size)) for size in field.shape]
    return {
        "pythonClassName": _CLASSES + "tensor_feature.Tensor",
        "tensor": {"shape": {"dimensions": dimensions}, "dtype": dtype, "encoding": "bytes"},
    }


def dataset_info_json(
    name: str, splits: Iterable[tuple[str, int, Sequence[int]]]
) -> dict[str, Any]:
    """What `dataset_info.json` says of a directory of TFRecord shards.

    Args:
      splits: of each, its name, bytes in all shards, and the number of records in each shard.
    """
    return {
        "name": name,
        "version": VERSION,
        "fileFormat": "tfrecord",
        "splits": [
            {
                "name": split,
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                # The protocol buffer's JSON writes 64-bit numbers as strings.
                "numBytes": str(num_bytes),
                "shardLengths": [str(records) for records in shard_lengths],
            }
            for split, num_bytes, shard_lengths in splits
        ],
    }
