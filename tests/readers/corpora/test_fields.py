"""Which fields of a record are asked for, how they are found, and the checksum of their values."""

import copy
import datetime
import decimal
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gato_data.errors import ContentError
from gato_data.readers.corpora.fields import DEFAULT_NAMES, Wanted, checksum, lookup, pick

RECORD = {
    "jpg": b"image",
    "json": {"caption": "a dog", "tags": [], "nothing": None},
    "captions": [{"text": "one", "id": 1}, {"id": 2}, {"text": None}, {"text": "two"}],
    "turns": [{"says": [{"text": "a"}, {"text": "b"}]}, {"says": []}, {"says": [{"text": "c"}]}],
    "names": ["x", None],
    "empty": "",
    "zero": 0,
    "image/filename": "a.jpg",
    "image": {"filename": "b.jpg", "size/height": 7},
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("jpg", b"image"),
        ("json/caption", "a dog"),
        ("json/tags", []),
        ("json/nothing", None),
        ("json/caption/more", None),
        ("jpg/more", None),
        ("png", None),
        ("captions/text", ["one", "two"]),
        ("captions/id", [1, 2]),
        ("captions/more", None),
        ("turns/says/text", [["a", "b"], ["c"]]),
        ("names", ["x", None]),
        ("names/x", None),
        ("empty", ""),
        ("zero", 0),
        ("image/filename", "a.jpg"),
        ("image/size/height", 7),
        ("image/size", None),
        ("", None),
        ("json/", None),
    ],
)
def test_a_path_leads_into_mappings_and_through_lists(path: str, value: object) -> None:
    assert lookup(RECORD, path) == value


names = st.text(st.characters(exclude_characters="/"), min_size=1, max_size=3)
leaves = st.integers() | st.text(max_size=3) | st.binary(max_size=3)


@given(st.lists(names, min_size=1, max_size=5), leaves, st.dictionaries(names, leaves))
def test_whatever_lies_at_a_path_is_found(parts: list[str], leaf: Any, others: Any) -> None:
    value = leaf
    for part in reversed(parts):
        value = {**others, part: value}
    assert lookup(value, "/".join(parts)) == leaf
    assert lookup(value, "/".join([*parts, "more"])) is None
    in_lists = leaf
    for part in reversed(parts):
        in_lists = [{part: in_lists}, {}]
    for _ in parts:
        leaf = [leaf]
    assert lookup(in_lists, "/".join(parts)) == leaf


def picked(record: Any, **roles: str) -> dict[str, Any]:
    return pick(record, Wanted({role: tuple(paths.split(";")) for role, paths in roles.items()}))


def test_the_first_alternative_that_a_record_has_is_taken() -> None:
    assert picked(RECORD, image="png;jpg;json", text="json/nothing;captions/text;json/caption") == {
        "image": b"image",
        "text": ["one", "two"],
    }
    assert picked(RECORD, text="empty;json/caption", id="zero") == {"text": "", "id": 0}
    assert picked(RECORD, text="json/tags;json/caption") == {"text": []}


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"image": b"", "captions": ["a", "b"]}, ["a", "b"]),
        ({"image": b"", "captions": [{"text": "a"}, {"text": "b"}]}, ["a", "b"]),
        ({"image": b"", "captions": {"text": ["a", "b"]}}, ["a", "b"]),
        ({"jpg": b"", "txt": "a", "json": {"caption": "b"}}, "a"),
        ({"jpg": b"", "json": {"caption": "b"}}, "b"),
    ],
)
def test_the_default_names_find_what_common_formats_write(record: Any, text: Any) -> None:
    roles = Wanted({role: DEFAULT_NAMES[role] for role in ("image", "text")})
    assert pick(record, roles) == {"image": b"", "text": text}


def test_a_record_without_a_role_says_what_it_has() -> None:
    with pytest.raises(ContentError) as caught:
        picked({"b": 1, "a": None, 3: 2}, text="txt;json/caption")
    assert str(caught.value) == "it has no text: no field txt or json/caption (it has 3, a, b)"
    with pytest.raises(ContentError, match=r"it has no id: no field a \(it has nothing\)"):
        picked({}, id="a")
    with pytest.raises(ContentError) as caught:
        picked({f"{number:03}" * 9999: 1 for number in range(500)}, text="txt")
    assert len(str(caught.value)) < 400


def test_columns_are_where_the_paths_begin() -> None:
    wanted = Wanted({"image": ("jpg", "json/image"), "text": ("json/text/more", "txt")})
    assert wanted.columns == {"jpg", "json", "txt"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_equal_values_have_one_checksum(value: Any) -> None:
    def turned(one: Any) -> Any:
        """The same, with mappings in another order and tuples for lists."""
        if isinstance(one, dict):
            return {key: turned(one[key]) for key in reversed(one)}
        return tuple(map(turned, one)) if isinstance(one, list) else one

    assert checksum(value) == checksum(copy.deepcopy(value)) == checksum(turned(value))
    assert 0 <= checksum(value) < 1 << 32


@given(values, values)
def test_other_values_have_another_checksum(one: Any, other: Any) -> None:
    assume(repr(turned(one)) != repr(turned(other)))
    assert checksum(one) != checksum(other)


def turned(value: Any) -> Any:
    """A value with its mappings as sorted pairs, so that its `repr` tells equal ones."""
    if isinstance(value, dict):
        return {"pairs": sorted((key, repr(turned(item))) for key, item in value.items())}
    return [turned(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": b"abc"}, {"a": b"abd"}),
        ({"a": b"abc"}, {"a": "abc"}),
        ({"a": b""}, {"a": ["bytes", 0, 0]}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": True}, {"a": 1}),
        ({"a": None}, {}),
        ({"a": None}, {"a": "null"}),
        ({"a": ["b", "c"]}, {"a": ["c", "b"]}),
        ({"a": ["bc"]}, {"a": ["b", "c"]}),
        ({"a": [[]]}, {"a": []}),
        ({"a": "é"}, {"a": "e\u0301"}),
        ({"a": [b"x" * 9, b"y" * 9]}, {"a": [b"y" * 9, b"x" * 9]}),
        ({"a": datetime.date(2024, 1, 2)}, {"a": datetime.date(2024, 1, 3)}),
        ({"a": decimal.Decimal("1.0")}, {"a": decimal.Decimal("1.00")}),
    ],
)
def test_a_checksum_tells_values_apart(one: Any, other: Any) -> None:
    assert checksum(one) != checksum(other)


def test_a_checksum_is_the_same_in_another_process() -> None:
    code = """
import datetime
from gato_data.readers.corpora.fields import checksum
print(checksum({"a": [b"bytes", "é", 1, 0.1, None, datetime.date(2024, 1, 2)], "b": {"c": True}}))
"""
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    value = {"b": {"c": True}, "a": [b"bytes", "é", 1, 0.1, None, datetime.date(2024, 1, 2)]}
    assert int(ran.stdout) == checksum(value)
