"""JSON texts that anybody may have written."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.errors import ContentError
from gato_data.readers.corpora import strict_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values, st.booleans())
def test_what_json_writes_is_read(value: Any, ascii: bool) -> None:
    assert strict_json.parse(json.dumps(value, ensure_ascii=ascii).encode()) == value


@given(st.text(st.characters()), st.booleans())
def test_a_text_is_read_exactly_if_utf_8_can_hold_it(text: str, ascii: bool) -> None:
    data = json.dumps([{text: text}], ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    try:
        text.encode()
    except UnicodeEncodeError:
        with pytest.raises(ContentError):
            strict_json.parse(data)
    else:
        assert strict_json.parse(data) == [{text: text}]


@given(st.binary())
def test_any_bytes_are_a_value_or_a_content_error(data: bytes) -> None:
    try:
        strict_json.parse(data)
    except ContentError as error:
        assert str(error)  # noqa: PT017 - which of the two it is, is not asked


def nested(depth: int, kind: int) -> bytes:
    """Lists (0), mappings (1) or both in turn (2) inside each other, with a neighbour at each."""
    opens = [b"[[], ", b'{"x": {}, "a": ']
    closes = [b"]", b"}"]
    kinds = [place % 2 if kind == 2 else kind for place in range(depth - 1)]
    inner = b"".join(opens[k] for k in kinds) + b"[]"
    return inner + b"".join(closes[k] for k in reversed(kinds))


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_nesting_is_refused_from_one_depth_on_however_deep_the_caller_is(kind: int) -> None:
    def parse_from(calls: int, depth: int) -> str:
        if calls:
            return parse_from(calls - 1, depth)
        try:
            strict_json.parse(nested(depth, kind))
        except ContentError as error:
            return str(error)
        return "good"

    for depth in (1, 2, 99, 100, 101, 102, 600, 950, 1000, 5000, 200_000):
        expected = "good" if depth <= 100 else "its JSON is nested more than 100 deep"
        assert [parse_from(calls, depth) for calls in (0, 500)] == [expected] * 2


def test_a_thread_with_little_room_refuses_deep_json_alike() -> None:
    found: list[str] = []

    def parse() -> None:
        with pytest.raises(ContentError) as caught:
            strict_json.parse(b"[" * 10_000_000)
        found.append(str(caught.value))

    thread = threading.Thread(target=parse)
    thread.start()
    thread.join()
    assert found == ["its JSON is nested more than 100 deep"]


def test_an_object_is_asked_for() -> None:
    assert strict_json.parse_object(b' {"a": 1}\r') == {"a": 1}
    for data, kind in ((b"[]", "list"), (b'"a"', "str"), (b"1", "int"), (b"null", "NoneType")):
        with pytest.raises(ContentError, match=f"no JSON object, but {kind}"):
            strict_json.parse_object(data)


def test_a_text_that_is_no_utf_8_is_named_by_its_byte() -> None:
    assert strict_json.decode("é\r\n\0".encode()) == "é\r\n\0"
    with pytest.raises(ContentError, match="byte 0xe9 at position 2 "):
        strict_json.decode(b"ab\xe9c")
    with pytest.raises(ContentError, match=r"byte 0xc3 at position 3 \(unexpected end of data\)"):
        strict_json.decode(b"abc\xc3")


def judged(parse: Callable[[bytes], Any], data: bytes) -> str:
    """What comes of a text: the value with the types of all its parts, or the error's message."""
    try:
        # `repr` tells 1 from 1.0 and True, and 0.0 from -0.0.
        return repr(parse(data))
    except ContentError as error:
        return f"ContentError: {error}"


def with_keys(values: list[str]) -> str:
    """A JSON object of values that are written already; each key stands twice."""
    pairs = (f'"{place // 2}":{value}' for place, value in enumerate(values))
    return "{" + ",".join(pairs) + "}"


# Numbers at the edges of what 64 bits hold, and as no program would write them.
numbers = st.sampled_from([0, 2**53, 2**63, 2**64, 10**22, 10**400]).flatmap(
    lambda edge: st.integers(-2, 2).map(lambda more: str(edge + more))
) | st.from_regex(r"-?[0-9]{1,25}(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
scalars = st.sampled_from(
    ["NaN", "-Infinity", "-0", "01", "1.", "true", "nul", r'"\ud83d\ude00"', r'"\udc00"', '"\x7f"']
)
almost_json = st.recursive(
    numbers | numbers.map("-{}".format) | scalars | st.text(max_size=3).map(json.dumps),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda found: f"[{', '.join(found)}]")
        | st.lists(inner, max_size=4).map(with_keys)
        | inner.map(" {}\t\r\n".format)
        | inner.map("\ufeff{}".format)
        | inner.map("{},".format)
    ),
)


@settings(max_examples=1000)
@given(almost_json.map(str.encode) | st.binary())
def test_the_fast_and_the_slow_path_say_the_same(data: bytes) -> None:
    assert judged(strict_json.parse, data) == judged(strict_json._parse_slowly, data)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"9223372036854775808", "9223372036854775808"),
        (b"[18446744073709551616]", "[18446744073709551616]"),
        (b'{"a": [-9223372036854775809]}', "{'a': [-9223372036854775809]}"),
        (b"[1e400, NaN, -0, -0.0]", "[inf, nan, 0, -0.0]"),
        (b'{"a": 1, "b": 2, "a": 3}', "{'a': 3, 'b': 2}"),
        (b"1e22", "1e+22"),
        (b'"\xf0\x9f\x98\x80 \\ud83d\\ude00"', "'😀 😀'"),
    ],
)
def test_values_that_parsers_differ_in(data: bytes, value: str) -> None:
    assert judged(strict_json.parse, data) == value
