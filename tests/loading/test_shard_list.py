"""The list of shards is held to the sealed manifest before anything is read by it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gato_data
from gato_data.errors import GatoDataError, UsageError

Rows = list[dict[str, Any]]


def changed(build: Path, folder: Path, change: Callable[[Rows], Rows]) -> Path:
    """A copy of a build with another list of shards."""
    shutil.copytree(build, folder / "build")
    path = folder / "build" / "shards.parquet"
    table = pq.read_table(path)
    rows = change(table.to_pylist())
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    return folder / "build"


def with_first(**values: Any) -> Callable[[Rows], Rows]:
    return lambda rows: [rows[0] | values, *rows[1:]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows[1:], "the manifest says"),
        (lambda rows: [*rows, rows[0]], "a file is in it twice"),
        (with_first(sequences=0), "the manifest says|values for 0 sequences"),
        (with_first(sequences=-3), "negative numbers|values for -3 sequences"),
        (with_first(dataset="other"), "is no shard of the data set 'other'"),
        (with_first(split="validation"), "the manifest says"),
        (with_first(sequence_tasks=[0]), "1 values for"),
        (with_first(image_tokens=[]), "0 values for"),
        (with_first(file="/etc/passwd"), "'/etc/passwd' is no shard"),
        (with_first(file="data/toy/1.0.0/../../../x.arrow"), "is no shard"),
        (with_first(file="s3://elsewhere/x.arrow"), "is no shard"),
        (with_first(file="data/toy/1.0.0/x/y.arrow"), "is no shard"),
        (with_first(file="data/toy/1.0.0/manifest.json"), "is no shard"),
    ],
)
def test_a_list_that_was_changed_is_refused(
    change: Callable[[Rows], Rows], reason: str, tiny_build_arrow: Path, tmp_path: Path
) -> None:
    build = changed(tiny_build_arrow, tmp_path, change)
    with pytest.raises(UsageError, match=rf"shards\.parquet: .*({reason})") as caught:
        gato_data.load(str(build), batch_size=1)
    assert "copy the directory again" in str(caught.value)


def test_a_record_with_other_patches_than_the_list_says(
    tiny_build_arrow: Path, tmp_path: Path
) -> None:
    """The batch was planned with another number."""

    def one_more(rows: Rows) -> Rows:
        first = next(row for row in rows if row["image_tokens"])
        first["image_tokens"][0] += 1
        return rows

    build = changed(tiny_build_arrow, tmp_path, one_more)
    for images in ("packed", "dense"):
        with pytest.raises(GatoDataError, match=r"record 0 is damaged \(\d+ image tokens and"):
            list(gato_data.load(str(build), batch_size=4, epochs=1, images=images, workers=0))


def test_the_list_as_it_is(tiny_build_tfrecord: Path, tmp_path: Path) -> None:
    build = changed(tiny_build_tfrecord, tmp_path, lambda rows: rows)
    assert len(list(gato_data.load(str(build), batch_size=5, epochs=1))) > 1
