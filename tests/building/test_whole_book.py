"""A model trained on a book gives the whole book back, through a build, character by character."""

from pathlib import Path

import pytest

from gato_data.tokenizers.text import TextTokenizer
from pipelines import cli
from tests.building.builds import SHARED, build, records, write_config

BOOK = SHARED / "text/botchan.txt"


@pytest.mark.skipif(not BOOK.is_file(), reason=f"{BOOK} is not here")
@pytest.mark.parametrize("windows", ["plain", "packed"])
def test_the_whole_book(windows: str, tmp_path: Path) -> None:
    book = BOOK.resolve()
    model = tmp_path / "book.model"
    assert cli.main(["vocab", str(book), "--output", str(model)]) == 0
    by_line = windows == "packed"
    dataset = {
        "name": "book",
        "kind": "text",
        "path": str(book),
        "pack": by_line,
        "documents": "line" if by_line else "file",
    }
    config = {"vocabulary": {"text_model": str(model)}, "datasets": [dataset]}
    build(write_config(tmp_path, config), tmp_path / "out")
    text = TextTokenizer.load(str(model))
    original = book.read_bytes().decode().removeprefix("\ufeff")
    found = records(tmp_path / "out")
    if by_line:
        lines = [line for line in original.splitlines() if line.strip()]
        assert sorted(_documents(found, text)) == sorted(lines)
        return
    tokens: dict[int, int] = {}
    for record in found:
        for place in range(record["length"]):
            token = int(record["tokens"][place])
            assert tokens.setdefault(record["window_start"] + place, token) == token
    assert sorted(tokens) == list(range(len(tokens)))
    ids = [tokens[place] for place in range(len(tokens))]
    assert ids.pop() == text.end_of_text
    assert text.decode(ids) == original


def _documents(found: list[dict[str, object]], text: TextTokenizer) -> list[str]:
    """The documents of packed records, told apart by `segment`."""
    documents = []
    for record in found:
        tokens, segments = record["tokens"], record["segment"]
        for number in range(max(segments) + 1):  # type: ignore[call-overload]
            ids = [int(x) for x, y in zip(tokens, segments, strict=True) if y == number]  # type: ignore[call-overload]
            assert ids.pop() == text.end_of_text
            documents.append(text.decode(ids))
    return documents
