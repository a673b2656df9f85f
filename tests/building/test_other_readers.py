"""TFDS, 🤗 Datasets and pyarrow open a build without code of ours and see the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.building.builds import build, records, shard_paths, write_config

TEXTS = ("sequence_id", "dataset", "task", "agent", "episode_id", "prompt_episode_id")


def _build(tmp_path: Path, mixed: Path, text_model: Path, form: str) -> Path:
    dataset = {"name": "mixed", "kind": "rlds", "path": str(mixed), "filter": "off"}
    dataset |= {"task": "episode_metadata/task", "validation": 0.3}
    config = {
        "vocabulary": {"text_model": str(text_model)},
        "sequence": {"length": 200},
        "prompt": {"length": 80},
        "output": {"format": form, "shard_size": "100kB"},
        "datasets": [dataset],
    }
    build(write_config(tmp_path, config), tmp_path / "out")
    return tmp_path / "out"


def _same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        if name in TEXTS:
            text = found[name]
            assert (text.decode() if isinstance(text, bytes) else text) == value
        else:
            got = np.asarray(found[name]).reshape(np.shape(value))
            np.testing.assert_array_equal(got, value, err_msg=name)


def test_tfds_opens_it(tmp_path: Path, mixed: Path, text_model: Path) -> None:
    tfds = pytest.importorskip("tensorflow_datasets")
    output = _build(tmp_path, mixed, text_model, "tfrecord")
    builder = tfds.builder_from_directory(str(output / "data/mixed/1.0.0"))
    expected = {record["sequence_id"]: record for record in records(output)}
    seen = 0
    for split in ("train", "validation"):
        rows = list(tfds.as_numpy(builder.as_dataset(split=split)))
        assert len(rows) == builder.info.splits[split].num_examples > 0
        for row in rows:
            assert row["tokens"].dtype == np.uint16
            _same(row, expected[row["sequence_id"].decode()])
        seen += len(rows)
    assert seen == len(expected)


def test_hugging_face_datasets_maps_it(tmp_path: Path, mixed: Path, text_model: Path) -> None:
    datasets = pytest.importorskip("datasets")
    output = _build(tmp_path, mixed, text_model, "arrow")
    expected = records(output)
    rows: list[dict[str, Any]] = []
    for path in shard_paths(output):
        rows += list(datasets.Dataset.from_file(str(path)))
    assert len(rows) == len(expected) > 20
    for row, record in zip(rows, expected, strict=True):
        _same(row, record)


def test_hugging_face_datasets_finds_the_shards(
    tmp_path: Path, mixed: Path, text_model: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    output = _build(tmp_path, mixed, text_model, "arrow")
    folder = output / "data/mixed/1.0.0"
    loaded = datasets.load_dataset(
        "arrow",
        data_files={"train": str(folder / "*-train-*.arrow")},
        cache_dir=str(tmp_path / "cache"),
        split="train",
    )
    train = [p for p in shard_paths(output) if "-train-" in p.name]
    assert len(train) > 1
    assert sorted(loaded["sequence_id"]) == sorted(
        record["sequence_id"]
        for record in records(output)
        if record["sequence_id"] in set(loaded["sequence_id"])
    )
    assert len(loaded) < len(records(output))


def test_pyarrow_opens_it(tmp_path: Path, mixed: Path, text_model: Path) -> None:
    import pyarrow as pa

    output = _build(tmp_path, mixed, text_model, "arrow")
    rows: list[dict[str, Any]] = []
    for path in shard_paths(output):
        with pa.memory_map(str(path)) as source:
            rows += pa.ipc.open_stream(source).read_all().to_pylist()
    expected = records(output)
    assert len(rows) == len(expected)
    for row, record in zip(rows, expected, strict=True):
        _same(row, record)
