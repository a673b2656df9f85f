"""No text, however hostile, does anything but load or be refused, soon."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gato_data.config import Config, load_config
from gato_data.config_reading import MAX_BYTES, DocumentError, read_document
from gato_data.errors import UsageError

NO_FIXTURE_CHECK = [HealthCheck.function_scoped_fixture]
# Words of configs and of YAML, so that random texts get past the first character.
WORDS = (  # noqa: SIM905
    "seed sequence length windows cover prompt datasets name kind rlds path tfds a:1.0.0 data "
    "image_size [16,16] filter off action steps/action observation validation 0.5 1 -1 010 1e9 "
    ".nan .inf null ~ true 2024-01-01 !!int !!float !!set !!binary !!python/name:os.system ! &a "
    "*a << [ ] { } , : - ? | > ' \" # % --- ... \\U00110000 %YAML 1:30 0x_ \t"
).split(" ")
yaml_like = st.lists(
    st.sampled_from([*WORDS, *(f"{word}: " for word in WORDS), "\n", "\n  ", "\n  - ", " "])
).map("".join)


def loads_or_is_refused(folder: Path, data: bytes) -> None:
    path = folder / "a.yaml"
    path.write_bytes(data)
    try:
        config = load_config(str(path))
    except UsageError as error:
        message = str(error)
    else:
        message = str(path) if isinstance(config, Config) else ""
    assert message.startswith(str(path))


@settings(max_examples=300, deadline=None, suppress_health_check=NO_FIXTURE_CHECK)
@given(text=yaml_like | st.text() | yaml_like.map(lambda text: f"datasets:\n  - {text}"))
@example(text="a: &a\n  <<: *a\n")
@example(text="? [a, b]\n: 1\n")
@example(text="!!int a: !!bool maybe\n")
@example(text="seed: !!float ''\n")
@example(text="datasets: !!map [a]\n")
def test_any_text(tmp_path: Path, text: str) -> None:
    loads_or_is_refused(tmp_path, text.encode("utf-8", "surrogatepass"))


@settings(max_examples=100, deadline=None, suppress_health_check=NO_FIXTURE_CHECK)
@given(data=st.binary())
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    loads_or_is_refused(tmp_path, data)


@contextmanager
def refused_soon(message: str) -> Iterator[None]:
    start = time.monotonic()
    with pytest.raises(DocumentError, match=message):
        yield
    # Not a speed: what is refused too late takes hours.
    assert time.monotonic() - start < 120


def test_a_document_of_any_size_is_refused_before_it_is_parsed() -> None:
    with refused_soon("larger than 1048576 bytes"):
        read_document(b"a" * (MAX_BYTES + 1))


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting(opening: str) -> None:
    with refused_soon("more than 16 levels"):
        read_document((opening * 20_000).encode())


def test_deep_nesting_by_aliases() -> None:
    levels = "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 40))
    with refused_soon("more than 16 levels"):
        read_document(b"a0: &a0 [1]\n" + levels.encode())


def test_a_value_inside_itself() -> None:
    with refused_soon("more than 16 levels"):
        read_document(b"a: &a [*a]\n")


def test_laughs() -> None:
    """Ten levels of ten aliases would be ten billion values."""
    levels = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 11))
    with refused_soon("more than 100000 values"):
        read_document(b"a0: &a0 [1]\n" + levels.encode())


def test_laughs_by_merging() -> None:
    levels = "".join(
        f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 11)
    )
    with refused_soon("more than 100000 values"):
        read_document(b"a0: &a0 {b: 1}\n" + levels.encode())


def test_a_long_text_many_times() -> None:
    """Half a megabyte, 100,000 times, would make a message of 50 GB."""
    text = f"a: &a {'x' * 500_000}\nb: [{'*a,' * 100_000}]\n"
    with refused_soon("more than 100000 values"):
        read_document(text.encode())


def test_a_file_full_of_problems(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("".join(f"key{i}: 1\n" for i in range(20_000)))
    with pytest.raises(UsageError, match="and 90 more"):
        load_config(str(path))


def test_lines_of_keys_and_items() -> None:
    document = read_document(b"\na: &a\n  b:\n    - 1\n    -\n      c: 2\nd: *a\n")
    assert document.value == {"a": {"b": [1, {"c": 2}]}, "d": {"b": [1, {"c": 2}]}}
    assert document.lines == {
        (): 2,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "b", 0): 4,
        ("a", "b", 1): 6,
        ("a", "b", 1, "c"): 6,
        ("d",): 7,
        ("d", "b"): 3,
        ("d", "b", 0): 4,
        ("d", "b", 1): 6,
        ("d", "b", 1, "c"): 6,
    }


def test_a_mapping_overrides_what_it_inherits_and_the_first_parent_the_second() -> None:
    document = read_document(
        b"a: &a {x: 1, y: 1, z: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*b, *a], x: 3}\n"
    )
    assert document.value["c"] == {"x": 3, "y": 2, "z": 1}
    assert document.lines["c", "y"] == 2


def test_a_byte_order_mark_is_no_character() -> None:
    assert read_document(b"\xef\xbb\xbfa: 1\n").value == {"a": 1}
