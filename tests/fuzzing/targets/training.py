"""What a training reads back: checkpoints, what a run says of itself, the state of a loader."""

import io
import json
import struct
import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np

import gato_data
from gato_data.errors import UsageError
from gato_data.loading.loader import Loader
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.training import checkpoints
from gato_data.transformer.training.runs import Feed, Run, read_run
from gato_data.transformer.training.settings import TrainingConfig
from tests.fuzzing.target import Target
from tests.fuzzing.targets.data_sets import RELEASED

_ARRAYS = {
    "model/head": np.arange(12, dtype=np.float32).reshape(3, 4),
    "optimiser/count": np.array(7),
}
_SHAPES = {name: (array.shape, array.dtype) for name, array in _ARRAYS.items()}


def _checkpoint() -> bytes:
    standing = checkpoints.Standing(3, 0.5, 3, 0.5)
    metadata = checkpoints.Metadata(
        standing, "train", {"layers": 1}, {"version": 1}, {"numpy": "2"}
    )
    text = np.frombuffer(json.dumps(metadata.to_json()).encode(), np.uint8)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, array in {"metadata": text, **_ARRAYS}.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return sink.getvalue()


def _read_checkpoint(data: bytes, folder: Path) -> None:
    path = folder / "step-00000003.npz"
    path.write_bytes(data)
    checkpoints.read_metadata(str(path))
    checkpoints.read(str(path), _SHAPES)


def _mended_zip(data: bytes) -> bytes:
    """An archive whose members have the checksums that the directory says."""
    found = bytearray(data)
    place = data.find(b"PK\x01\x02")
    while 0 <= place <= len(data) - 46:
        size, names = struct.unpack_from("<I", data, place + 20)[0], data[place + 28 : place + 34]
        name, extra, comment = struct.unpack("<HHH", names)
        [local] = struct.unpack_from("<I", data, place + 42)
        if local + 30 <= len(data):
            around = sum(struct.unpack_from("<HH", data, local + 26))
            start = local + 30 + around
            struct.pack_into("<I", found, place + 16, zlib.crc32(found[start : start + size]))
        place = data.find(b"PK\x01\x02", place + 46 + name + extra + comment)
    return bytes(found)


def _run() -> bytes:
    run = Run(
        "",
        ModelConfig(1, 8, 1, 8, 16),
        TrainingConfig(10, 2, 1e-3),
        Feed("abc", 1, None, None),
        ("out/demo",),
        ("toy",),
        None,
        {"numpy": "2"},
    )
    return json.dumps(run.to_json()).encode()


def _read_run(data: bytes, folder: Path) -> None:
    (folder / "run.json").write_bytes(data)
    read_run(str(folder)).to_json()


def _read_best(data: bytes, folder: Path) -> None:
    place = folder / "checkpoints"
    place.mkdir(exist_ok=True)
    (place / "best.json").write_bytes(data)
    checkpoints.best_of(str(folder))


@cache
def _loader() -> Loader:
    return gato_data.load(str(RELEASED / "arrow"), batch_size=2, workers=0, images="packed")


def _state() -> bytes:
    next(_loader())
    return json.dumps(_loader().get_state()).encode()


def _read_state(data: bytes, folder: Path) -> None:
    try:
        state = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError("no JSON") from error
    batches = _loader()
    batches.set_state(state)
    next(batches)


_WORDS = (
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x93NUMPY",
    b"'descr': '|O'",
    b"True",
    b"<f4",
)
_JSON = (b"null", b"[]", b"{}", b"-1", b"1e999", b"NaN", b'"step"', b"[" * 300, b"1" * 30)
TARGETS = (
    Target("checkpoint", lambda: [_checkpoint()], _read_checkpoint, _WORDS, _mended_zip),
    Target("run", lambda: [_run()], _read_run, _JSON),
    Target("best", lambda: [b'{"step": 3, "loss": 0.5, "by": "train"}'], _read_best, _JSON),
    Target("loader-state", lambda: [_state()], _read_state, _JSON),
)
