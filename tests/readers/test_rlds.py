"""Episodes as arrays, against TFDS's own decoding; and records that do not fit."""

import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.errors import ContentError
from gato_data.readers import rlds, rlds_fields
from gato_data.readers.features import IMAGE, TENSOR, TEXT, Leaf, open_dataset
from gato_data.readers.frames import EncodedFrames
from gato_data.sequencing.episode import Episode
from gato_data.storage import example, framing
from gato_data.storage.example import BytesColumn
from tests.oracle.rlds_fixtures import write_rlds
from tests.readers import zoo

Leaves = dict[str, Leaf]


def records_of(directory: Path) -> list[rlds.Record]:
    opened = open_dataset(str(directory), "train")
    found = []
    for name in opened.files:
        with (directory / name).open("rb") as file:
            found += [example.parse(record.payload) for record in framing.scan(file, 1 << 30)]
    return found


def step_leaves(directory: Path) -> Leaves:
    leaves = open_dataset(str(directory), "train").leaves
    return {path: leaf for path, leaf in leaves.items() if leaf.per_step}


def flattened(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        found |= flattened(value, path + "/") if isinstance(value, dict) else {path: value}
    return found


@pytest.fixture(scope="session")
def decoded(zoo_directory: Path) -> list[dict[str, list[Any]]]:
    """Each episode of the zoo as TFDS decodes it: by path, the values of the steps."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    @tfds.decode.make_decoder(output_dtype=tf.uint8)
    def accurate(encoded: Any, feature: Any) -> Any:
        return tf.image.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")

    builder = tfds.builder_from_directory(str(zoo_directory))
    decoders = {"steps": {"observation": {"jpeg": accurate()}}}
    episodes = []
    for episode in builder.as_dataset(split="train", decoders=decoders):
        columns: dict[str, list[Any]] = {}
        for step in tfds.as_numpy(episode["steps"]):
            for path, value in flattened(step, "steps/").items():
                columns.setdefault(path, []).append(value)
        episodes.append(columns)
    return episodes


@pytest.mark.parametrize("index", [0, 1])
def test_every_column_is_what_tfds_decodes(
    zoo_directory: Path, decoded: list[dict[str, list[Any]]], index: int
) -> None:
    leaves = step_leaves(zoo_directory)
    episode = rlds.read_episode(records_of(zoo_directory)[index], list(leaves.values()), "keep")
    assert episode.steps == zoo.LENGTHS[index]
    expected = decoded[index]
    assert sorted(expected) == sorted(episode.columns)
    for path, values in expected.items():
        column = episode.columns[path]
        if isinstance(column, EncodedFrames):
            pixels = column.frames(0, episode.steps)
            assert pixels.dtype == np.uint8
            np.testing.assert_array_equal(pixels, np.stack(values), err_msg=path)
        elif isinstance(column, BytesColumn):
            assert list(column) == [part for value in values for part in np.ravel(value)], path
        else:
            assert isinstance(column, np.ndarray)
            np.testing.assert_array_equal(column, np.stack(values), err_msg=path, strict=False)
            assert column.shape == np.stack(values).shape, path


def test_the_oracle_saw_the_extremes(decoded: list[dict[str, list[Any]]]) -> None:
    """The data reach what is easily lost: high bits of uint64, signs, NUL in texts."""
    values = [np.stack(episode["steps/observation/uint64"]) for episode in decoded]
    assert max(value.max() for value in values) == 2**64 - 1
    assert min(np.stack(e["steps/observation/int64"]).min() for e in decoded) == -(2**63)
    assert "ünï\0codé".encode() in decoded[0]["steps/observation/text"]


def test_types_of_columns(zoo_directory: Path) -> None:
    """Floats as stored, integers as int64, encoded tensors in their own type."""
    leaves = step_leaves(zoo_directory)
    episode = rlds.read_episode(records_of(zoo_directory)[0], list(leaves.values()), "drop")
    for name, dtype in {
        "float64": "float32",
        "float16": "float32",
        "uint8": "int64",
        "uint64": "uint64",
        "bool": "int64",
        "zlib_float64": "float64",
        "bytes_uint8": "uint8",
        "bytes_bool": "bool",
    }.items():
        column = episode.columns[f"steps/observation/{name}"]
        assert isinstance(column, np.ndarray)
        assert column.dtype == dtype


def test_the_last_step_is_dropped_or_kept(zoo_directory: Path) -> None:
    leaves = list(step_leaves(zoo_directory).values())
    record = records_of(zoo_directory)[0]
    kept = rlds.read_episode(record, leaves, "keep")
    dropped = rlds.read_episode(record, leaves, "drop")
    assert (kept.steps, dropped.steps) == (5, 4)
    reward = "steps/reward"
    np.testing.assert_array_equal(kept.columns[reward], [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(dropped.columns[reward], [0, 1, 2, 3])
    texts = dropped.columns["steps/observation/text"]
    assert isinstance(texts, BytesColumn)
    assert len(texts) == 4


def test_frames_of_some_steps(zoo_directory: Path, decoded: list[dict[str, list[Any]]]) -> None:
    leaves = step_leaves(zoo_directory)
    for name, size in {"png": (16, 32), "jpeg": (32, 48), "any_size": (16, 48)}.items():
        path = f"steps/observation/{name}"
        episode = rlds.read_episode(records_of(zoo_directory)[0], [leaves[path]], "keep")
        column = episode.columns[path]
        assert isinstance(column, EncodedFrames)
        assert column.size == size
        np.testing.assert_array_equal(column.frames(1, 3), np.stack(decoded[0][path][1:3]))


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("episode_metadata/task", ["task 0 – ü", "task 1 – ü"]),
        ("episode_metadata/index", [-3, -2]),
        ("episode_metadata/checksum", [2**64 - 1, 2**64 - 2]),
        ("episode_metadata/weight", [float(np.float32(0.1))] * 2),
        ("episode_metadata/packed", [0.1, 1.1]),
        ("episode_metadata/good", [1, 0]),
        ("episode_metadata/words", ["one", "one"]),
        ("steps/observation/label", [0, 0]),  # the first step's
        ("steps/observation/packed_scalar", [0, 0]),
        ("steps/observation/text", ["", ""]),
    ],
)
def test_scalars(zoo_directory: Path, path: str, values: list[rlds.Scalar]) -> None:
    leaf = open_dataset(str(zoo_directory), "train").leaves[path]
    found = [rlds.read_scalar(record, leaf) for record in records_of(zoo_directory)]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_values_of_all_steps(zoo_directory: Path) -> None:
    leaves = step_leaves(zoo_directory)
    record = records_of(zoo_directory)[0]
    assert rlds.read_values(record, leaves["steps/reward"]).tolist() == [0, 1, 2, 3, 4]
    packed = rlds.read_values(record, leaves["steps/observation/packed_scalar"])
    assert packed.tolist() == [0, -1, -2, -3, -4]
    for name in ("text", "png"):
        with pytest.raises(ContentError, match=f"steps/observation/{name} holds no numbers"):
            rlds.read_values(record, leaves[f"steps/observation/{name}"])


def fixed_sequences() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Inner sequences of fixed length, of everything. TFDS writes them, but cannot decode them."""
    import tensorflow_datasets as tfds

    f = tfds.features
    random = np.random.default_rng(3)
    features = {
        "tensors": f.Sequence(f.Tensor(shape=(2,), dtype=np.float32), length=3),
        "texts": f.Sequence(f.Text(), length=2),
        "cameras": f.Sequence(f.Image(shape=(16, 32, 3)), length=2),
        "nested": f.Sequence(f.Sequence(f.Scalar(dtype=np.int32), length=2), length=3),
        "packed": f.Sequence(f.Tensor(shape=(2,), dtype=np.uint32, encoding="zlib"), length=2),
        "groups": f.Sequence({"x": f.Scalar(dtype=np.int32)}, length=2),
    }
    steps = [
        {
            "tensors": random.normal(size=(3, 2)).astype(np.float32),
            "texts": [f"a{step}", "bb" * step],
            "cameras": list(random.integers(0, 256, (2, 16, 32, 3)).astype(np.uint8)),
            "nested": random.integers(-9, 9, (3, 2)).tolist(),
            "packed": list(random.integers(0, 2**32, (2, 2)).astype(np.uint32)),
            "groups": [{"x": step}, {"x": -step}],
        }
        for step in range(4)
    ]
    return features, steps


def test_inner_sequences_of_fixed_length(tmp_path: Path) -> None:
    features, steps = fixed_sequences()
    nested = [{"observation": step} for step in steps]
    write_rlds(tmp_path, {"steps": {"observation": features}}, [{"steps": nested}])
    (record,) = records_of(tmp_path)
    episode = rlds.read_episode(record, list(step_leaves(tmp_path).values()), "keep")
    assert episode.steps == 4
    columns = {path.removeprefix("steps/observation/"): c for path, c in episode.columns.items()}
    for name in ("tensors", "nested", "packed"):
        np.testing.assert_array_equal(columns[name], [step[name] for step in steps])
    np.testing.assert_array_equal(columns["groups/x"], [[0, 0], [1, -1], [2, -2], [3, -3]])
    texts = columns["texts"]
    assert isinstance(texts, BytesColumn)
    assert list(texts) == [text.encode() for step in steps for text in step["texts"]]
    cameras = columns["cameras"]
    assert isinstance(cameras, EncodedFrames)
    assert cameras.counts.each.tolist() == [2] * 4
    expected = np.stack([frame for step in steps[1:3] for frame in step["cameras"]])
    np.testing.assert_array_equal(cameras.frames(1, 3), expected)


# From here on records are written by hand; no TensorFlow.

X = Leaf("steps/x", TENSOR, "int64", (), per_step=True)
NOTHING = np.empty(0, np.int64)
PAIR = Leaf("steps/pair", TENSOR, "float32", (2,), per_step=True)


def record(**features: Any) -> rlds.Record:
    return example.parse(example.serialise({f"steps/{k}": v for k, v in features.items()}))


def read(leaves: list[Leaf], last_step: str = "keep", **features: Any) -> Episode:
    return rlds.read_episode(record(**features), leaves, last_step)


@pytest.mark.fidelity("last-step")
@pytest.mark.parametrize(
    ("marks", "last_step", "valid"),
    [
        ([0, 0, 1], "drop", 2),
        ([0, 0, 1], "keep", 3),
        ([0, 0, 0], "drop", 3),  # a truncated recording: nothing says that the last one is invalid
        ([0, 0, 0], "keep", 3),
        (None, "drop", 2),
        (None, "keep", 3),
        ([0, 1, 0], "keep", 3),
    ],
)
def test_valid_steps(marks: list[int] | None, last_step: str, valid: int) -> None:
    flags = {} if marks is None else {"is_last": marks}
    episode = read([X], last_step, x=[7, 8, 9], **flags)
    assert episode.steps == valid
    np.testing.assert_array_equal(episode.columns["steps/x"], [7, 8, 9][:valid])


@pytest.mark.parametrize("marks", [[0, 1, 0], [1, 0, 1], [0, 1, 1]])
def test_a_step_after_the_last(marks: list[int]) -> None:
    first = marks.index(1)
    message = f"step {first} of 3 is marked is_last, but steps follow it"
    with pytest.raises(ContentError, match=message):
        read([X], "drop", x=[7, 8, 9], is_last=marks)


def test_different_numbers_of_steps() -> None:
    with pytest.raises(ContentError, match="steps: steps/pair 2, steps/x 3"):
        read([X, PAIR], x=[1, 2, 3], pair=[0.0] * 4)
    for last_step in ("keep", "drop"):
        with pytest.raises(ContentError, match="steps: steps/is_last 2, steps/x 3"):
            read([X], last_step, x=[1, 2, 3], is_last=[0, 1])
    with pytest.raises(ContentError, match="steps/pair: 5 values are no whole number of steps"):
        read([PAIR], pair=[0.0] * 5)


def test_no_steps() -> None:
    with pytest.raises(ContentError, match="the episode has no steps"):
        read([X], x=NOTHING)
    with pytest.raises(ContentError, match="no steps"):
        read([X], x=NOTHING, is_last=NOTHING)
    with pytest.raises(ContentError, match="no steps but the last one, which holds no action"):
        read([X], "drop", x=[1], is_last=[1])
    assert read([X], "keep", x=[1], is_last=[1]).steps == 1


def test_a_key_that_the_record_lacks() -> None:
    with pytest.raises(ContentError, match="the record has no steps/x"):
        read([X], pair=[0.0, 0.0])
    with pytest.raises(ContentError, match="the record has no steps/x"):
        rlds.read_scalar(record(), X)
    with pytest.raises(ContentError, match="no value of steps/x"):
        rlds.read_scalar(record(x=NOTHING), X)


def test_another_kind_than_declared() -> None:
    with pytest.raises(ContentError, match="holds floats where its features declare integers"):
        read([X], x=[0.5])


def test_empty_tensors_do_not_count_steps() -> None:
    nothing = Leaf("steps/nothing", TENSOR, "float32", (0, 3), per_step=True)
    episode = read([X, nothing], x=[1, 2], nothing=np.empty(0, np.float32))
    column = episode.columns["steps/nothing"]
    assert isinstance(column, np.ndarray)
    assert column.shape == (2, 0, 3)


def test_inner_sequences_stored_plainly() -> None:
    leaf = Leaf("steps/x", TENSOR, "int64", (), repeats=(2,), per_step=True)
    np.testing.assert_array_equal(read([leaf], x=[1, 2, 3, 4]).columns["steps/x"], [[1, 2], [3, 4]])
    # Without repeats, TFDS never writes the ragged form.
    with pytest.raises(ContentError, match="no steps/x"):
        read([X], **{"x/ragged_flat_values": [1, 2]})


def test_bfloat16_is_stored_as_float32() -> None:
    leaf = Leaf("steps/x", TENSOR, "bfloat16", (), per_step=True)
    np.testing.assert_array_equal(read([leaf], x=[1.5, 2.0]).columns["steps/x"], [1.5, 2.0])


def packed(encoding: str, dtype: str = "int16") -> Leaf:
    return Leaf("steps/x", TENSOR, dtype, (2,), encoding=encoding, per_step=True)


def test_encoded_tensors_are_little_endian() -> None:
    data = b"\x01\x00\xff\xff"
    for encoding, value in {"bytes": data, "zlib": zlib.compress(data)}.items():
        column = read([packed(encoding)], x=[value, value]).columns["steps/x"]
        np.testing.assert_array_equal(column, [[1, -1], [1, -1]])


@pytest.mark.parametrize(
    ("encoding", "value", "message"),
    [
        ("bytes", b"123", "does not have the 4 bytes of its shape"),
        ("bytes", b"12345", "does not have the 4 bytes"),
        ("zlib", zlib.compress(b"123"), "does not have the 4 bytes"),
        ("zlib", zlib.compress(b"12345"), "does not have the 4 bytes"),
        ("zlib", b"1234", "not zlib data"),
        ("zlib", b"", "the zlib data are cut off"),
        ("zlib", zlib.compress(b"1234")[:-1], "the zlib data are cut off"),
        ("zlib", zlib.compress(b"1234")[:-4] + b"\0\0\0\0", "not zlib data"),  # its checksum
    ],
)
def test_damaged_tensors(encoding: str, value: bytes, message: str) -> None:
    with pytest.raises(ContentError, match=rf"steps/x: .*{message}"):
        read([packed(encoding)], x=[value])


def test_a_zlib_bomb_is_not_unpacked() -> None:
    bomb = zlib.compress(bytes(64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(ContentError, match="4 bytes of its shape"):
            read([packed("zlib")], x=[bomb])
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_texts_that_are_no_utf8() -> None:
    leaf = Leaf("steps/x", TEXT, "string", (), per_step=True)
    with pytest.raises(ContentError, match="steps/x: the text is not UTF-8"):
        rlds.read_scalar(record(x=[b"\xff"]), leaf)


def test_images_that_cannot_be_decoded_name_the_key() -> None:
    leaf = Leaf("steps/x", IMAGE, "uint8", (None, None, 3), per_step=True)
    column = read([leaf], x=[b"no image", b""]).columns["steps/x"]
    assert isinstance(column, EncodedFrames)
    with pytest.raises(ContentError, match="steps/x at step 0: "):
        _ = column.size
    declared = Leaf("steps/x", IMAGE, "uint8", (16, 16, 3), per_step=True)
    column = read([declared], x=[b"", b"", b"no image"]).columns["steps/x"]
    assert isinstance(column, EncodedFrames)
    assert column.size == (16, 16)
    with pytest.raises(ContentError, match="steps/x from step 2: image 0 of 1: "):
        column.frames(2, 3)


PROBE = """
import sys
from gato_data.readers import rlds_fields as fields
print(fields.OBSERVATION, fields.ACTION, fields.REWARD, fields.DISCOUNT, fields.IS_FIRST,
      fields.IS_LAST, fields.IS_TERMINAL, fields.STEPS)
assert "rlds" not in sys.modules and "tensorflow" not in sys.modules
"""


def test_step_fields_are_those_of_rlds_without_importing_it() -> None:
    output = subprocess.run([sys.executable, "-c", PROBE], check=True, capture_output=True).stdout
    names = "observation action reward discount is_first is_last is_terminal steps"
    assert output.decode().split() == names.split()
    import rlds as installed

    for name in names.upper().split():
        assert getattr(rlds_fields, name) == getattr(installed, name)
    assert rlds_fields.step_path(rlds_fields.IS_LAST) == "steps/is_last"
