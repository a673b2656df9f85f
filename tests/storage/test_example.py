"""The wire parser against TensorFlow's `tf.train.Example`, and against damage."""

import random
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.errors import ContentError
from gato_data.storage import example
from gato_data.storage.example import BYTES_LIST, FLOAT_LIST, INT64_LIST, encode_varint

Lists = dict[str, list[Any]]

LARGEST, SMALLEST = 2**63 - 1, -(2**63)
# Where varints grow by a byte, and both ends.
INTS = [0, 1, 127, 128, 16383, 16384, 2**32, 2**56 - 1, 2**56, LARGEST, -1, -128, SMALLEST]

RICH: Lists = {
    "steps/is_last": [0, 0, 1],
    "steps/reward": [0.0, -1.5, float("inf")],
    "steps/words": [b"go", b"to", b"the ball", b""],
    "steps/state": INTS,
    "empty": [],
}


@pytest.fixture(scope="module")
def tf_example() -> Any:
    import tensorflow as tf

    return tf.train.Example


def field(number: int, data: bytes) -> bytes:
    return encode_varint(number << 3 | 2) + encode_varint(len(data)) + data


def entry(name: bytes, feature: bytes) -> bytes:
    """One entry of the feature map."""
    return field(1, field(1, name) + field(2, feature))


def record(*entries: bytes) -> bytes:
    return field(1, b"".join(entries))


def fill(message: Any, features: Lists) -> Any:
    for name, values in features.items():
        feature = message.features.feature[name]
        if values and isinstance(values[0], bytes):
            feature.bytes_list.value.extend(values)
        elif values and isinstance(values[0], float):
            feature.float_list.value.extend(values)
        else:
            feature.int64_list.value.extend(values)
    return message


def read(feature: example.Feature) -> list[Any]:
    if feature.kind == BYTES_LIST:
        return list(feature.bytes_column())
    return (feature.floats() if feature.kind == FLOAT_LIST else feature.ints()).tolist()


def read_all(data: bytes) -> Lists:
    return {name: read(feature) for name, feature in example.parse(data).items()}


def read_by_tensorflow(tf_example: Any, data: bytes) -> Lists:
    found = {}
    for name, feature in tf_example.FromString(data).features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = list(getattr(feature, kind).value) if kind else []
    return found


values = st.one_of(
    st.lists(st.integers(SMALLEST, LARGEST) | st.sampled_from(INTS), max_size=20),
    st.lists(st.floats(width=32, allow_nan=False), max_size=20),
    st.lists(st.binary(max_size=300), max_size=12),
    st.builds(
        lambda size, n: [bytes([k]) * size for k in range(n)], st.integers(0, 200), st.just(5)
    ),
)


@settings(deadline=None, max_examples=150)
@given(features=st.dictionaries(st.text(max_size=12), values, max_size=6))
def test_values_are_those_of_tensorflow(tf_example: Any, features: Lists) -> None:
    data = fill(tf_example(), features).SerializeToString()
    assert read_all(data) == features


def test_extremes(tf_example: Any) -> None:
    data = fill(tf_example(), RICH).SerializeToString()
    parsed = example.parse(data)
    assert parsed["steps/state"].ints().tolist() == INTS
    assert parsed["steps/state"].ints().dtype == np.int64
    assert parsed["steps/reward"].floats().dtype == np.float32
    assert list(parsed["steps/words"].bytes_column()) == [b"go", b"to", b"the ball", b""]
    assert parsed["empty"].ints().tolist() == []


def test_nan_keeps_its_bits(tf_example: Any) -> None:
    message = tf_example()
    message.features.feature["x"].float_list.value.extend([float("nan"), -0.0])
    found = example.parse(message.SerializeToString())["x"].floats()
    assert np.isnan(found[0])
    assert np.signbit(found[1])


def test_floats_are_a_view_of_the_record() -> None:
    data = example.serialise({"x": np.arange(4, dtype=np.float32)})
    found = example.parse(data)["x"].floats()
    assert np.shares_memory(found, np.frombuffer(data, np.uint8))


UNPACKED = {
    "ints one by one": (
        field(INT64_LIST, b"\x08\x05" + b"\x08" + encode_varint(-2) + b"\x08\x80\x01"),
        [5, -2, 128],
    ),
    "floats one by one": (
        field(FLOAT_LIST, b"".join(b"\x0d" + struct.pack("<f", x) for x in (1.5, -2.0))),
        [1.5, -2.0],
    ),
    "packed, single, packed": (
        field(INT64_LIST, field(1, b"\x01\x02") + b"\x08\x03" + field(1, b"") + field(1, b"\x04")),
        [1, 2, 3, 4],
    ),
    "floats of both sorts": (
        field(
            FLOAT_LIST,
            field(1, struct.pack("<2f", 1, 2)) + b"\x0d" + struct.pack("<f", 3) + field(1, b""),
        ),
        [1.0, 2.0, 3.0],
    ),
    "unknown fields between": (
        field(INT64_LIST, b"\x10\x07" + field(1, b"\x01") + field(3, b"skip") + b"\x08\x09"),
        [1, 9],
    ),
    "strings and unknown fields": (
        field(BYTES_LIST, field(1, b"ab") + field(2, b"no") + field(1, b"cd") + b"\x18\x01"),
        [b"ab", b"cd"],
    ),
    "no kind": (b"", []),
    "the last of several kinds": (
        field(INT64_LIST, field(1, b"\x01")) + field(BYTES_LIST, b""),
        [],
    ),
}


@pytest.mark.parametrize(("feature", "expected"), UNPACKED.values(), ids=UNPACKED.keys())
def test_other_encodings(tf_example: Any, feature: bytes, expected: list[Any]) -> None:
    data = record(entry(b"x", feature))
    assert read_all(data) == {"x": expected}
    assert read_by_tensorflow(tf_example, data) == {"x": expected}


def one(value: int) -> bytes:
    return field(INT64_LIST, field(1, encode_varint(value)))


UNKNOWN = b"\x48\x05" + b"\x49" + bytes(8) + b"\x4d" + bytes(4) + field(9, b"later")

MAPS = {
    "the last of equal keys": (
        record(entry(b"x", one(1)), entry(b"y", one(2)), entry(b"x", one(3))),
        {"x": [3], "y": [2]},
    ),
    "the order of the map": (
        record(entry(b"b", one(1)), entry(b"a", one(2))),
        {"a": [2], "b": [1]},
    ),
    "the value before its name": (
        record(field(1, field(2, one(4)) + field(1, b"x"))),
        {"x": [4]},
    ),
    "no name": (record(field(1, field(2, one(4)))), {"": [4]}),
    "no value": (record(field(1, field(1, b"x"))), {"x": []}),
    "features in two messages": (
        record(entry(b"x", one(1))) + record(entry(b"y", one(2))),
        {"x": [1], "y": [2]},
    ),
    "unknown fields": (
        UNKNOWN + record(UNKNOWN, entry(b"x", UNKNOWN + one(1)), UNKNOWN),
        {"x": [1]},
    ),
    "nothing": (b"", {}),
}


@pytest.mark.parametrize(("data", "expected"), MAPS.values(), ids=MAPS.keys())
def test_other_maps(tf_example: Any, data: bytes, expected: Lists) -> None:
    assert read_all(data) == expected
    assert read_by_tensorflow(tf_example, data) == expected


def test_unknown_fields_of_an_entry() -> None:
    """Python's protocol buffers drop such entries, C++'s read them."""
    data = record(field(1, UNKNOWN + field(1, b"x") + UNKNOWN + field(2, one(1)) + UNKNOWN))
    assert read_all(data) == {"x": [1]}


@pytest.mark.parametrize(
    "data",
    [
        record(entry(b"x", one(1) + one(2))),
        record(field(1, field(1, b"x") + field(2, one(1)) + field(2, one(2)))),
    ],
)
def test_a_list_in_pieces_is_refused_rather_than_cut(data: bytes) -> None:
    with pytest.raises(ContentError, match="several pieces"):
        read_all(data)


@pytest.mark.parametrize(
    "strings",
    [
        [b"same", b"size", b"here"],
        [b"", b"", b""],
        [b"alone"],
        [b"a" * 128, b"b" * 128],  # a length of two bytes
        [b"a", b"bc", b"d"],
        # As long together as strings of one length would be, and heads within contents.
        [b"a", b"\x0a\x01b"],
        [b"ab", b"", b"cdef"],
        [b"ab", b"cd", b"e"],  # the last is shorter
    ],
)
def test_strings(strings: list[bytes]) -> None:
    column = example.parse(example.serialise({"x": strings}))["x"].bytes_column()
    assert list(column) == strings
    assert len(column) == len(strings)
    assert [column[index] for index in range(len(strings))] == strings
    assert list(column.slice(1, 3)) == strings[1:3]
    assert list(column.slice(0, 0)) == []


def test_strings_are_not_copied() -> None:
    data = example.serialise({"x": [b"ab", b"cde"]})
    column = example.parse(data)["x"].bytes_column()
    assert column.buffer is data
    assert [data[start : start + 2] for start in column.starts.tolist()] == [b"ab", b"cd"]
    assert column.lengths.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("name", "reader", "message"),
    [
        ("steps/is_last", "floats", "holds integers where its features declare floats"),
        ("steps/is_last", "bytes_column", "holds integers where its features declare bytes"),
        ("steps/reward", "ints", "holds floats where its features declare integers"),
        ("steps/words", "ints", "holds bytes where its features declare integers"),
    ],
)
def test_another_kind_is_refused(name: str, reader: str, message: str) -> None:
    feature = example.parse(example.serialise(RICH))[name]
    with pytest.raises(ContentError, match=message):
        getattr(feature, reader)()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (record(entry(b"x", field(FLOAT_LIST, field(1, b"\0\0\0")))), "ends within a number"),
        (record(entry(b"x", field(INT64_LIST, field(1, b"\x80")))), "ends within a number"),
        (
            record(entry(b"x", field(INT64_LIST, field(1, b"\x80") + field(1, b"\x01")))),
            "ends within a number",
        ),
        (record(entry(b"x", field(INT64_LIST, b"\x08\x80")) + b"\x01"), "longer than its message"),
        (record(entry(b"x", field(INT64_LIST, field(1, b"\x80" * 10 + b"\x01")))), "64 bits"),
        (record(entry(b"x", field(INT64_LIST, b"\x08" + b"\x80" * 10 + b"\x01"))), "cut off"),
        (record(entry(b"\xff", one(1))), "not UTF-8"),
        (b"\x0a\x05ab", "longer than its message"),
        (b"\x0b", "wire type 3"),
        (b"\x0a", "cut off"),
        (b"\x0a" + encode_varint(2**62), "longer than its message"),
        (record(entry(b"x", b"\x12" + encode_varint(2**40))), "longer than its message"),
    ],
)
def test_damage_is_named(data: bytes, message: str) -> None:
    with pytest.raises(ContentError, match=message):
        read_all(data)


def survives(data: bytes) -> bool:
    """Whether all of it can be read; raises whatever is not a `ContentError`."""
    try:
        read_all(data)
    except ContentError:
        return False
    return True


def test_truncation_at_every_byte() -> None:
    data = example.serialise(RICH)
    outcomes = [survives(data[:size]) for size in range(len(data) + 1)]
    # Whole is whole; nothing is a message without features; anything else is cut.
    assert outcomes == [True] + [False] * (len(data) - 1) + [True]


def test_truncation_within_the_list_of_features() -> None:
    """Cut inside, with the outer length put right."""
    body = example.serialise(RICH)[3:]  # a tag and two bytes of length
    starts = [len(body) - len(rest) for rest in _entries(body)]
    for size in range(len(body) + 1):
        assert survives(field(1, body[:size])) == (size in [*starts, len(body)])


def _entries(body: bytes) -> list[bytes]:
    rests = []
    while body:
        rests.append(body)
        body = body[2 + body[1] :]  # all entries here are shorter than 128 bytes
    return rests


@settings(deadline=None, max_examples=300)
@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 5),
)
def test_flipped_bytes(flips: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(example.serialise(RICH))
    for position, value in flips:
        data[position % len(data)] = value
    survives(bytes(data[: len(data) - cut]))


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    survives(data)
    survives(record(entry(b"x", data)))
    for kind in (BYTES_LIST, FLOAT_LIST, INT64_LIST):
        survives(record(entry(b"x", field(kind, data))))


def test_damage_allocates_no_more_than_the_record_could_hold() -> None:
    draw = random.Random(5)
    features = {"a": list(range(300)), "b": [b"x" * 40] * 8, "c": [0.5] * 100}
    good = example.serialise(features)
    tracemalloc.start()
    try:
        for _ in range(400):
            data = bytearray(good)
            for _ in range(3):
                data[draw.randrange(len(data))] = draw.randrange(256)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            survives(bytes(data))
            assert tracemalloc.get_traced_memory()[1] - before < 100 * len(good)
    finally:
        tracemalloc.stop()


@settings(deadline=None, max_examples=100)
@given(features=st.dictionaries(st.text(max_size=12), values, max_size=6))
def test_serialise_is_read_by_tensorflow(tf_example: Any, features: Lists) -> None:
    data = example.serialise(features)
    assert read_by_tensorflow(tf_example, data) == features
    assert data == example.serialise(dict(reversed(features.items())))
    if features and all(features.values()):  # TensorFlow writes the kind of an empty list, too
        message = fill(tf_example(), features)
        assert tf_example.FromString(data) == message


def test_serialised_bytes() -> None:
    """Pinned: entries in key order, numbers packed, negative ints in ten bytes."""
    data = example.serialise({"b": [1, -1], "a": [b"hi"], "c": [1.5]})
    assert data.hex() == (
        "0a32"
        "0a0b" + "0a0161" + "1206" + "0a04" + "0a026869"
        "0a14" + "0a0162" + "120f" + "1a0d" + "0a0b" + "01" + "ff" * 9 + "01"
        "0a0d" + "0a0163" + "1208" + "1206" + "0a04" + "0000c03f"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.empty(0, np.float32), FLOAT_LIST),
        (np.empty(0, np.int32), INT64_LIST),
        ([], BYTES_LIST),
        (np.array([True, False]), INT64_LIST),
        (np.array([2**63], np.uint64), INT64_LIST),
        ([np.float32(1)], FLOAT_LIST),
        ([b""], BYTES_LIST),
    ],
)
def test_kind_of_a_list(values: Any, kind: int) -> None:
    feature = example.parse(example.serialise({"x": values}))["x"]
    assert feature.kind == kind
    assert len(read(feature)) == len(values)


def test_varints_at_once() -> None:
    draw = random.Random(0)
    numbers = [*INTS, *(draw.getrandbits(draw.randrange(1, 64)) for _ in range(500)), 0]
    packed = np.frombuffer(b"".join(encode_varint(number) for number in numbers), np.uint8)
    assert example.decode_varints(packed).tolist() == numbers
    assert example.decode_varints(packed[:0]).tolist() == []
    with pytest.raises(ContentError, match="within a number"):
        example.decode_varints(np.array([0x80], np.uint8))
    with pytest.raises(ContentError, match="more than 64 bits"):
        example.decode_varints(np.array([0x80] * 10 + [1], np.uint8))


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_varints_in_parts(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "_VARINT_CHUNK", chunk)
    numbers = [0, 5, 300, -1, 127, 128, SMALLEST, 2**63 - 1, 1] * 3
    packed = np.frombuffer(b"".join(encode_varint(number) for number in numbers), np.uint8)
    assert example.decode_varints(packed).tolist() == numbers
    too_long = np.array([1] * 5 + [0x80] * 20 + [1], np.uint8)
    with pytest.raises(ContentError, match="more than 64 bits"):
        example.decode_varints(too_long)


def test_encode_varint() -> None:
    assert encode_varint(0) == b"\x00"
    assert encode_varint(300) == b"\xac\x02"
    assert encode_varint(-1) == b"\xff" * 9 + b"\x01"
    assert encode_varint(SMALLEST) == b"\x80" * 9 + b"\x01"
