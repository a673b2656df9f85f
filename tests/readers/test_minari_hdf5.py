"""HDF5 files: what points elsewhere is not followed, what is too large is not read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.errors import ContentError, UsageError
from gato_data.readers.minari_source import MinariSource
from gato_data.readers.source import StoredRecord
from gato_data.storage.example import BytesColumn
from tests.readers.test_minari_metadata import write

h5py = pytest.importorskip("h5py")

BOX = '{"type": "Box", "dtype": "float32", "shape": [2], "low": [0, 0], "high": [1, 1]}'
DISCRETE = '{"type": "Discrete", "n": 3, "start": 0}'
_BOUNDS = f'"low": {[[0] * 32] * 32}, "high": {[[255] * 32] * 32}'
IMAGE = f'{{"type": "Box", "dtype": "uint8", "shape": [32, 32], {_BOUNDS}}}'
SECRET = np.full((3, 2), 7.0, np.float32)
LIMIT = 1 << 20
Episode = Callable[[Any], None]


def fill(group: Any) -> None:
    """A good episode of two actions, but for the observations."""
    group.attrs["id"] = 0
    group["actions"] = np.array([1, 2])
    group["rewards"] = np.array([0.5, 1.0])
    group["terminations"] = np.array([False, True])
    group["truncations"] = np.array([False, False])


def good(group: Any) -> None:
    group["observations"] = np.arange(6, dtype=np.float32).reshape(3, 2)


def dataset(folder: Path, *episodes: Episode, observation: str = BOX) -> MinariSource:
    """A data set whose observations, and whatever else, the functions write."""
    spaces = {"observation_space": observation, "action_space": DISCRETE}
    write(folder, {"data_format": "hdf5", "total_episodes": len(episodes), **spaces})
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        for number, episode in enumerate(episodes):
            group = file.create_group(f"episode_{number}")
            fill(group)
            episode(group)
    return MinariSource.open(str(folder))


def observing(values: Any) -> Episode:
    return lambda group: group.create_dataset("observations", data=values)


def scan(source: MinariSource, limit: int = LIMIT) -> list[StoredRecord]:
    return list(source.scan(source.files[0], limit))


def observed(source: MinariSource, number: int = 0) -> Any:
    """The observation column of an episode."""
    record = source.parse(scan(source)[number].content)
    return record.episode([source.leaves["steps/observation"]], "drop").columns["steps/observation"]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file beside the data set that holds what the data set must not get at."""
    path = tmp_path / "secret.hdf5"
    with h5py.File(path, "w") as file:
        file["observations"] = SECRET
        file.create_group("group")["observations"] = SECRET
    SECRET.tofile(tmp_path / "secret.bin")
    return path


def _external_link(group: Any, outside: Path) -> None:
    group["observations"] = h5py.ExternalLink(str(outside), "/observations")


def _soft_link(group: Any, outside: Path) -> None:
    group["hidden"] = h5py.ExternalLink(str(outside), "/group")
    group["observations"] = h5py.SoftLink(f"{group.name}/hidden/observations")


def _external_values(group: Any, outside: Path) -> None:
    group.create_dataset(
        "observations",
        (3, 2),
        np.float32,
        external=[(str(outside.with_suffix(".bin")), 0, SECRET.nbytes)],
    )


def _virtual(group: Any, outside: Path) -> None:
    layout = h5py.VirtualLayout((3, 2), np.float32)
    layout[:] = h5py.VirtualSource(str(outside), "observations", (3, 2))
    group.create_virtual_dataset("observations", layout)


ESCAPES = {
    "external link": (_external_link, "observations is a link to another place"),
    "soft link": (_soft_link, "observations is a link to another place"),
    "external values": (_external_values, "its values lie in another file, which is not read"),
    "virtual values": (_virtual, "its values lie in another file, which is not read"),
}


@pytest.mark.parametrize("way", ESCAPES)
def test_what_lies_elsewhere_is_not_read(tmp_path: Path, outside: Path, way: str) -> None:
    write_it, message = ESCAPES[way]
    source = dataset(tmp_path / "data", lambda group: write_it(group, outside), good)
    # The way out is open: h5py itself follows it.
    with h5py.File(tmp_path / "data/main_data.hdf5") as file:
        np.testing.assert_array_equal(file["episode_0/observations"], SECRET)
    bad, fine = scan(source)
    assert "steps/observation" not in bad.content.columns
    with pytest.raises(ContentError, match=f"^steps/observation: {message}"):
        observed(source)
    assert fine.fault is None
    assert observed(source, 1).tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("way", ESCAPES)
def test_infos_do_not_lead_elsewhere(tmp_path: Path, outside: Path, way: str) -> None:
    def episode(group: Any) -> None:
        good(group)
        ESCAPES[way][0](group.create_group("infos"), outside)

    source = dataset(tmp_path / "data", episode)
    leaf = source.leaves["steps/infos/observations"]
    assert leaf.obstacle
    assert leaf.obstacle.startswith(ESCAPES[way][1])
    assert all("infos" not in path for path in scan(source)[0].content.columns)


@pytest.mark.parametrize("whole", ["episode_0", "infos"])
def test_groups_that_are_links_are_not_followed(tmp_path: Path, outside: Path, whole: str) -> None:
    source = dataset(tmp_path / "data", good)
    with h5py.File(tmp_path / "data/main_data.hdf5", "a") as file:
        parent = file if whole == "episode_0" else file["episode_0"]
        if whole in parent:
            del parent[whole]
        parent[whole] = h5py.ExternalLink(str(outside), "/group")
    source = MinariSource.open(source.directory)
    [record] = scan(source)
    if whole == "episode_0":
        assert record.fault == "episode_0 is a link to another place, which is not followed"
    else:
        assert record.fault is None
        assert not any("infos" in path for path in source.leaves)


def test_a_group_that_holds_itself_has_an_end(tmp_path: Path) -> None:
    def episode(group: Any) -> None:
        good(group)
        infos = group.create_group("infos")
        infos["x"] = np.zeros(3)
        infos["again"] = infos

    source = dataset(tmp_path / "data", episode)
    assert [path for path in source.leaves if "infos" in path] == ["steps/infos/x"]


def test_groups_with_many_ways_to_them_are_entered_once(tmp_path: Path) -> None:
    def episode(group: Any) -> None:
        good(group)
        level = group.create_group("infos")
        for _ in range(12):  # 4096 ways down
            deeper = level.create_group("left")
            level["right"] = deeper
            level = deeper
        level["x"] = np.zeros(3)

    source = dataset(tmp_path / "data", episode)
    ways = [path for path in source.leaves if "infos" in path]
    assert ways == ["steps/infos" + "/left" * 12 + "/x"]


def _huge(group: Any) -> None:
    group.create_dataset("observations", (3, 1 << 40), np.float32, chunks=(1, 1024))


def _huge_chunk(group: Any) -> None:
    group.create_dataset(
        "observations", (3, 2), np.float32, chunks=(1, 1 << 28), maxshape=(3, None)
    )


def _compressed(group: Any) -> None:
    values = np.zeros((3, 1 << 20), np.float32)
    group.create_dataset("observations", data=values, compression="gzip")


def _long_strings(group: Any) -> None:
    kind = h5py.string_dtype()
    group.create_dataset("observations", data=["x" * (1 << 16)] * 40, dtype=kind)


def _wide_strings(group: Any) -> None:
    group.create_dataset("observations", (40,), f"S{1 << 16}", chunks=(1,))


@pytest.mark.parametrize("write_it", [_huge, _compressed, _long_strings, _wide_strings])
def test_values_over_the_limit_are_not_read(tmp_path: Path, write_it: Episode) -> None:
    source = dataset(tmp_path / "data", write_it, good)
    bad, fine = scan(source)
    assert bad.content is None
    assert "over the limit of 1048576" in (bad.fault or "")
    assert fine.fault is None


def test_chunks_that_are_too_large_to_unpack_are_not_read(tmp_path: Path) -> None:
    source = dataset(tmp_path / "data", _huge_chunk)
    with pytest.raises(ContentError, match="its chunks have 1073741824 bytes, more than"):
        observed(source)


def test_the_size_is_that_of_the_values(tmp_path: Path) -> None:
    [record] = scan(dataset(tmp_path / "data", good))
    assert record.size == 3 * 2 * 4 + 2 * 8 + 2 * 8 + 2 + 2


def _references(group: Any) -> None:
    group.create_dataset("observations", data=[group.ref] * 3, dtype=h5py.ref_dtype)


def _compound(group: Any) -> None:
    group["observations"] = np.zeros(3, [("a", "f4"), ("b", "f4")])


def _ragged(group: Any) -> None:
    group.create_dataset("observations", (3,), h5py.vlen_dtype(np.float32))


def _scalar(group: Any) -> None:
    group["observations"] = 3.0


def _a_group(group: Any) -> None:
    group.create_group("observations")["x"] = np.zeros(3)


@pytest.mark.parametrize(
    ("write_it", "message"),
    [
        (_references, "steps/observation: values of object are not supported"),
        (_compound, r"steps/observation: values of \[\('a', '<f4'\), \('b', '<f4'\)\] are not"),
        (_ragged, "steps/observation: values of object are not supported"),
        (_scalar, "steps/observation: it has one value for the whole episode"),
        (_a_group, "the episode has no steps/observation"),
        (lambda group: None, "the episode has no steps/observation"),
        (
            observing(np.zeros((3, 2), "c8")),
            "values of complex64 are not supported",
        ),
        (
            observing(np.zeros((3, 3), "f4")),
            r"steps/observation holds values of the shape \(3,\), not \(2,\)",
        ),
        (
            observing(["a", "b", "c"]),
            "steps/observation holds no numbers",
        ),
        (
            observing(np.zeros((2, 2), "f4")),
            r"the numbers of values do not fit each other \(observations and infos must have one "
            r"more than actions, rewards and flags\): steps/is_terminal 2, steps/is_truncated 2, "
            "steps/observation 2, steps/reward 2",
        ),
    ],
)
def test_other_values_are_named(tmp_path: Path, write_it: Episode, message: str) -> None:
    source = dataset(tmp_path / "data", write_it, good)
    with pytest.raises(ContentError, match=message):
        observed(source)
    assert observed(source, 1).tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("name", ["rewards", "terminations", "truncations"])
@pytest.mark.parametrize("change", ["missing", "short"])
def test_every_stream_must_fit(tmp_path: Path, name: str, change: str) -> None:
    def episode(group: Any) -> None:
        good(group)
        values = group[name][()]
        del group[name]
        if change == "short":
            group[name] = values[:1]

    source = dataset(tmp_path / "data", episode)
    with pytest.raises(ContentError, match=r"the numbers of values|the episode has no steps/"):
        observed(source)


def test_an_episode_without_actions_is_unusable(tmp_path: Path) -> None:
    def episode(group: Any) -> None:
        for name in ("actions", "rewards", "terminations", "truncations"):
            values = group[name][:0]
            del group[name]
            group[name] = values
        group["observations"] = np.zeros((1, 2), np.float32)

    with pytest.raises(ContentError, match="the episode has no steps"):
        observed(dataset(tmp_path / "data", episode))


def test_numbers_keep_their_width_and_lose_their_byte_order(tmp_path: Path) -> None:
    values = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], ">f8")
    found = observed(dataset(tmp_path / "data", observing(values)))
    assert found.dtype == np.dtype("f8")
    assert found.dtype.isnative
    assert found.tolist() == values[:2].tolist()


def test_integers_may_stand_for_floats_but_not_the_other_way(tmp_path: Path) -> None:
    def episode(group: Any) -> None:
        group["observations"] = np.array([[0, 1], [2, 3], [4, 5]])
        del group["actions"]
        group["actions"] = np.array([0.5, 1.0])

    source = dataset(tmp_path / "data", episode)
    assert observed(source).tolist() == [[0, 1], [2, 3]]
    record = source.parse(scan(source)[0].content)
    with pytest.raises(ContentError, match="steps/action holds float64 where int64 is declared"):
        record.episode([source.leaves["steps/action"]], "drop")


@pytest.mark.parametrize("kind", ["different lengths", "one length", "raw"])
def test_images_however_they_are_stored(tmp_path: Path, kind: str) -> None:
    pixels = np.arange(3 * 32 * 32, dtype=np.uint8).reshape(3, 32, 32)

    def episode(group: Any) -> None:
        if kind == "raw":
            group["observations"] = pixels
        elif kind == "one length":
            group["observations"] = np.frombuffer(b"abcdefghi", np.uint8).reshape(3, 3)
        else:
            values = group.create_dataset("observations", (3,), h5py.vlen_dtype(np.uint8))
            for place, text in enumerate((b"abcd", b"e", b"fghi")):
                values[place] = np.frombuffer(text, np.uint8)

    found = observed(dataset(tmp_path / "data", episode, observation=IMAGE))
    if kind == "raw":
        np.testing.assert_array_equal(found, pixels[:2, :, :, None])
    else:
        assert isinstance(found.column, BytesColumn)
        expected = {"one length": [b"abc", b"def"], "different lengths": [b"abcd", b"e"]}[kind]
        assert list(found.column) == expected
        assert found.size == (32, 32)


def test_pixels_must_be_bytes(tmp_path: Path) -> None:
    pixels = np.zeros((3, 32, 32), np.uint16)
    source = dataset(
        tmp_path / "data",
        observing(pixels),
        observation=IMAGE,
    )
    with pytest.raises(ContentError, match="holds uint16 where uint8 is declared"):
        observed(source)


def test_attributes_of_every_type(tmp_path: Path) -> None:
    def episode(group: Any) -> None:
        good(group)
        group.attrs["seed"] = np.uint64(2**64 - 1)
        group.attrs["good"] = True
        group.attrs["one"] = np.array([1.5])
        group.attrs["text"] = np.bytes_(b"fixed")
        group.attrs["options/deep/er"] = "ü"
        group.attrs["many"] = [1, 2]
        group.attrs["nothing"] = h5py.Empty("f")
        group.attrs["reference"] = group.ref
        group.attrs["bad"] = np.bytes_(b"\xff")

    source = dataset(tmp_path / "data", episode)
    record = source.parse(scan(source)[0].content)
    leaves = {path: x for path, x in source.leaves.items() if path.startswith("episode_metadata")}
    values = {path: record.scalar(leaf) for path, leaf in leaves.items() if not leaf.obstacle}
    assert values == {
        "episode_metadata/good": 1,
        "episode_metadata/id": 0,
        "episode_metadata/one": 1.5,
        "episode_metadata/options/deep/er": "ü",
        "episode_metadata/seed": 2**64 - 1,
        "episode_metadata/text": "fixed",
    }
    assert {path for path, leaf in leaves.items() if leaf.obstacle} == {
        "episode_metadata/bad",
        "episode_metadata/many",
        "episode_metadata/reference",
    }


def test_attributes_that_differ_between_episodes(tmp_path: Path) -> None:
    def episode(**attributes: Any) -> Episode:
        return lambda group: (good(group), group.attrs.update(attributes))[0]

    source = dataset(
        tmp_path / "data",
        episode(score=1, level=0.5),
        episode(score=1.5, level=2, late="x"),
        episode(score="high"),
    )
    score, level, late = (
        source.leaves[f"episode_metadata/{x}"] for x in ("score", "level", "late")
    )
    first, second, third = (source.parse(record.content) for record in scan(source))
    assert first.scalar(score) == 1
    assert (second.scalar(level), type(second.scalar(level))) == (2.0, float)
    assert second.scalar(late) == "x"
    for record, value in ((second, "1.5"), (third, "'high'")):
        with pytest.raises(ContentError, match=f"score: {value} where other episodes have int64"):
            record.scalar(score)
    with pytest.raises(ContentError, match="the episode has no episode_metadata/late"):
        first.scalar(late)


def test_infos_of_every_form(tmp_path: Path) -> None:
    def episode(group: Any) -> None:
        good(group)
        infos = group.create_group("infos")
        infos["vector"] = np.arange(6.0).reshape(3, 2)
        infos["note"] = ["a", "b", "c"]
        infos["whole"] = 3
        for part in range(11):
            infos[f"parts/_index_{part}"] = np.full(3, part)

    source = dataset(tmp_path / "data", episode)
    found = {x.path: (x.dtype, x.shape) for x in source.leaves.values() if "infos" in x.path}
    parts = [f"steps/infos/parts/_index_{part:02}" for part in range(11)]
    assert list(found) == [
        "steps/infos/note",
        *parts,
        "steps/infos/vector",
        "steps/infos/whole",
    ]
    assert found["steps/infos/vector"] == ("float64", (2,))
    assert source.leaves["steps/infos/whole"].obstacle == "it has one value for the whole episode"
    record = source.parse(scan(source)[0].content)
    episode_ = record.episode([source.leaves[path] for path in parts], "drop")
    assert [np.asarray(episode_.columns[path]).tolist() for path in parts] == [
        [part, part] for part in range(11)
    ]


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    source = dataset(tmp_path / "data", good)
    path = tmp_path / "data/main_data.hdf5"
    whole = path.read_bytes()
    for content in (b"", b"no HDF5 file", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"main_data\.hdf5: not a whole HDF5 file \("):
            MinariSource.open(source.directory)
    path.unlink()
    with pytest.raises(UsageError, match=r"main_data\.hdf5: there is no such file"):
        MinariSource.open(source.directory)
