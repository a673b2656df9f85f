"""`verify` finds a flipped byte in every file, and says which shards it touches."""

import shutil
from pathlib import Path

import pytest

from gato_data.report.verify import verify
from tests.faults.flips import drawn, files_of, flips, kind_of

# Files that are not shards nor stand beside them.
PAPERS = {"_units", "index", "plan", "shards", "shards.parquet", "files.parquet"}
PAPERS |= {"manifest.json", "run.json", "vocabulary.model"}


@pytest.mark.parametrize("output_format", ["arrow", "tfrecord"])
def test_a_flipped_byte_is_found_in_every_file(
    output_format: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source = request.getfixturevalue(f"tiny_build_{output_format}")
    output = Path(shutil.copytree(source, tmp_path / output_format))
    paths = files_of(output)
    done = list(flips(output, paths, seed=1))
    assert [flip for flip in done if not flip.is_found] == []
    assert len(done) == len(paths) > 30
    own = {"offsets", "JSON of TFDS"} if output_format == "tfrecord" else set()
    assert {kind_of(flip.file) for flip in done} == PAPERS | own
    assert verify(str(output)).problems == ()


def test_files_are_drawn_from_all(tiny_build_arrow: Path) -> None:
    paths = files_of(tiny_build_arrow)
    found = list(drawn(tiny_build_arrow, 1000, seed=0))
    assert set(found) == set(paths)
    assert found == list(drawn(tiny_build_arrow, 1000, seed=0))
