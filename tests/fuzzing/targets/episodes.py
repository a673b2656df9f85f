"""Data sets of episodes: RLDS and Minari."""

import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzzing.target import Target
from tests.fuzzing.targets.data_sets import reader
from tests.fuzzing.targets.values import EXAMPLE_WORDS, SEEDS, framed, records

# All that a step of the seeds has, but for what takes more tokens than a step may have.
_OBSERVED = (
    *("audio", "box", "heard", "images", "label", "numbers", "optional", "pixels/one", "ragged"),
    *("said", "tensors/alike", "tensors/line", "tensors/rows", "tensors/table", "video/two"),
)
_RLDS = {
    "kind": "rlds",
    "task": "episode_metadata/task",
    "episode_id": "episode_metadata/id",
    "filter": "off",
    "observation": [f"steps/observation/{name}" for name in _OBSERVED],
    "modalities": {"steps/observation/audio/heard": "continuous"},
    "last_step": "keep",
}
_FILE = "toy-train.tfrecord-00000-of-00001"


def _features(place: Path) -> None:
    (place / "features.json").write_bytes((SEEDS / "features.json").read_bytes())


def _records(place: Path) -> None:
    (place / _FILE).write_bytes(records()[0])


BOX = {"type": "Box", "dtype": "float32", "shape": [2], "low": [0, 0], "high": [1, 1]}
_IMAGE = {
    "type": "Box",
    "dtype": "uint8",
    "shape": [32, 32],
    "low": [[0] * 32] * 32,
    "high": [[255] * 32] * 32,
}
_SPACES = {"arm": BOX, "camera": _IMAGE, "mission": {"type": "Text"}}
_OBSERVATION = json.dumps({"type": "Dict", "subspaces": _SPACES})
_ACTION = json.dumps({"type": "Discrete", "n": 3, "start": 0})
_MINARI = {"kind": "minari", "filter": "off"}


def _metadata(form: str) -> bytes:
    found = {"data_format": form, "total_episodes": 1}
    spaces = {"observation_space": _OBSERVATION, "action_space": _ACTION}
    return json.dumps(found | spaces).encode()


def _minari(form: str) -> Any:
    def write(place: Path) -> None:
        (place / "metadata.json").write_bytes(_metadata(form))
        if form != "hdf5":
            (place / "0/metadata.json").write_text('{"id": 0, "total_steps": 2, "seed": 7}')

    return write


def _hdf5(**options: Any) -> bytes:
    sink = io.BytesIO()
    with h5py.File(sink, "w", **options) as file:
        episode = file.create_group("episode_0")
        episode.attrs["id"], episode.attrs["seed"], episode.attrs["task"] = 0, 7, "push"
        observations = episode.create_group("observations")
        observations["arm"] = np.arange(6, dtype=np.float32).reshape(3, 2) / 10
        observations.create_dataset(
            "camera", data=np.zeros((3, 32, 32), np.uint8), chunks=(1, 32, 32), compression="gzip"
        )
        observations["mission"] = ["go", "to the ball", "ünï"]
        for name, values in {
            "actions": np.array([1, 2]),
            "rewards": np.array([0.5, 1.0]),
            "terminations": np.array([False, True]),
            "truncations": np.array([False, False]),
            "infos": None,
        }.items():
            if values is not None:
                episode[name] = values
        episode.create_group("infos")["height"] = np.array([0.5, 1.0, 2.0])
    return sink.getvalue()


def _columns() -> pa.Table:
    """Two steps and the closing row."""
    pixels = pa.FixedSizeListArray.from_arrays(np.zeros(3 * 1024, np.uint8), 1024)
    observations = pa.StructArray.from_arrays(
        [
            pa.array([[0, 1], [0.2, 0.3], [0.4, 0.5]], pa.list_(pa.float32(), 2)),
            pixels,
            pa.array(["go", "to the ball", "ünï"]),
        ],
        ["arm", "camera", "mission"],
    )
    return pa.table(
        {
            "observations": observations,
            "actions": pa.array([1, 2, 0]),
            "rewards": pa.array([0.5, 1.0, 0.0]),
            "terminations": pa.array([False, True, False]),
            "truncations": pa.array([False, False, False]),
        }
    )


def _arrow() -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, _columns().schema) as out:
        out.write_table(_columns(), max_chunksize=2)
    return sink.getvalue()


def _parquet(**options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(_columns(), sink, row_group_size=2, **options)
    return sink.getvalue()


# Images as raw pixels: Minari stores them encoded, so the config takes the other keys.
_KEYS = {"observation": ["steps/observation/arm", "steps/observation/mission"]}

TARGETS = (
    Target("rlds-records", records, reader(_RLDS, _FILE, _features), EXAMPLE_WORDS, framed),
    Target(
        "rlds-features",
        lambda: [(SEEDS / "features.json").read_bytes()],
        reader(_RLDS, "features.json", _records),
        (
            *(b'"sequence"', b'"tensor"', b'"text"', b'"image"', b'"featuresDict"', b'"video"'),
            *(b'"dimensions"', b'"dtype"', b'"encoding"', b'"zlib"', b'"bytes"', b'"none"'),
            *(b'"type"', b'"content"', b'"pythonClassName"', b'"translation"', b'"optional"'),
            *(b'"bfloat16"', b'"string"', b'"object"', b'"float16"', b'"-1"', b"null", b"{}"),
        ),
    ),
    Target(
        "minari-metadata",
        lambda: [_metadata("arrow")],
        reader(_MINARI | _KEYS, "metadata.json", lambda place: _arrow_files(place)),
        (
            *(b'\\"type\\"', b'\\"Box\\"', b'\\"Dict\\"', b'\\"Tuple\\"', b'\\"Text\\"'),
            *(
                b'\\"subspaces\\"',
                b'\\"shape\\"',
                b'\\"MultiBinary\\"',
                b'\\"nvec\\"',
                b"[[",
                b"]]",
            ),
            *(b'"hdf5"', b'"parquet"', b"null", b"__reduce__", b"os.system"),
        ),
    ),
    Target(
        "minari-hdf5",
        lambda: [_hdf5(), _hdf5(libver="latest")],
        reader(_MINARI | _KEYS, "main_data.hdf5", _minari("hdf5")),
        (b"SNOD", b"TREE", b"HEAP", b"OHDR", b"OCHK", b"BTHD", b"FRHP", b"GCOL", b"FADB", b"EAHD"),
    ),
    Target(
        "minari-arrow",
        lambda: [_arrow()],
        reader(_MINARI | _KEYS, "0/part-0.arrow", _minari("arrow")),
        (b"ARROW1", b"\xff\xff\xff\xff", b"observations", b"shape"),
    ),
    Target(
        "minari-parquet",
        lambda: [_parquet(), _parquet(compression="zstd", use_dictionary=False)],
        reader(_MINARI | _KEYS, "0/part-0.parquet", _minari("parquet")),
        (b"PAR1", b"\x15\x02", b"\x15\x04", b"\x19", b"\x1c", b"\x18", b"ARROW:schema"),
    ),
)


def _arrow_files(place: Path) -> None:
    folder = place / "0"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.json").write_text('{"id": 0, "total_steps": 2, "seed": 7}')
    (folder / "part-0.arrow").write_bytes(_arrow())
