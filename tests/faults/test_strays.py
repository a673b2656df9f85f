"""What killed writers leave goes with the next run, wherever it lies and whatever is done."""

import shutil
from pathlib import Path

import pytest

from tests.building.builds import build, file_bytes
from tests.faults.ground import Ground

STRAYS = [
    f".tmp-manifest.json-{'0' * 32}",
    f".tmp-run.json-{'1' * 32}",
    f"_units/.tmp-3.json-{'2' * 32}",
    f"data/pixels/1.0.0/.tmp-pixels-train-00000-of-00006.arrow-{'3' * 32}",
    f"plan/.tmp-plan.json-{'a' * 32}",
]


@pytest.mark.parametrize("lost", ["", "manifest.json", "_units/3.json"])
def test_strays_go_with_the_next_run(ground: Ground, tmp_path: Path, lost: str) -> None:
    output = Path(shutil.copytree(ground.folder / "calm-arrow", tmp_path / "out"))
    for name in STRAYS:
        (output / name).write_bytes(b"half a file")
    if lost:
        (output / lost).unlink()
    build(ground.config("arrow"), output)
    assert file_bytes(output) == ground.calm("arrow")


def test_inputs_of_another_time_are_indexed_again_and_make_nothing_else_anew(
    ground: Ground, tmp_path: Path
) -> None:
    """As after a copy that keeps no times, of inputs or of the output."""
    inputs = Path(shutil.copytree(ground.inputs, tmp_path / "inputs", copy_function=shutil.copy))
    output = Path(shutil.copytree(ground.folder / "calm-arrow", tmp_path / "out"))
    index = {path: path.stat().st_ino for path in output.glob("index/*/*")}
    units = {path: path.stat().st_ino for path in output.glob("_units/*")}
    build(inputs / "arrow.yaml", output)
    assert all(path.stat().st_ino != before for path, before in index.items())
    assert {path: path.stat().st_ino for path in units} == units
    assert file_bytes(output) == ground.calm("arrow")
    indexed = {path: path.stat().st_ino for path in index}
    build(inputs / "arrow.yaml", output)
    assert {path: path.stat().st_ino for path in index} == indexed
