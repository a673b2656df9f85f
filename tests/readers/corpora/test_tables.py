"""What holds of Parquet and Arrow files alike: every value comes back, and no row gets lost."""

import datetime
import decimal
import io
import json
from pathlib import Path
from typing import Any

import datasets
import google_crc32c
import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gato_data.errors import UsageError
from gato_data.readers.corpora import fields, tables
from gato_data.readers.corpora.container import Raw
from tests.readers.corpora.reading import in_memory
from tests.readers.corpora.table_files import (
    FORMS,
    KINDS,
    not_utf8,
    read,
    scan,
    values,
    written,
)

SCALARS = {
    pa.string(): st.text(max_size=5),
    pa.large_string(): st.text(max_size=5),
    pa.binary(): st.binary(max_size=5),
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.int16(): st.integers(-(2**15), 2**15 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
}
# Not in what may be missing: pyarrow makes arrays of that which break its own rules.
COLOURS = (pa.dictionary(pa.int8(), pa.string()), st.none() | st.sampled_from(["red", "blue", ""]))
Typed = tuple[pa.DataType, st.SearchStrategy[Any]]


def _list(inner: Typed) -> Typed:
    return pa.list_(inner[0]), st.none() | st.lists(inner[1], max_size=3)


def _large_list(inner: Typed) -> Typed:
    return pa.large_list(inner[0]), st.none() | st.lists(inner[1], max_size=3)


def _struct(inner: dict[str, Typed]) -> Typed:
    kind = pa.struct([pa.field(name, each[0]) for name, each in inner.items()])
    parts = st.fixed_dictionaries({name: each[1] for name, each in inner.items()})
    return kind, st.none() | parts


def _nested(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    structs = st.dictionaries(st.sampled_from("ab"), inner, min_size=1).map(_struct)
    return st.one_of(inner.map(_list), inner.map(_large_list), structs)


TYPED = st.just(COLOURS) | st.recursive(
    st.sampled_from([(kind, st.none() | values) for kind, values in SCALARS.items()]),
    _nested,
    max_leaves=4,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    form=st.sampled_from(sorted(FORMS)),
    columns=st.lists(TYPED, min_size=1, max_size=3),
    data=st.data(),
)
def test_every_value_comes_back(
    tmp_path: Path, form: str, columns: list[Typed], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, 9))
    names = [f"c{number}" for number in range(len(columns))]
    rows = [
        {name: data.draw(each[1]) for name, each in zip(names, columns, strict=True)}
        for _ in range(count)
    ]
    schema = pa.schema([pa.field(n, each[0]) for n, each in zip(names, columns, strict=True)])
    table = pa.Table.from_pylist(rows, schema)
    path = written(tmp_path, form, table, data.draw(st.integers(1, 4)))
    wanted = data.draw(st.sets(st.sampled_from(names), min_size=1))
    found = scan(form, path, sorted(wanted))
    expected = [{name: row[name] for name in names if name in wanted} for row in rows]
    assert [raw.fields for raw in found] == expected
    assert [(raw.number, raw.offset) for raw in found] == [(n, n) for n in range(count)]
    kinds = {name: kind for name, (kind, _) in zip(names, columns, strict=True)}
    assert [raw.size for raw in found] == [
        sum(_size(value, kinds[name]) for name, value in row.items()) for row in expected
    ]
    assert [raw.crc for raw in found] == [fields.checksum(row) for row in expected]
    some = sorted(data.draw(st.sets(st.integers(0, count - 1))))
    assert read(form, path, [found[n] for n in some], sorted(wanted)) == [found[n] for n in some]


def _size(value: Any, kind: pa.DataType) -> int:
    """Slow and plain."""
    if pa.types.is_struct(kind):
        return 0 if value is None else sum(_size(value[x.name], x.type) for x in kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return sum(8 + _size(item, kind.value_type) for item in value or [])
    if pa.types.is_fixed_size_binary(kind):
        return kind.byte_width
    if kind in (pa.string(), pa.large_string(), pa.binary()) or pa.types.is_dictionary(kind):
        return len((value or "").encode() if not isinstance(value, bytes) else value)
    return 8


# The documents of OBELICS: at each place a text or an image.
PAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
PAGES = {
    "images": pa.array([[{"bytes": b"\xff\xd8", "path": "a.jpg"}, None], []], pa.list_(PAGE)),
    "texts": pa.array([[None, "a ü"], None]),
}


@pytest.mark.parametrize("form", FORMS)
def test_interleaved_documents(tmp_path: Path, form: str) -> None:
    path = written(tmp_path, form, PAGES)
    assert values(form, path, ["images", "texts"]) == [
        {"images": [{"bytes": b"\xff\xd8", "path": "a.jpg"}, None], "texts": [None, "a ü"]},
        {"images": [], "texts": None},
    ]
    # Two items and the bytes of one of them; two items and the UTF-8 of one.
    assert [raw.size for raw in scan(form, path, ["images", "texts"])] == [16 + 7 + 16 + 4, 0]


@pytest.mark.parametrize("form", FORMS)
def test_what_the_checksum_is_of(tmp_path: Path, form: str) -> None:
    path = written(tmp_path, form, {"text": ["ü"], "image": [b"\xff"], "other": ["x"]})
    [raw] = scan(form, path, ["text", "image"])
    crc = google_crc32c.value(b"\xff")
    listed = json.dumps({"image": ["bytes", 1, crc], "text": "ü"}, sort_keys=True)
    assert raw.crc == google_crc32c.value(listed.encode())


def _photo(seed: int, form: str) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), np.uint8)
    out = io.BytesIO()
    PIL.Image.fromarray(pixels).save(out, form)
    return out.getvalue()


@pytest.mark.parametrize("form", ["parquet", "stream"])
def test_images_that_datasets_wrote(tmp_path: Path, form: str) -> None:
    jpeg, png = _photo(0, "jpeg"), _photo(1, "png")
    (tmp_path / "on disk.jpg").write_bytes(jpeg)
    written_by = datasets.Dataset.from_dict(
        {
            "image": [str(tmp_path / "on disk.jpg"), {"bytes": png, "path": None}, None],
            "text": ["a", "b", "c"],
            "label": [0, 1, 1],
            "shape": [np.zeros((2, 2), np.uint8)] * 3,
        },
        features=datasets.Features(
            {
                "image": datasets.Image(),
                "text": datasets.Value("string"),
                "label": datasets.ClassLabel(names=["no", "yes"]),
                "shape": datasets.Array2D((2, 2), "uint8"),
            }
        ),
    )
    if form == "parquet":
        path = tmp_path / "set.parquet"
        written_by.to_parquet(path)
    else:
        written_by.save_to_disk(tmp_path / "set")
        path = tmp_path / "set/data-00000-of-00001.arrow"
        assert {x.name for x in path.parent.iterdir()} >= {"state.json", "dataset_info.json"}
    # Only `save_to_disk` puts the content of files into the table.
    name = str(tmp_path / "on disk.jpg")
    named, embedded = {"bytes": None, "path": name}, {"bytes": jpeg, "path": "on disk.jpg"}
    first = named if form == "parquet" else embedded
    common = {"shape": [[0, 0], [0, 0]]}
    assert values(form, str(path), ["image", "text", "label", "shape"]) == [
        {"image": first, "text": "a", "label": 0, **common},
        {"image": {"bytes": png, "path": None}, "text": "b", "label": 1, **common},
        {"image": None, "text": "c", "label": 1, **common},
    ]


TEXT_VIEWS = pa.array(["a", None, "long" * 9]).cast(pa.string_view())
SHARED = pa.DictionaryArray.from_arrays(pa.array([1, 0, None, 1]), pa.array([b"x", b"yy"]))
DAY = datetime.date(2020, 1, 2)
# The column, its values, and their sizes.
TYPES: dict[str, tuple[pa.Array, list[Any], list[int]]] = {
    "text view": (TEXT_VIEWS, ["a", None, "long" * 9], [1, 0, 36]),
    "bytes view": (pa.array([b"a", b""]).cast(pa.binary_view()), [b"a", b""], [1, 0]),
    "fixed list": (pa.array([[1, 2], [3, 4]], pa.list_(pa.int8(), 2)), [[1, 2], [3, 4]], [32, 32]),
    "half": (pa.array([0.5], pa.float16()), [0.5], [8]),
    "nothing": (pa.nulls(2), [None, None], [8, 8]),
    "shared": (SHARED, [b"yy", b"x", None, b"yy"], [2, 1, 0, 2]),
    "date": (pa.array([DAY]), ["2020-01-02"], [8]),
    "time": (pa.array([datetime.datetime(2020, 1, 2)]), ["2020-01-02 00:00:00"], [8]),
    "inner": (pa.array([[{"d": DAY, "t": "x"}]]), [[{"d": "2020-01-02", "t": "x"}]], [17]),
    "decimal": (pa.array([decimal.Decimal("1.50")]), ["1.50"], [8]),
    "uuid": (pa.array([b"u" * 16], pa.uuid()), [b"u" * 16], [16]),
    "json": (pa.array(["{}"], pa.json_()), ["{}"], [2]),
}


@pytest.mark.parametrize("form", KINDS)
@pytest.mark.parametrize("kind", TYPES)
def test_types_of_columns(tmp_path: Path, form: str, kind: str) -> None:
    column, expected, sizes = TYPES[kind]
    path = written(tmp_path, form, {"x": column, "t": ["ü"] * len(column)})
    assert [row["x"] for row in values(form, path, ["x", "t"])] == expected
    assert [raw.size - 2 for raw in scan(form, path, ["x", "t"])] == sizes


@pytest.mark.parametrize("form", KINDS)
def test_a_slice_of_a_table_is_written_as_it_is(tmp_path: Path, form: str) -> None:
    table = pa.table({"x": TEXT_VIEWS, "l": [["a"], None, ["bb", None]]})
    path = written(tmp_path, form, table.slice(1), rows=9)
    assert values(form, path, ["x", "l"]) == [
        {"x": None, "l": None},
        {"x": "long" * 9, "l": ["bb", None]},
    ]


def test_sizes_of_views() -> None:
    assert tables.value_sizes(TEXT_VIEWS[1:]).tolist() == [0, 36]
    # What is missing need not be empty.
    views = pa.array(["a", "bb"]).cast(pa.string_view()).buffers()
    second = pa.Array.from_buffers(pa.string_view(), 2, [pa.py_buffer(b"\x02"), *views[1:]])
    assert second.to_pylist() == [None, "bb"]
    assert tables.value_sizes(second).tolist() == [0, 2]


def test_types_that_are_not_read(tmp_path: Path) -> None:
    columns = {
        "interval": pa.array([pa.MonthDayNano([1, 2, 3])]),
        "runs": pa.RunEndEncodedArray.from_arrays([1], ["x"]),
        "union": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
        "view": pa.array([[1]], pa.list_view(pa.int8())),
        "n": pa.array([1]),
    }
    for form in ("stream", "file"):
        assert values(form, written(tmp_path, form, columns), [*columns]) == [{"n": 1}]


BAD = [b"a", b"\xff", None, b"\xc3\xbc", b"cut \xc3"]
NESTED = {
    "plain": lambda texts: texts,
    "large": lambda texts: texts.cast(
        options=pc.CastOptions(pa.large_string(), allow_invalid_utf8=True)
    ),
    "list": lambda texts: pa.ListArray.from_arrays(pa.array(range(6), pa.int32()), texts),
    "struct": lambda texts: pa.StructArray.from_arrays([texts], ["t"]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("nested", NESTED)
def test_a_text_that_is_not_utf8_is_a_fault_of_its_row(
    tmp_path: Path, form: str, nested: str
) -> None:
    column = NESTED[nested](not_utf8(BAD))
    path = written(tmp_path, form, {"x": column, "n": range(5)}, rows=4)
    found = scan(form, path, ["x", "n"])
    assert [raw.fields and raw.fields["n"] for raw in found] == [0, None, 2, 3, None]
    assert [raw.number for raw in found] == list(range(5))
    assert all("'utf-8' codec can't decode byte" in (found[n].fault or "") for n in (1, 4))
    # Who does not ask for the column does not care.
    assert len(values(form, path, ["n"])) == 5
    assert read(form, path, found, ["x", "n"]) == found


@pytest.mark.parametrize("form", FORMS)
def test_a_row_that_is_too_large(tmp_path: Path, form: str) -> None:
    texts = ["a" * 99, "b" * 101, "c" * 100, "", "d"]
    path = written(tmp_path, form, {"text": texts}, rows=5)
    found = scan(form, path, ["text"], largest=100)
    assert [raw.fault for raw in found if raw.fields is None] == [
        "its 101 bytes are more than `limits.record_bytes` 100"
    ]
    assert [raw.size for raw in found] == [99, 101, 100, 0, 1]
    assert [raw.number for raw in found if raw.fields] == [0, 2, 3, 4]


@pytest.mark.parametrize("form", KINDS)
def test_few_rows_are_python_values_at_once(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_RUN", 10)
    at_once: list[int] = []
    real = tables._to_python
    monkeypatch.setattr(tables, "_to_python", lambda x: (at_once.append(len(x)), real(x))[1])
    path = written(tmp_path, form, {"text": ["a" * n for n in (4, 6, 1, 30, 30, 2)]}, rows=9)
    assert len(values(form, path, ["text"])) == 6
    assert at_once == [2, 1, 1, 1, 1]


@pytest.mark.parametrize("form", KINDS)
def test_columns_that_are_not_there(tmp_path: Path, form: str) -> None:
    container = FORMS[form][1]
    table = {"body": ["a", "b"], "kinds": pa.array([[("k", 1)]] * 2, pa.map_(pa.string(), "int8"))}
    path = written(tmp_path, form, table)
    container.check(path, ["text", "body"])
    with pytest.raises(UsageError) as caught:
        container.check(path, ["text", "kinds"])
    assert str(caught.value) == (
        f"{path}: the file has no column that is asked for; it has body, kinds (of a type "
        "that is not read). Looked for: kinds, text. Say by `fields` which column holds what, such "
        "as `fields: {text: name_of_a_column}`."
    )
    found = scan(form, path, ["text"])
    assert [(raw.number, raw.fields) for raw in found] == [(0, None), (1, None)]
    assert (found[1].fault or "").startswith("the file has no column that is asked for; it has bo")
    assert values(form, path, ["body", "kinds"]) == [{"body": "a"}, {"body": "b"}]


@pytest.mark.parametrize("form", KINDS)
def test_tables_without_rows_and_columns_alike(tmp_path: Path, form: str) -> None:
    assert scan(form, written(tmp_path, form, {"text": pa.nulls(0, pa.string())}), ["text"]) == []
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array([1])], ["t", "t", "n"])
    assert values(form, written(tmp_path, form, twice), ["t", "n"]) == [{"t": "a", "n": 1}]
    alike = {"a.b": ["x"], "a": [{"b": "y", "c": 1}], "ab": ["z"]}
    assert values(form, written(tmp_path, form, alike), ["a"]) == [{"a": {"b": "y", "c": 1}}]


@pytest.mark.parametrize("form", KINDS)
def test_a_type_that_is_nested_too_deeply_counts_as_absent(tmp_path: Path, form: str) -> None:
    deep = pa.array([1])
    for _ in range(40):
        deep = pa.StructArray.from_arrays([deep], ["a"])
    assert values(form, written(tmp_path, form, {"deep": deep, "n": [1]}), ["deep", "n"]) == [
        {"n": 1}
    ]


@pytest.mark.parametrize("form", KINDS)
def test_rows_that_changed_or_are_gone(tmp_path: Path, form: str) -> None:
    columns = ["text"]
    found = scan(form, written(tmp_path, form, {"text": ["a", "bb", "c", "d"]}), columns)
    now = written(tmp_path, form, {"text": ["a", "bbb", "x"]})
    again = read(form, now, found, columns)
    assert again[0] == found[0]
    assert again[1].fault == "its 3 bytes are more than `limits.record_bytes` 2"
    assert again[2].crc != found[2].crc
    assert (again[3].number, again[3].fields) == (3, None)
    assert again[3].fault == "it is not there any more"
    Path(now).write_bytes(b"something else")
    faulty = read(form, now, found, columns)
    assert [(raw.number, raw.fields) for raw in faulty] == [(n, None) for n in range(4)]


@pytest.mark.parametrize("form", KINDS)
def test_a_file_that_is_not_there(tmp_path: Path, form: str) -> None:
    row = Raw(0, 0, 1, 0, None)
    for path in (str(tmp_path / "none"), "memory://none/none"):
        with pytest.raises(FileNotFoundError):
            scan(form, path, ["text"])
        with pytest.raises(FileNotFoundError):
            read(form, path, [row], ["text"])


@pytest.mark.parametrize("form", FORMS)
def test_files_in_a_store(tmp_path: Path, form: str) -> None:
    table = {"text": [str(n) * n for n in range(50)], "other": [b"x" * 9999] * 50}
    path = written(tmp_path, form, table, rows=20)
    stored = in_memory("a.table", Path(path).read_bytes())
    found = scan(form, path, ["text"])
    assert scan(form, stored, ["text"]) == found
    assert read(form, stored, found[7::9], ["text"]) == found[7::9]
    assert scan(form, f"file://{path}", ["text"]) == found
    FORMS[form][1].check(stored, ["text"])


def test_very_many_rows_are_lost_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_MOST_FAULTS", 3)
    assert [raw.number for raw in tables.faults(range(5, 8), "gone")] == [5, 6, 7]
    [raw] = tables.faults(range(5, 9), "gone")
    assert (raw.number, raw.fault) == (5, "gone. It and what follows, 4 rows, are lost")
