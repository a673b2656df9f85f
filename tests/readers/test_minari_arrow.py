"""Arrow and Parquet files: what Minari does not write is refused, what is too large is not read."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gato_data.errors import ContentError, GatoDataError
from gato_data.readers import minari_arrow
from gato_data.readers.minari_source import MinariSource
from gato_data.readers.minari_storage import Budget
from gato_data.readers.source import StoredRecord
from tests.readers.test_minari_hdf5 import BOX, DISCRETE
from tests.readers.test_minari_metadata import write

LIMIT = 1 << 20
PAIRS = pa.list_(pa.float32(), 2)


def columns(**changed: Any) -> dict[str, pa.Array]:
    """Two steps and the closing row."""
    good = {
        "observations": pa.array([[0, 1], [2, 3], [4, 5]], PAIRS),
        "actions": pa.array([1, 2, 0]),
        "rewards": pa.array([0.5, 1.0, 0.0]),
        "terminations": pa.array([False, True, False]),
        "truncations": pa.array([False, False, False]),
    }
    return {key: value for key, value in (good | changed).items() if value is not None}


def many(count: int) -> dict[str, pa.Array]:
    """As many rows of zeros."""
    zeros = np.zeros(count)
    return {
        "observations": pa.FixedSizeListArray.from_arrays(np.zeros(2 * count, np.float32), 2),
        "actions": pa.array(zeros.astype(np.int64)),
        "rewards": pa.array(zeros),
        "terminations": pa.array(zeros.astype(bool)),
        "truncations": pa.array(zeros.astype(bool)),
    }


def write_arrow(path: Path, table: pa.Table, rows: int = 2, **options: Any) -> None:
    wanted = pa.ipc.IpcWriteOptions(**options)
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, table.schema, options=wanted) as out,
    ):
        out.write_table(table, max_chunksize=rows)


def dataset(
    folder: Path, *episodes: dict[str, pa.Array], form: str = "arrow", **options: Any
) -> MinariSource:
    spaces = {"observation_space": BOX, "action_space": DISCRETE}
    write(folder, {"data_format": form, "total_episodes": len(episodes), **spaces})
    for number, episode in enumerate(episodes):
        place = write(folder / str(number), {"id": number, "total_steps": 2})
        path, table = place / f"part-0.{form}", pa.table(episode)
        if form == "arrow":
            write_arrow(path, table, **options)
        else:
            pq.write_table(table, path, **options)
    return MinariSource.open(str(folder))


def scan(source: MinariSource, limit: int = LIMIT) -> list[StoredRecord]:
    return list(source.scan(source.files[0], limit))


def observed(source: MinariSource, path: str = "steps/observation") -> Any:
    """A column of the first episode."""
    record = source.parse(scan(source)[0].content)
    return record.episode([source.leaves[path]], "drop").columns[path]


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_rows_of_several_batches_are_one_episode(tmp_path: Path, form: str) -> None:
    source = dataset(tmp_path, columns(), form=form)
    assert observed(source).tolist() == [[0, 1], [2, 3]]
    assert observed(source, "steps/action").tolist() == [1, 2]
    assert observed(source, "steps/reward").tolist() == [0.5, 1.0]
    assert observed(source, "steps/is_terminal").tolist() == [False, True]


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_buffers_are_refused(tmp_path: Path, codec: str) -> None:
    source = dataset(tmp_path, columns(), compression=codec)
    assert [x.fault for x in scan(source)] == ["it is compressed, which Minari does not do"]


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    source = dataset(tmp_path, many(1 << 16), rows=1 << 16)
    size = (tmp_path / "0/part-0.arrow").stat().st_size
    [record] = scan(source)
    assert record.fault == f"its values take {size} bytes or more, over the limit of 1048576"
    assert record.content is None


def test_a_parquet_file_that_unpacks_to_more_is_not_unpacked(tmp_path: Path) -> None:
    source = dataset(tmp_path, many(1 << 20), form="parquet")
    assert (tmp_path / "0/part-0.parquet").stat().st_size < LIMIT
    [record] = scan(source)
    assert "over the limit of 1048576" in (record.fault or "")
    # Read in small parts, and not to its end.
    taken = int((record.fault or "").split()[3])
    assert taken < LIMIT + 64 * (8 + 8 + 8 + 2)


def test_booleans_count_as_bytes(tmp_path: Path) -> None:
    wide = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(3 << 18, bool)), 1 << 18)
    infos = pa.StructArray.from_arrays([wide], ["seen"])
    source = dataset(tmp_path, columns(infos=infos))
    limit = (tmp_path / "0/part-0.arrow").stat().st_size
    assert scan(source, 3 << 18)[0].fault is not None
    assert "over the limit of" in (scan(source, 2 * limit)[0].fault or "")
    assert scan(source, 1 << 20)[0].fault is None


def test_dictionaries_are_refused(tmp_path: Path) -> None:
    source = dataset(tmp_path, columns(notes=pa.array(["a", "b", "a"]).dictionary_encode()))
    assert [x.fault for x in scan(source)] == ["it holds a dictionary, which Minari does not write"]


MISSING = {
    "steps/action: 1 of its 2 values are missing": {
        "actions": pa.array([1, None, None], pa.int64())
    },
    "steps/observation: 1 of its 6 values are missing": {
        "observations": pa.array([[0, 1], [2, None], [4, 5]], PAIRS)
    },
    "steps/observation: 1 of its 3 values are missing": {
        "observations": pa.array([[0, 1], None, [4, 5]], PAIRS)
    },
    "the episode has no steps/reward": {"rewards": None},
}


@pytest.mark.parametrize("form", ["arrow", "parquet"])
@pytest.mark.parametrize("message", MISSING)
def test_missing_values(tmp_path: Path, form: str, message: str) -> None:
    source = dataset(tmp_path, columns(**MISSING[message]), form=form)
    [record] = scan(source)
    if record.fault:  # Parquet gives no lists at all if one is missing
        assert form == "parquet"
        assert record.fault.startswith("damaged (Expected all lists to be of size=2")
        return
    leaves = [source.leaves[path] for path in ("steps/action", "steps/observation")]
    with pytest.raises(ContentError, match=message):
        source.parse(record.content).episode(leaves, "drop")


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_padding_may_be_missing(tmp_path: Path, form: str) -> None:
    source = dataset(tmp_path, columns(actions=pa.array([1, 2, None], pa.int64())), form=form)
    assert observed(source, "steps/action").tolist() == [1, 2]


def test_a_group_that_is_missing_in_a_step(tmp_path: Path) -> None:
    kind = pa.struct([("x", pa.float64())])
    infos = pa.array([{"x": 1.0}, None, {"x": 2.0}], kind)
    source = dataset(tmp_path, columns(infos=infos))
    with pytest.raises(ContentError, match="the episode has no steps/infos/x"):
        observed(source, "steps/infos/x")


@pytest.mark.parametrize("rows", [0, 1])
def test_an_episode_without_actions_is_unusable(tmp_path: Path, rows: int) -> None:
    source = dataset(tmp_path, {key: value[:rows] for key, value in columns().items()})
    [record] = scan(source)
    if rows:
        with pytest.raises(ContentError, match="the episode has no steps"):
            observed(source)
    else:
        assert record.fault == "it has no rows, or too many for one array"


def test_files_that_are_cut_or_are_none(tmp_path: Path) -> None:
    source = dataset(tmp_path, columns())
    path = tmp_path / "0/part-0.arrow"
    whole = path.read_bytes()
    for content in (b"", b"ARROW1", whole[:-1], whole[: len(whole) // 2], whole[1:], b"\0" * 99):
        path.write_bytes(content)
        [record] = scan(source)
        assert record.fault == "not a whole Arrow file"
    # The end is there, but not what should lie before it.
    path.write_bytes(whole[:64] + whole[-64:])
    assert (scan(source)[0].fault or "").startswith("damaged (")


def test_texts_that_are_not_utf8_are_a_fault(tmp_path: Path) -> None:
    bad = pa.StringArray.from_buffers(
        3, pa.py_buffer(np.array([0, 1, 2, 3], np.int32)), pa.py_buffer(b"a\xffb")
    )
    infos = pa.StructArray.from_arrays([bad], ["note"])
    [record] = scan(dataset(tmp_path, columns(infos=infos)))
    assert (record.fault or "").startswith("damaged (In column ")


def test_texts_that_begin_within_their_buffer() -> None:
    texts = pa.array(["ab", "", "cü", "d"])
    for start, stop in itertools.combinations(range(5), 2):
        found = minari_arrow._values(texts[start:stop], Budget(LIMIT))
        assert [text.decode() for text in found] == texts.to_pylist()[start:stop]


def test_one_file_belongs_into_a_folder(tmp_path: Path) -> None:
    source = dataset(tmp_path, columns(), columns())
    (tmp_path / "0/part-0.arrow").rename(tmp_path / "0/part-0.feather")
    (tmp_path / "1/part-1.arrow").write_bytes(b"")
    assert [record.fault for record in scan(source)] == [
        "the folder 0 holds 0 files *.arrow where one belongs",
        "the folder 1 holds 2 files *.arrow where one belongs",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "the folder 0 has no metadata.json"),
        ("{", "damaged ("),
        ("[1]", "metadata.json is too large, or holds no keys"),
        ("[" * 100_000, "damaged ("),
        (" " * (1 << 24) + "{}", "metadata.json is too large, or holds no keys"),
    ],
)
def test_metadata_of_an_episode(tmp_path: Path, text: str | None, message: str) -> None:
    source = dataset(tmp_path, columns())
    path = tmp_path / "0/metadata.json"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    assert (scan(source)[0].fault or "").startswith(message)


def test_metadata_of_every_type(tmp_path: Path) -> None:
    dataset(tmp_path, columns())
    described = {
        "id": 0,
        "seed": 2**64 - 1,
        "good": True,
        "nothing": None,
        "list": [1],
        "huge": 2**64,
        "text": "ü",
        "half": "\ud800",
        "options": {"deep": {"er": -1.5}},
    }
    (tmp_path / "0/metadata.json").write_text(json.dumps(described))
    source = MinariSource.open(str(tmp_path))
    record = source.parse(scan(source)[0].content)
    leaves = {path: x for path, x in source.leaves.items() if not x.per_step}
    assert {path: record.scalar(x) for path, x in leaves.items() if not x.obstacle} == {
        "episode_metadata/good": 1,
        "episode_metadata/id": 0,
        "episode_metadata/options/deep/er": -1.5,
        "episode_metadata/seed": 2**64 - 1,
        "episode_metadata/text": "ü",
    }
    refused = {path for path, leaf in leaves.items() if leaf.obstacle}
    assert refused == {f"episode_metadata/{name}" for name in ("half", "huge", "list")}


def test_infos_of_every_type(tmp_path: Path) -> None:
    def shaped(name: str, size: int, shape: bytes) -> pa.Field:
        return pa.field(name, pa.list_(pa.float64(), size), metadata={"shape": shape})

    values = {n: pa.array([[*map(float, range(n))]] * 3, pa.list_(pa.float64(), n)) for n in (1, 6)}
    names = [str(n) for n in range(11)]
    parts = pa.StructArray.from_arrays([pa.array([n] * 3) for n in range(11)], names)
    fields = {
        shaped("matrix", 6, b"2,3"): values[6],
        shaped("number", 1, b""): values[1],
        pa.field("plain", pa.list_(pa.float64(), 6)): values[6],
        pa.field("parts", parts.type): parts,
        pa.field("list", pa.list_(pa.int64())): pa.array([[1], [], [2]]),
        pa.field("time", pa.timestamp("s")): pa.array([1, 2, 3], pa.timestamp("s")),
        pa.field("a/b", pa.int64()): pa.array([1, 2, 3]),
    }
    infos = pa.StructArray.from_arrays(list(fields.values()), fields=list(fields))
    source = dataset(tmp_path, columns(infos=infos))
    found = {
        path.removeprefix("steps/infos/"): leaf.obstacle or leaf.shape
        for path, leaf in source.leaves.items()
        if path.startswith("steps/infos/")
    }
    assert found == {
        "a/b": "its key is empty or holds a '/'",
        "list": "values of the type list<item: int64> are not supported",
        "matrix": (2, 3),
        "number": (),
        **{f"parts/_index_{n:02}": () for n in range(11)},
        "plain": (6,),
        "time": "values of the type timestamp[s] are not supported",
    }
    assert observed(source, "steps/infos/matrix").tolist() == [[[0, 1, 2], [3, 4, 5]]] * 2
    assert observed(source, "steps/infos/number").tolist() == [0, 0]
    assert observed(source, "steps/infos/parts/_index_10").tolist() == [10, 10]


def info(name: str, values: pa.Array, **metadata: str) -> pa.StructArray:
    fields = [pa.field(name, values.type, metadata=metadata)]
    return pa.StructArray.from_arrays([values], fields=fields)


def rows_of(source: MinariSource, limit: int = LIMIT) -> list[dict[str, Any]]:
    return [{"offset": x.offset, "size": x.size, "crc": x.crc} for x in scan(source, limit)]


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_an_episode_that_is_mostly_of_no_use_is_read_again(tmp_path: Path, form: str) -> None:
    # More than 16 MiB, in a type that nothing can be made of.
    lists = pa.ListArray.from_arrays(np.arange(301) * 8000, np.zeros(300 * 8000))
    episode = many(300) | {"infos": info("path", lists)}
    source = dataset(tmp_path, episode, form=form)
    [row] = rows_of(source, 1 << 30)
    assert (row["size"] > 16 << 20) == (form == "arrow")  # which is read as a whole
    [(_, content)] = source.read([row])
    assert content.crc == row["crc"]
    # A row that states less than was read: the message says what is different.
    with pytest.raises(GatoDataError) as caught:
        list(source.read([row | {"size": row["size"] - 1}]))
    assert "episode 0 is no longer what was indexed (its values take " in str(caught.value)
    assert f"over the limit of {row['size'] - 1}). The data set changed" in str(caught.value)


def test_a_large_page_is_not_unpacked(tmp_path: Path) -> None:
    rows = 1 << 20
    pages = {"use_dictionary": False, "compression": "zstd", "data_page_size": 1 << 30}
    source = dataset(tmp_path, many(rows), form="parquet", row_group_size=rows, **pages)
    path = tmp_path / "0/part-0.parquet"
    assert path.stat().st_size < LIMIT // 4
    stated = pq.read_metadata(path).row_group(0).total_byte_size
    assert stated > 24 * rows  # two floats, an integer, a double; flags take bits
    [record] = scan(source)
    assert record.fault == f"its values take {stated} bytes or more, over the limit of {LIMIT}"
    # Nothing but the columns that are needed counts, and is read.
    leaf = source.leaves["steps/reward"]
    assert scan(source.narrowed([leaf]), stated // 2)[0].fault is None
    assert scan(source.narrowed([source.leaves["steps/observation"]]), stated // 2)[0].fault


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_infos_whose_names_begin_alike_are_told_apart(tmp_path: Path, form: str) -> None:
    names = ["a", "a.b", "ab"]
    infos = pa.StructArray.from_arrays([pa.array([n, n + 1, 0]) for n in (10, 20, 30)], names)
    source = dataset(tmp_path, columns(infos=infos), form=form)
    for name, first in zip(names, (10, 20, 30), strict=True):
        narrow = source.narrowed([source.leaves[f"steps/infos/{name}"]])
        [record] = scan(narrow)
        assert set(record.content.columns) == {
            *(f"steps/{x}" for x in ("reward", "is_terminal", "is_truncated", f"infos/{name}"))
        }
        assert observed(narrow, f"steps/infos/{name}").tolist() == [first, first + 1]


SIDES = ("-1,-3", "-3", "3,0", "2", "x", "3,", "99999999999999999999,1", "1," * 31 + "3", "٣", "")


@pytest.mark.parametrize("stated", SIDES)
def test_a_shape_that_is_none_hinders_only_who_names_it(tmp_path: Path, stated: str) -> None:
    triple = info("x", pa.array([[0.0, 1, 2]] * 3, pa.list_(pa.float64(), 3)), shape=stated)
    infos = pa.StructArray.from_arrays(
        [*triple.flatten(), pa.array([7, 8, 9])], fields=[*triple.type, pa.field("t", pa.int64())]
    )
    source = dataset(tmp_path, columns(infos=infos))
    assert observed(source, "steps/infos/t").tolist() == [7, 8]
    leaf = source.leaves["steps/infos/x"]
    if stated == "3,":
        assert (leaf.obstacle, leaf.shape) == (None, (3,))
    else:
        assert leaf.obstacle == f"its shape {stated[:40]!r} is not one of 3 values"


def test_a_shape_may_have_as_many_sides_as_numpy_allows(tmp_path: Path) -> None:
    single = pa.array([[5.0]] * 3, pa.list_(pa.float64(), 1))
    source = dataset(tmp_path, columns(infos=info("x", single, shape=",".join("1" * 31))))
    assert observed(source, "steps/infos/x").shape == (2, *[1] * 31)


def test_a_value_without_numbers_is_no_scalar(tmp_path: Path) -> None:
    nothing = pa.array([[]] * 3, pa.list_(pa.float64(), 0))
    source = dataset(tmp_path, columns(infos=info("x", nothing)))
    record = source.parse(scan(source)[0].content)
    with pytest.raises(ContentError, match="a value of steps/infos/x has no numbers"):
        record.scalar(source.leaves["steps/infos/x"])
