"""Checkpoints: what is written is read to the last bit, and nothing else is read."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.errors import UsageError
from gato_data.transformer.training import checkpoints
from gato_data.transformer.training.checkpoints import Metadata, Standing
from gato_data.transformer.training.logs import Sums

SHAPES = {
    "model/table": ((3, 2), np.dtype(np.float32)),
    "optimiser/iteration": ((), np.dtype(np.int32)),
    "model/noise": ((2,), np.dtype(np.uint32)),
}


def arrays() -> dict[str, Any]:
    table = np.array([[1e-45, -0.0], [np.pi, 3.4e38], [np.inf, np.nan]], np.float32)
    noise = np.array([2**32 - 1, 7], np.uint32)
    return {"model/table": table, "optimiser/iteration": np.int32(12), "model/noise": noise}


def metadata(step: int = 12, best: int | None = 9) -> Metadata:
    standing = Standing(step, 2.5, best, 0.1 + 0.2, (1 / 3, 7.0))
    return Metadata(standing, "train", {"layers": 2}, {"place": 5}, {"jax": "1"})


def test_what_is_written_is_read_to_the_last_bit(tmp_path: Path) -> None:
    run = str(tmp_path)
    checkpoints.save(run, metadata(), arrays())
    path = checkpoints.file_of(run, 12)
    found, read = checkpoints.read(path, SHAPES)
    assert found == metadata()
    assert checkpoints.read_metadata(path) == metadata()
    for name, expected in arrays().items():
        assert (read[name].dtype, read[name].shape) == (expected.dtype, expected.shape)
        assert read[name].tobytes() == expected.tobytes()
    told = json.loads((tmp_path / "checkpoints" / "best.json").read_text())
    assert told == {"step": 9, "loss": 0.1 + 0.2, "by": "train"}
    # numpy opens it, and equal states are equal files.
    assert sorted(np.load(path, allow_pickle=False).files) == sorted(["metadata", *SHAPES])
    before = Path(path).read_bytes()
    checkpoints.save(run, metadata(), arrays())
    assert Path(path).read_bytes() == before


def test_the_last_and_the_best_are_kept(tmp_path: Path) -> None:
    run = str(tmp_path)
    for step in (3, 6, 9, 12):
        checkpoints.save(run, metadata(step, best=3), arrays())
    leftover = tmp_path / "checkpoints" / f".tmp-step-00000015.npz-{'0' * 32}"
    leftover.write_bytes(b"half")
    checkpoints.prune(run, 2, best=3)
    assert checkpoints.steps_of(run) == [3, 9, 12]
    assert not leftover.exists()
    assert checkpoints.choose(run, "best") == checkpoints.file_of(run, 3)
    assert checkpoints.choose(run, "last") == checkpoints.file_of(run, 12)
    assert checkpoints.choose(run, 9) == checkpoints.file_of(run, 9)
    with pytest.raises(UsageError, match=r"no checkpoint of step 6\. There are 3, 9, 12"):
        checkpoints.choose(run, 6)
    (tmp_path / "checkpoints" / "best.json").write_text('{"step": "3"}')
    with pytest.raises(UsageError, match=r"best\.json: damaged"):
        checkpoints.choose(run, "best")
    (tmp_path / "checkpoints" / "best.json").unlink()
    assert checkpoints.choose(run, "best") == checkpoints.file_of(run, 12)


def test_a_run_without_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkpoint yet"):
        checkpoints.choose(str(tmp_path), "best")
    with pytest.raises(UsageError, match="there is no such checkpoint"):
        checkpoints.read_metadata(str(tmp_path / "none.npz"))


def test_every_cut_and_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    checkpoints.save(str(tmp_path), metadata(), arrays())
    whole = Path(checkpoints.file_of(str(tmp_path), 12)).read_bytes()
    path = tmp_path / "damaged.npz"
    for size in range(0, len(whole), 37):
        path.write_bytes(whole[:size])
        with pytest.raises(UsageError, match="damaged"):
            checkpoints.read(str(path), SHAPES)
    expected = {name: value.tobytes() for name, value in arrays().items()}
    noticed = 0
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        try:
            found, read = checkpoints.read(str(path), SHAPES)
        except UsageError:
            noticed += 1
            continue
        # What was hit says nothing that is read, such as a date.
        assert found == metadata()
        assert {name: value.tobytes() for name, value in read.items()} == expected
    assert noticed > len(whole) / 3 / 2


def write(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> str:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return str(path)


def encoded(array: Any, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=allow_pickle)
    return file.getvalue()


def good() -> dict[str, bytes]:
    text = json.dumps(metadata().to_json()).encode()
    found = {name: encoded(value) for name, value in arrays().items()}
    return {"metadata": encoded(np.frombuffer(text, np.uint8)), **found}


class Trap:
    """Unpickled, it would create a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self._path,))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    pickled = encoded(np.array([Trap(trap), None], object), allow_pickle=True)
    for name in ("metadata", "model/table"):
        path = write(tmp_path / "trap.npz", good() | {name: pickled})
        with pytest.raises(UsageError, match="another model"):
            checkpoints.read(path, SHAPES)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model/table", encoded(np.zeros((2, 3), np.float32)), r"float32\[2, 3\], but the model"),
        ("model/table", encoded(np.zeros((3, 2), np.float64)), r"float64\[3, 2\], but the model"),
        ("model/table", encoded(np.asfortranarray(np.ones((3, 2), np.float32))), "another model"),
        ("model/table", encoded(np.zeros((3, 2), np.float32)) + b"more", "longer than it says"),
        ("model/table", encoded(np.zeros((3, 2), np.float32))[:-1], "damaged"),
        ("model/table", b"\x93NUMPY\x09\x00", "damaged"),
        ("model/table", b"", "damaged"),
        ("metadata", encoded(np.zeros(1 << 21, np.uint8)), "another model"),
        ("metadata", encoded(np.frombuffer(b"{]", np.uint8)), "not understood"),
        ("metadata", encoded(np.frombuffer(b'{"form": 2}', np.uint8)), "not understood"),
        ("metadata", encoded(np.frombuffer(b"[" * 100_000, np.uint8)), "not understood"),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = write(tmp_path / "foreign.npz", good())
    assert checkpoints.read(path, SHAPES)[0] == metadata()
    path = write(tmp_path / "foreign.npz", good() | {name: content})
    with pytest.raises(UsageError, match=message):
        checkpoints.read(path, SHAPES)


def test_missing_and_packed_arrays_are_refused(tmp_path: Path) -> None:
    members = good()
    del members["model/noise"]
    with pytest.raises(UsageError, match="no array 'model/noise', so it is of another model"):
        checkpoints.read(write(tmp_path / "lacking.npz", members), SHAPES)
    packed = write(tmp_path / "packed.npz", good(), zipfile.ZIP_DEFLATED)
    with pytest.raises(UsageError, match="is packed"):
        checkpoints.read(packed, SHAPES)


@pytest.mark.parametrize(
    ("field", "value"),
    [("step", "3"), ("step", True), ("best", 1.5), ("since", [1]), ("more", 1)],
)
def test_metadata_of_wrong_types_are_refused(field: str, value: object) -> None:
    given = metadata().to_json()
    assert Metadata.from_json(json.loads(json.dumps(given))) == metadata()
    given["standing"] = given["standing"] | {field: value}
    with pytest.raises((ValueError, TypeError)):
        Metadata.from_json(given)


def test_the_best_is_the_lowest_loss() -> None:
    standing = Standing(4, since=(1.0, 2.0)).compared(6, Sums(loss=6.0, targets=3.0))
    assert standing == Standing(6, 2.0, 6, 2.0)
    worse = standing.compared(9, Sums(loss=9.0, targets=3.0))
    assert worse == Standing(9, 3.0, 6, 2.0)
    assert worse.compared(12, Sums()) == Standing(12, None, 6, 2.0)
    assert worse.compared(12, Sums(loss=-np.inf, targets=1.0)) == Standing(12, None, 6, 2.0)
    stopped = worse.moved(10, Sums(loss=1.5, targets=2.0))
    assert stopped == Standing(10, None, 6, 2.0, (1.5, 2.0))
