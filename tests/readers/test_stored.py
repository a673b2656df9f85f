"""Columns of every kind of leaf, against the values that TFDS was given; and damaged records."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.errors import ContentError
from gato_data.readers import rlds
from gato_data.readers.features import IMAGE, TENSOR, TEXT, Leaf, open_dataset
from gato_data.readers.frames import EncodedFrames
from gato_data.sequencing.columns import Column, Ragged
from gato_data.sequencing.episode import Episode, Field
from gato_data.storage import example, framing
from gato_data.storage.example import BytesColumn
from gato_data.vocabulary import Modality
from tests.oracle.broad_fixtures import FLOATS, broad_episodes

NOTHING = np.empty(0, np.int64)


def records_of(directory: Path) -> list[rlds.Record]:
    found = []
    for name in open_dataset(str(directory), "train").files:
        with (directory / name).open("rb") as file:
            found += [example.parse(record.payload) for record in framing.scan(file, 1 << 30)]
    return found


def flat(tree: Any, path: str) -> list[Any]:
    """The scalars below a path of the values that were written; missing ones are left out."""
    if isinstance(tree, list | tuple | np.ndarray):
        return [value for part in tree for value in flat(part, path)]
    if path:
        key, _, rest = path.partition("/")
        return flat(tree[key], rest)
    return [] if tree is None else [tree]


def written(tree: dict[str, Any], path: str) -> list[Any]:
    """What a step's column should hold, row-major, in the types that are read."""
    if path.startswith("observation/heard/"):
        said = tree["observation"]["heard"]
        pairs = sorted([("en", said["en"]), *(("fr", text) for text in said["fr"])])
        values: list[Any] = [pair[path.endswith("translation")] for pair in pairs]
    else:
        values = flat(tree, path)
    if path.endswith("box"):  # written as named corners
        values = [side for box in _boxes(tree, path) for side in box]
    if path.startswith("observation/images/deep"):
        return [int(value) >> 8 for value in values]
    return values


def _boxes(tree: dict[str, Any], path: str) -> list[Any]:
    observation = tree["observation"]
    if path == "observation/box":
        return [observation["box"]]
    return [each["box"] for each in observation["ragged"]["objects"]]


def values_of(column: Column, leaf: Leaf, step: int) -> list[Any]:
    """What a column holds of a step."""
    if leaf.kind == IMAGE:
        field = Field(leaf.path, False, Modality.IMAGE, leaf.step_shape)
        frames = Episode(0, {leaf.path: column}).frames(field).frames(step, step + 1)
        return frames.ravel().tolist()
    if isinstance(column, Ragged):
        column, places = column.values, column.counts.range_of(step, step + 1)
    else:
        each = len(column) if leaf.step_size is None else leaf.step_size
        places = slice(step * each, (step + 1) * each)
    if isinstance(column, BytesColumn):
        return [text.decode() for text in column.slice(places.start, places.stop)]
    return np.asarray(column).ravel()[places].tolist()


def test_every_column_holds_what_was_written(broad_directory: Path) -> None:
    leaves = [x for x in open_dataset(str(broad_directory), "train").leaves.values() if x.per_step]
    assert len(leaves) > 80
    assert {leaf.obstacle for leaf in leaves} == {None}
    seen: set[str] = set()
    for episode, record in zip(broad_episodes(2), records_of(broad_directory), strict=True):
        found = rlds.read_episode(record, leaves, "keep")
        assert found.steps == len(episode["steps"])
        for leaf in leaves:
            for number, step in enumerate(episode["steps"]):
                expected = written(step, leaf.path.removeprefix("steps/"))
                values = values_of(found.columns[leaf.path], leaf, number)
                # Lists of numbers are stored as float32 and int64.
                if leaf.dtype in FLOATS and leaf.encoding == "none":
                    expected = [float(np.float32(value)) for value in expected]
                assert values == expected, (leaf.path, number)
                seen |= {leaf.path} if expected else set()
    assert seen == {leaf.path for leaf in leaves}


def test_values_of_the_episode_stand_in_every_step(broad_directory: Path) -> None:
    every = open_dataset(str(broad_directory), "train").leaves.values()
    leaves = [leaf for leaf in every if not leaf.per_step]
    missing: set[str] = set()
    for episode, record in zip(broad_episodes(2), records_of(broad_directory), strict=True):
        action = open_dataset(str(broad_directory), "train").leaves["steps/action/arm"]
        found = rlds.read_episode(record, [*leaves, action], "keep")
        for leaf in leaves:
            expected = flat(episode, leaf.path)
            missing |= set() if expected else {leaf.path}
            for step in range(found.steps):
                values = values_of(found.columns[leaf.path], leaf, step)
                assert values == expected, (leaf.path, step)
    assert missing >= {"episode_metadata/hint", "episode_metadata/height"}


# From here on records are written by hand.

X = Leaf("steps/x", TENSOR, "int64", (), per_step=True)


def record(**features: Any) -> rlds.Record:
    return example.parse(example.serialise({f"steps/{k}": v for k, v in features.items()}))


def leaf(*shape: int | None, dtype: str = "int64", path: str = "steps/y", **more: Any) -> Leaf:
    kind = TEXT if dtype == "string" else TENSOR
    return Leaf(path, kind, dtype, shape, per_step=path.startswith("steps/"), **more)


def column(one: Leaf, **features: Any) -> Column:
    """Of three steps."""
    return rlds.read_episode(record(x=[1, 2, 3], **features), [X, one], "keep").columns[one.path]


def lists(found: Column, steps: int = 3) -> list[list[Any]]:
    assert isinstance(found, Ragged)
    values = list(found.values)
    return [values[found.counts.range_of(step, step + 1)] for step in range(steps)]


def test_lists_are_told_apart_by_their_lengths() -> None:
    flat_values = {"y/ragged_flat_values": [1, 2, 3], "y/ragged_row_lengths_0": [2, 0, 1]}
    assert lists(column(leaf(repeats=(None,)), **flat_values)) == [[1, 2], [], [3]]
    # They say how many steps there are, too.
    with pytest.raises(ContentError, match="numbers of steps: steps/x 2, steps/y 3"):
        rlds.read_episode(record(x=[1, 2], **flat_values), [X, leaf(repeats=(None,))], "keep")


def test_the_last_step_of_lists_is_dropped() -> None:
    flat_values = {"y/ragged_flat_values": [1, 2, 3], "y/ragged_row_lengths_0": [2, 0, 1]}
    episode = rlds.read_episode(
        record(x=[1, 2, 3], is_last=[0, 0, 1], **flat_values), [X, leaf(repeats=(None,))], "drop"
    )
    assert lists(episode.columns["steps/y"], 2) == [[1, 2], []]


def test_lists_of_fixed_length_are_held_to_it() -> None:
    flat_values = {"y/ragged_flat_values": [1, 2, 3, 4, 5, 6]}
    two = leaf(repeats=(2,))
    found = column(two, **flat_values, **{"y/ragged_row_lengths_0": [2, 2, 2]})
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [[1, 2], [3, 4], [5, 6]]
    with pytest.raises(ContentError, match="steps/y: row lengths of level 0 are not 2 throughout"):
        column(two, **flat_values, **{"y/ragged_row_lengths_0": [1, 3, 2]})


@pytest.mark.parametrize("lengths", [[2, 0], [2, 2, 2], [-1, 3, 1], [2**62, 2**62, 2**63 - 1]])
def test_lengths_that_do_not_add_up(lengths: list[int]) -> None:
    values = {"y/ragged_flat_values": [1, 2, 3], "y/ragged_row_lengths_0": lengths}
    with pytest.raises(ContentError, match="steps/y: row lengths of level 0"):
        column(leaf(repeats=(None,)), **values)


def test_lists_without_lengths() -> None:
    with pytest.raises(ContentError, match="the record has no row lengths of steps/y"):
        column(leaf(repeats=(None,)), **{"y/ragged_flat_values": [1]})
    with pytest.raises(ContentError, match="the record has no steps/y"):
        column(leaf(repeats=(None,)), **{"y/ragged_row_lengths_0": [1, 1, 1]})


def test_tensors_that_are_alike_within_an_episode() -> None:
    """TFDS writes `Tensor(shape=(None, 2))` into steps only where all have one size."""
    rows = leaf(None, 2)
    assert lists(column(rows, y=list(range(12)))) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert lists(column(rows, y=NOTHING)) == [[], [], []]
    for values in (list(range(8)), list(range(9))):  # no whole steps, no whole rows
        with pytest.raises(ContentError, match=f"steps/y: {len(values)} values are no whole"):
            column(rows, y=values)


def test_such_tensors_do_not_tell_how_many_steps_there_are() -> None:
    with pytest.raises(ContentError, match="the episode has no steps"):
        rlds.read_episode(record(y=[1, 2]), [leaf(None)], "keep")
    episode = rlds.read_episode(record(y=[1, 2], is_last=[0, 1]), [leaf(None)], "keep")
    assert lists(episode.columns["steps/y"], 2) == [[1], [2]]


def test_values_of_a_shape_without_room_for_any() -> None:
    with pytest.raises(ContentError, match="steps/y: 2 values are no whole number of values"):
        column(leaf(0, 3), y=[1, 2])


TABLE = leaf(None, 2, None, dtype="int16", encoding="bytes")
BYTES = [b"\1\0\2\0\3\0\4\0", b"", b"\5\0\6\0"]


def table(shapes: list[int]) -> Column:
    return column(TABLE, **{"y/value": BYTES, "y/shape": np.array(shapes, np.int64)})


def test_tensors_with_their_shapes() -> None:
    found = table([2, 2, 1, 0, 2, 7, 1, 2, 1])
    assert lists(found) == [[1, 2, 3, 4], [], [5, 6]]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([2, 2, 1, 0, 2, 7], "it does not have a shape for each of its tensors"),
        ([4, 1, 1, 0, 2, 7, 1, 2, 1], "a tensor does not have the declared shape"),
        ([-2, 2, -1, 0, 2, 7, 1, 2, 1], "a tensor has an impossible shape"),
        ([2**40, 2, 2**40, 0, 2, 7, 1, 2, 1], "a tensor has an impossible shape"),
        ([2, 2, 2, 0, 2, 7, 1, 2, 1], "a tensor does not have the 16 bytes of its shape"),
    ],
)
def test_shapes_that_cannot_be(shapes: list[int], message: str) -> None:
    with pytest.raises(ContentError, match=f"steps/y: {message}"):
        table(shapes)


def test_tensors_without_their_shapes() -> None:
    with pytest.raises(ContentError, match="the record has no shapes of steps/y"):
        column(TABLE, **{"y/value": BYTES})


def test_encoded_tensors_of_any_size_have_whole_rows() -> None:
    rows = leaf(None, 2, dtype="int8", encoding="bytes")
    assert lists(column(rows, y=[b"", b"\1\2", b"\3\4\5\6"])) == [[], [1, 2], [3, 4, 5, 6]]
    with pytest.raises(ContentError, match="no whole number of tensors of the declared shape"):
        column(rows, y=[b"", b"\1\2\3", b""])


def test_missing_values() -> None:
    """NaN is how TFDS writes a missing float; without the key, all are missing."""
    maybe = leaf(dtype="float32", optional=True)
    assert lists(column(maybe, y=[0.5, float("nan"), 2.0])) == [[0.5], [], [2.0]]
    assert lists(column(maybe)) == [[], [], []]
    assert lists(column(leaf(optional=True), y=[4, 5, 6])) == [[4], [5], [6]]
    text = leaf(dtype="string", optional=True)
    assert lists(column(text, y=[b"a", b"", b"c"])) == [[b"a"], [b""], [b"c"]]
    assert lists(column(text)) == [[], [], []]
    packed = leaf(2, dtype="int8", encoding="zlib", optional=True)
    assert lists(column(packed)) == [[], [], []]


def test_a_missing_value_is_no_scalar() -> None:
    maybe = leaf(dtype="float32", optional=True)
    assert rlds.read_scalar(record(y=[0.5]), maybe) == 0.5
    for found in (record(y=[float("nan")]), record()):
        with pytest.raises(ContentError, match="the record has no value of steps/y"):
            rlds.read_scalar(found, maybe)


def test_a_tensor_with_a_nan_is_not_missing() -> None:
    """Only a plain number is written so; in a tensor a NaN is an error of the data."""
    packed = leaf(dtype="float16", encoding="bytes", optional=True)
    found = column(packed, y=[b"\0\0", b"\0\x7e", b"\0\0"])
    assert [len(values) for values in lists(found)] == [1, 1, 1]
    pair = leaf(2, dtype="float32", optional=True)
    found = column(pair, y=[0.5, float("nan"), 1.0, 2.0, 3.0, 4.0])
    assert [len(values) for values in lists(found)] == [2, 2, 2]


def test_lists_of_images_are_decoded_by_step() -> None:
    import simplejpeg

    shades = np.arange(3, dtype=np.uint8).repeat(768).reshape(3, 16, 16, 3) * 80
    films = Leaf("steps/y", IMAGE, "uint8", (None, None, 3), (None,), per_step=True)
    encoded = [simplejpeg.encode_jpeg(shade, quality=100) for shade in shades]
    lengths = {"y/ragged_row_lengths_0": [0, 2, 1]}
    found = column(films, **{"y/ragged_flat_values": encoded}, **lengths)
    assert isinstance(found, EncodedFrames)
    assert found.size == (16, 16)
    found.check_sizes()
    assert found.frames(0, 1).shape == (0, 16, 16, 3)
    np.testing.assert_array_equal(found.frames(1, 3)[:, 0, 0, 0], [0, 80, 160])
    wide = simplejpeg.encode_jpeg(np.zeros((16, 32, 3), np.uint8))
    mixed = column(films, **{"y/ragged_flat_values": [*encoded[:2], wide]}, **lengths)
    assert isinstance(mixed, EncodedFrames)
    with pytest.raises(ContentError, match="steps/y at step 2: an image of 16 x 32"):
        mixed.check_sizes()
    broken = column(films, **{"y/ragged_flat_values": [b"", *encoded[:2]]}, **lengths)
    assert isinstance(broken, EncodedFrames)
    with pytest.raises(ContentError, match="steps/y at step 1: "):
        _ = broken.size


def test_the_first_number_of_encoded_tensors_alone_is_decoded() -> None:
    one = leaf(dtype="int16", encoding="bytes")
    assert rlds.read_scalar(record(y=[b"\7\0", b"damaged"]), one) == 7
