"""What texts look like, and how values are written as YAML."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gato_data.config_reading import read_document
from gato_data.report.describing import text_looks
from gato_data.report.describing.comments import comment, commented_out, explained, pair
from gato_data.report.describing.text_looks import why_no_language
from gato_data.report.describing.yaml_text import flow, why_unwritable
from gato_data.report.text_page import WIDTH

# What a config can hold: no control characters.
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=60)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)
VALUES = st.recursive(
    TEXTS | NUMBERS | st.just(True),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_values_come_back_from_a_config(value: object) -> None:
    text = f"key: {flow(value)}"
    assert "\n" not in text
    document = read_document(text.encode())
    assert document.problems == ()
    assert document.value == {"key": value}
    assert yaml.safe_load(text) == {"key": value}


@given(TEXTS, VALUES)
def test_pairs_come_back_however_long(key: str, value: object) -> None:
    lines = pair(key, value, 4)
    assert read_document("\n".join(lines).encode()).value == {key: value}
    # As comments they say nothing; without the mark, the same.
    marked = commented_out(lines, 4)
    assert yaml.safe_load("\n".join(marked)) is None
    assert [line.replace("# ", "", 1) for line in marked] == lines


@given(st.text(), st.integers(0, 8))
def test_comments_cannot_be_left(text: str, indent: int) -> None:
    lines = list(comment(text, indent))
    assert all(line.startswith(" " * indent + "#") for line in lines)
    assert all(character.isprintable() for line in lines for character in line)
    assert yaml.safe_load("\n".join(lines)) is None


@given(st.lists(st.text("ab語", min_size=1, max_size=30), max_size=40))
def test_comments_keep_to_the_width(words: list[str]) -> None:
    from rich.cells import cell_len

    lines = list(comment(" ".join(words), 4))
    assert all(cell_len(line) <= WIDTH for line in lines)
    assert " ".join(line.strip(" #") for line in lines).split() == words


def test_notes_stand_beside_where_there_is_room() -> None:
    assert list(explained(["a: 1"], "why", 0, 10)) == ["a: 1      # why"]
    assert list(explained(["a: 1"], "", 0, 10)) == ["a: 1"]
    assert list(explained(["a: 1"], "w" * 90, 0, 10)) == [f"# {'w' * 90}", "a: 1"]
    assert list(explained(["a:", "  b: 1"], "why", 0)) == ["# why", "a:", "  b: 1"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("steps/observation/state", None),
        ("steps/ünï code", None),
        ("steps", "no name"),
        ("episode_metadata/x", "no name"),
        ("steps//x", "no name"),
        ("steps/a\nb", "control"),
        ("steps/\ud800", "control"),
        ("steps/" + "x" * 1000, "too long"),
    ],
)
def test_what_no_config_can_name(path: str, says: str | None) -> None:
    found = why_unwritable(path)
    assert (found is None) if says is None else (found is not None and says in found)


@pytest.mark.parametrize(
    "text",
    ["/nfs/a/out.npy", "gs://bucket/x", "C:\\data", "a/b/c", "run_7.hdf5", "./x", "data\\x"],
)
def test_paths(text: str) -> None:
    assert text_looks.is_path(text)


@pytest.mark.parametrize("text", ["pick up the cup", "open and/or close it", "lift", "go. now"])
def test_no_paths(text: str) -> None:
    assert not text_looks.is_path(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', True),
        ('[{"a": 1}, 2]', True),
        ('{"a": 1, "b": "cut o', True),
        ("[" * 5000, True),
        ("[pick up]", False),
        ("{left} or right", False),
        ("12", False),
    ],
)
def test_json(text: str, expected: bool) -> None:
    assert text_looks.is_json(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-04-01", True),
        ("2023-04-01T10:11:12", True),
        ("20230401_101112", True),
        ("10:11", False),
        ("episode 2023-04-01", False),
    ],
)
def test_dates(text: str, expected: bool) -> None:
    assert text_looks.is_date(text) == expected


@pytest.mark.parametrize(
    ("texts", "tensor", "feature"),
    [
        (["open the door", "close it"], None, None),
        (["", "open"], None, None),
        ([], "empty", "empty"),
        ([""], "empty", "empty"),
        (["/a/b", "/a/c", "open"], "paths", "paths"),
        (['{"a": 1}'], "JSON", "JSON"),
        (["3f2a9c", "77"], "identifiers", None),
        (["...", "!"], "no words", None),
        (["a\x00b"], "control", None),
    ],
)
def test_why_no_language(texts: list[str], tensor: str | None, feature: str | None) -> None:
    """A declared Text is language unless it clearly is something else."""
    for is_declared, says in ((False, tensor), (True, feature)):
        found = why_no_language(texts, is_declared)
        assert (found is None) if says is None else (found is not None and says in found)
