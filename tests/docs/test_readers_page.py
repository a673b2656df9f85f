"""docs/readers.md: other libraries read what our loader reads, value for value."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gato_data
from gato_data.records.shards import read_shard
from tests.docs import pages

CODE = pages.blocks("readers.md")


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path,
    tiny_build_arrow: Path,
    tiny_build_tfrecord: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A build of each format, where the page has them."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/arrow").symlink_to(tiny_build_arrow)
    (tmp_path / "out/tfrecord").symlink_to(tiny_build_tfrecord)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ours() -> Counter[tuple[bytes, bytes, bytes]]:
    """Inputs, targets and what counts of all sequences, as `load` has them."""
    batches = gato_data.load("out/arrow", batch_size=8, datasets=["toy"], epochs=1)
    found = [
        (batch["tokens"][row, :-1], batch["targets"][row, :-1], batch["loss_mask"][row, :-1])
        for batch in batches
        for row in np.flatnonzero(batch["valid"])
    ]
    assert len(found) > 10
    return counted(found)


def counted(rows: Iterable[tuple[Any, Any, Any]]) -> Counter[tuple[bytes, bytes, bytes]]:
    dtypes = (np.int32, np.int32, np.uint8)
    return Counter(
        tuple(np.asarray(x).astype(dtype).tobytes() for x, dtype in zip(row, dtypes, strict=True))  # type: ignore[misc]
        for row in rows
    )


def of_batches(batches: Iterable[Mapping[str, Any]]) -> Counter[tuple[bytes, bytes, bytes]]:
    return counted(
        row
        for batch in batches
        for row in zip(batch["inputs"], batch["targets"], batch["counts"], strict=True)
    )


def pixels() -> Counter[bytes]:
    """The patches of each sequence, as the records have them."""
    paths = sorted(Path("out/arrow/data/toy/1.0.0").glob("*-train-*.arrow"))
    return Counter(
        batch.record(row)["patches"].tobytes()
        for path in paths
        for batch in read_shard(str(path))
        for row in range(len(batch))
    )


def test_every_library_is_tested() -> None:
    assert list(CODE) == ["tf.data", "TensorFlow Datasets", "🤗 Datasets", "pyarrow", "PyTorch"]


def test_nothing_of_ours_is_imported() -> None:
    assert not any("gato_data" in code for code in CODE.values())


def test_tf_data() -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    batches = list(pages.run(CODE["tf.data"])["batches"].as_numpy_iterator())
    assert of_batches(batches) == ours()
    # Those of a batch are filled up with zeros to the longest.
    found = sum(int(batch["patches"].astype(np.int64).sum()) for batch in batches)
    assert found == sum(sum(key) * count for key, count in pixels().items())


def test_tensorflow_datasets() -> None:
    tfds = pytest.importorskip("tensorflow_datasets", reason="TFDS is not installed")
    names = pages.run(CODE["TensorFlow Datasets"])
    sequences = list(tfds.as_numpy(names["sequences"]))
    assert (
        counted((x["tokens"][:-1], x["tokens"][1:], x["loss_mask"][1:]) for x in sequences)
        == ours()
    )
    assert Counter(x["patches"].tobytes() for x in sequences) == pixels()
    assert names["patches"].shape[1:] == (768,)


def test_hugging_face_datasets() -> None:
    pytest.importorskip("datasets", reason="🤗 Datasets is not installed")
    keep = "    seen.append({'inputs': inputs, 'targets': targets, 'counts': counts})\n"
    names = pages.run(CODE["🤗 Datasets"] + keep, seen=[])
    assert of_batches(names["seen"]) == ours()


def test_pyarrow() -> None:
    keep = "    seen.append((tokens, pixels, of_sequence, records['loss_mask']))\n"
    names = pages.run(CODE["pyarrow"] + keep, seen=[])
    rows, patches = [], []
    for tokens, values, of_sequence, mask in names["seen"]:
        rows += [(x[:-1], x[1:], y[1:]) for x, y in zip(tokens, mask.to_pylist(), strict=True)]
        patches += np.split(values, np.cumsum(of_sequence)[:-1])
    assert counted(rows) == ours()
    assert Counter(x.tobytes() for x in patches) == pixels()


def test_pytorch() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    assert of_batches(pages.run(CODE["PyTorch"])["batches"]) == ours()
