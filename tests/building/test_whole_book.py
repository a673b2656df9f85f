"""A model trained on a book gives the whole book back, through a build, character by character."""

import json
from pathlib import Path

import pytest

from gato_data.building import corpus_plan
from gato_data.tokenizers.text import TextTokenizer
from pipelines import cli
from tests.building.builds import SHARED, build, records, write_config
from tests.oracle.rlds_fixtures import train_text_model

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


@pytest.mark.fidelity("document-windows", "document-end")
def test_every_token_of_a_document_is_in_a_window(tmp_path: Path) -> None:
    """Documents of 1 to 150 tokens under L = 64: short ones whole, long ones in full windows."""
    train_text_model(tmp_path / "text.model")
    text = TextTokenizer.load(str(tmp_path / "text.model"))
    texts = {
        f"d{n}": " ".join(["go to the red ball", "door", "box"][: 1 + n % 3] * n)
        for n in range(1, 12)
    }
    lines = [json.dumps({"id": name, "text": string}) + "\n" for name, string in texts.items()]
    (tmp_path / "texts.jsonl").write_text("".join(lines))
    dataset = {"name": "texts", "kind": "text", "path": "texts.jsonl", "fields": {"id": "id"}}
    config = {
        "vocabulary": {"text_model": "text.model"},
        "sequence": {"length": 64, "passes": 2},
        "datasets": [dataset],
    }
    build(write_config(tmp_path, config), tmp_path / "out")
    found = records(tmp_path / "out")
    sizes = set()
    for name, string in texts.items():
        expected = [*text.encode(string).tolist(), text.end_of_text]
        sizes.add(len(expected) > 64)
        for number in range(2):
            windows = [x for x in found if (x["episode_id"], x["pass"]) == (name, number)]
            tokens = {}
            for record in windows:
                start, length = record["window_start"], record["length"]
                assert length == min(64, len(expected))
                assert set(record["segment"][:length]) == {0}
                tokens |= {start + place: int(record["tokens"][place]) for place in range(length)}
            assert [tokens[place] for place in sorted(tokens)] == expected
    assert sizes == {True, False}


@pytest.mark.parametrize("packed", [True, False])
def test_documents_of_many_small_files_share_sequences(packed: bool, tmp_path: Path) -> None:
    train_text_model(tmp_path / "text.model")
    (tmp_path / "texts").mkdir()
    for number in range(9):
        (tmp_path / f"texts/{number}.txt").write_text("go to the red ball")
    dataset = {"name": "texts", "kind": "text", "path": "texts", "pack": packed}
    config = {"vocabulary": {"text_model": "text.model"}, "datasets": [dataset]}
    build(write_config(tmp_path, config), tmp_path / "out")
    names = [record["episode_id"] for record in records(tmp_path / "out")]
    expected = [f"{number}.txt#0" for number in range(9)]
    assert sorted(json.loads(names[0]) if packed else names) == expected


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


def test_packs_of_small_files_keep_to_the_size_of_a_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two files of 18 bytes are within 40 bytes, three are not: also after the first overflow."""
    monkeypatch.setattr(corpus_plan, "LARGEST_PIECE", 40)
    train_text_model(tmp_path / "text.model")
    (tmp_path / "texts").mkdir()
    for number in range(9):
        (tmp_path / f"texts/{number}.txt").write_text("go to the red ball")
    dataset = {"name": "texts", "kind": "text", "path": "texts", "pack": True}
    config = {"vocabulary": {"text_model": "text.model"}, "datasets": [dataset]}
    build(write_config(tmp_path, config), tmp_path / "out")
    names = sorted(sorted(json.loads(x["episode_id"])) for x in records(tmp_path / "out"))
    files = [
        [f"{number}.txt#0" for number in range(start, min(9, start + 2))]
        for start in range(0, 9, 2)
    ]
    assert names == files
