"""Which records meet in a sequence: runs of input files, small files, long texts, and faults."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gato_data.building import corpus_plan
from gato_data.errors import GatoDataError, UsageError
from tests.building.builds import build, job_of, quarantine, records, write_config
from tests.building.corpus_builds import corpus_of, dataset_of, judge
from tests.oracle import corpus_fixtures as fixtures
from tests.oracle.corpora import InputFile
from tests.oracle.corpora_records import (
    caption_records,
    document_records,
    page_records,
    picture,
    question_records,
)
from tests.oracle.corpus_fixtures import Written

PICTURE = caption_records(0, 1, sides=(16,))[0]["image"]


def judged(
    folder: Path, model: Path, kind: str, written: Written, length: int = 64, **settings: Any
) -> tuple[list[str], list[dict[str, Any]]]:
    """What the oracle finds wrong with a build, and the records of the build."""
    config = {
        "seed": 3,
        "vocabulary": {"text_model": str(model)},
        "sequence": {"length": length},
        "limits": {"quarantine_share": 0.9},
        "datasets": [dataset_of(kind, written, **{"validation": 0, **settings})],
    }
    build(write_config(folder, config), folder / "out")
    problems, counts = judge(folder / "out", corpus_of(config, kind, written))
    built = records(folder / "out")
    assert sum(counts.values()) == len(built)
    return problems, built


def members(built: list[dict[str, Any]]) -> list[set[str]]:
    """The names of the pairs or documents of each sequence."""
    return [set(json.loads(record["episode_id"])) for record in built]


def test_pairs_meet_within_256_records(tmp_path: Path, text_model: Path) -> None:
    pairs = [{"id": f"{number}", "image": PICTURE, "text": "go"} for number in range(600)]
    written = fixtures.webdataset(tmp_path / "input", pairs, shards=1)
    problems, built = judged(tmp_path, text_model, "image_text", written, image_size=None)
    assert problems == []
    runs = [{int(name.split("/")[-1]) // 256 for name in names} for names in members(built)]
    assert [len(run) for run in runs] == [1] * len(built)
    assert {number for run in runs for number in run} == {0, 1, 2}


def test_pairs_of_a_compressed_file_meet_all(tmp_path: Path, text_model: Path) -> None:
    pairs = [{"id": f"{number}", "image": PICTURE, "text": "go"} for number in range(600)]
    written = fixtures.jsonl(tmp_path / "input", pairs, shards=1, packed="gz")
    problems, built = judged(tmp_path, text_model, "image_text", written, image_size=None)
    assert problems == []
    runs = [{int(name) // 256 for name in names} for names in members(built)]
    assert {len(run) for run in runs} >= {2, 3}


def test_documents_are_packed_within_4096_records(tmp_path: Path, text_model: Path) -> None:
    texts = [{"id": f"{number}", "text": "go"} for number in range(4500)]
    written = fixtures.jsonl(tmp_path / "input", texts, shards=1)
    problems, built = judged(tmp_path, text_model, "text", written, pack=True)
    assert problems == []
    runs = [{int(name) // 4096 for name in names} for names in members(built)]
    assert [len(run) for run in runs] == [1] * len(built)
    assert {number for run in runs for number in run} == {0, 1}


def test_a_run_has_64_mebibytes_at_most(tmp_path: Path, text_model: Path) -> None:
    # Two that fill a run to the byte, one by itself as the next does not go beside it, and so on.
    most = 64 << 20
    sizes = [most - 200, 200, 300, most - 299, 100]
    lines, kept = [], []
    for number, size in enumerate(sizes):
        record = {"id": f"{number}", "text": "go " * (number + 1)}
        line = json.dumps(record | {"unused": ""}) + "\n"
        lines.append(line.replace('"unused": ""', f'"unused": "{"x" * (size - len(line))}"'))
        kept.append(record)
    assert [len(line) for line in lines] == sizes
    (tmp_path / "input.jsonl").write_text("".join(lines))
    file = InputFile("input.jsonl", tuple(kept), sizes=tuple(sizes))
    settings = {"path": str(tmp_path / "input.jsonl"), "fields": {"id": "id"}}
    written = Written(settings, (file,))
    problems, built = judged(tmp_path, text_model, "text", written, pack=True)
    assert problems == []
    assert sorted(map(sorted, members(built))) == [["0", "1"], ["2"], ["3", "4"]]


def test_pairs_of_small_files_meet_those_of_the_next(tmp_path: Path, text_model: Path) -> None:
    # Two in each file, and five in a sequence: three files, three files, and the last one besides.
    written = fixtures.webdataset(tmp_path / "input", caption_records(8, 14), shards=7)
    problems, built = judged(tmp_path, text_model, "image_text", written)
    assert problems == []
    assert len(built) == 2 + 2
    first = {f"picture-{number:03d}" for number in range(6)}
    ours = [{name.split("/")[-1] for name in names} for names in members(built)]
    assert sum(names <= first for names in ours) == sum(not names & first for names in ours) == 2
    # Where all captions are used, they fill sequences sooner.
    several = fixtures.parquet(tmp_path / "several", caption_records(8, 17, captions=4), shards=7)
    settings: dict[str, Any] = {"several": "all", "validation": 0.3}
    problems, _ = judged(tmp_path / "all", text_model, "image_text", several, **settings)
    assert problems == []


def test_more_pairs_in_a_sequence_than_in_the_corpus(tmp_path: Path, text_model: Path) -> None:
    written = fixtures.webdataset(tmp_path / "input", caption_records(8, 7))
    with pytest.raises(UsageError, match="7 pairs") as caught:
        judged(tmp_path, text_model, "image_text", written, pairs=8)
    assert "`pairs`" in str(caught.value)
    problems, built = judged(tmp_path / "enough", text_model, "image_text", written, pairs=7)
    assert problems == []
    assert len(built) == 1


def damaged(image: bytes) -> bytes:
    """A PNG with a good header and other bytes where its pixels are."""
    place = image.index(b"IDAT") + 8
    return image[:place] + b"wrong" + image[place + 5 :]


def faulty(records: Any, changes: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    return [record | changes.get(number, {}) for number, record in enumerate(records)]


def test_faulty_pairs_leave_the_others_whole(tmp_path: Path, text_model: Path) -> None:
    good = caption_records(9, 40, captions=3, sides=(32,))
    png = PICTURE
    changes: dict[int, dict[str, Any]] = {
        3: {"text": ["go", ""]},
        8: {"text": []},
        11: {"image": b"no image at all"},
        12: {"image": damaged(png)},
        20: {"text": [" \n"]},
        21: {"text": [3, 2.5, "go"]},
        30: {"image": damaged(png)},
        31: {"text": ["\ud800"]},
    }
    texts = faulty(good, changes)
    written = fixtures.jsonl(tmp_path / "input", texts, shards=3)
    problems, built = judged(tmp_path, text_model, "image_text", written)
    assert problems == []
    assert len(quarantine(tmp_path / "out", "image_text")) == 7
    assert not any("picture-012" in name for names in members(built) for name in names)


def test_faulty_pairs_of_tars(tmp_path: Path, text_model: Path) -> None:
    changes: dict[int, dict[str, Any]] = {
        0: {"text": ""},
        5: {"image": damaged(PICTURE)},
        # All of a file, and all but one of the pairs that another has.
        **{number: {"image": damaged(PICTURE)} for number in (10, 11, 12, 13, 14, 16, 17, 18, 19)},
    }
    texts = faulty(caption_records(9, 30, sides=(32,)), changes)
    written = fixtures.webdataset(tmp_path / "input", texts, shards=6)
    problems, built = judged(tmp_path, text_model, "image_text", written, length=200)
    assert problems == []
    assert len(quarantine(tmp_path / "out", "image_text")) == 11
    # The pair that is left fills a sequence alone.
    assert [len(names) for names in members(built)].count(1) == 1


def test_faulty_documents_and_pages(tmp_path: Path, text_model: Path) -> None:
    texts = faulty(document_records(9, 20), {2: {"text": ""}, 9: {"text": "\ud800"}})
    written = fixtures.jsonl(tmp_path / "texts", texts)
    problems, _ = judged(tmp_path / "a", text_model, "text", written, pack=True)
    assert problems == []
    pages = faulty(
        page_records(9, 20),
        {
            2: {"text": [None, "go"], "image": [PICTURE]},
            5: {"text": [None, "go"], "image": [damaged(PICTURE), None]},
            7: {"text": [None, ""], "image": [PICTURE, None]},
            9: {"text": ["go"], "image": [PICTURE]},
            # An empty text is none.
            11: {"text": ["", "go"], "image": [PICTURE, None]},
            13: {"text": ["go", None], "image": [None, b"GIF8"]},
        },
    )
    written = fixtures.jsonl(tmp_path / "pages", pages)
    problems, _ = judged(tmp_path / "b", text_model, "interleaved", written)
    assert problems == []
    assert len(quarantine(tmp_path / "b/out", "interleaved")) == 5


def test_images_larger_than_a_sequence_are_refused(tmp_path: Path, text_model: Path) -> None:
    pairs = faulty(
        caption_records(9, 12, sides=(32,)),
        {5: {"image": picture("png", 64, 80)}, 6: {"image": picture("png", 64, 64)}},
    )
    written = fixtures.webdataset(tmp_path / "input", pairs)
    problems, _ = judged(tmp_path, text_model, "image_text", written, 16, image_size=None)
    assert problems == []
    [row] = quarantine(tmp_path / "out", "image_text")
    assert row["record"] == 5


@pytest.fixture(scope="module")
def crossing_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with pieces across spaces and line ends, so that it shows where a text was cut."""
    import sentencepiece

    path = tmp_path_factory.mktemp("model") / "crossing.model"
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([WORDS, "a\nb", "n\nb"] * 50),
            model_writer=file,
            vocab_size=420,
            model_type="bpe",
            byte_fallback=True,
            hard_vocab_limit=False,
            split_by_whitespace=False,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            minloglevel=2,
        )
    return path


WORDS = "go to the red ball and ▁ put it now "


def test_long_texts_are_encoded_in_parts(tmp_path: Path, crossing_model: Path) -> None:
    texts = [
        {"id": "spaces", "text": WORDS * 4000},
        {"id": "lines", "text": (WORDS * 90 + "n\nb") * 50},
        {"id": "one word", "text": "ball" * 20_000},
        {"id": "exactly", "text": WORDS * 1820 + "x" * 16},
        {"id": "one more", "text": WORDS * 1820 + "x" * 17},
        {"id": "short", "text": WORDS},
    ]
    assert [len(text["text"]) for text in texts[3:5]] == [65_536, 65_537]
    written = fixtures.jsonl(tmp_path / "input", texts)
    problems, built = judged(tmp_path, crossing_model, "text", written, length=4096)
    assert problems == []
    assert len(built) > 10


def test_white_space_before_an_answer_belongs_to_it(tmp_path: Path, crossing_model: Path) -> None:
    written = fixtures.jsonl(tmp_path / "input", question_records(5, 12))
    problems, _ = judged(tmp_path, crossing_model, "question_answer", written, loss="answer")
    assert problems == []


def test_ids_of_four_bytes(tmp_path: Path, text_model: Path) -> None:
    written = fixtures.parquet(tmp_path / "input", page_records(9, 8))
    config = {
        "vocabulary": {"text_model": str(text_model), "discrete_offset": 70_000},
        "sequence": {"length": 64},
        "datasets": [dataset_of("interleaved", written, validation=0)],
    }
    build(write_config(tmp_path, config), tmp_path / "out")
    problems, counts = judge(tmp_path / "out", corpus_of(config, "interleaved", written))
    assert problems == []
    assert counts["train"] >= 8


def test_a_pilot_takes_some_records(tmp_path: Path, text_model: Path) -> None:
    from pipelines.build_sequences import build as run

    written = fixtures.jsonl(tmp_path / "input", document_records(9, 40))
    config = {
        "vocabulary": {"text_model": str(text_model)},
        "sequence": {"length": 64},
        "datasets": [dataset_of("text", written)],
    }
    path = write_config(tmp_path, config)
    run(job_of(path, tmp_path / "out", limit=10), (), 1)
    built = records(tmp_path / "out")
    chosen = {record["episode_id"] for record in built}
    assert len(chosen) == 10
    # They are what they are in the whole build.
    corpus = corpus_of(config, "text", written)
    files = tuple(
        replace(file, records=tuple(one for one in file.records if one["id"] in chosen))
        for file in corpus.files
    )
    problems, _ = judge(tmp_path / "out", replace(corpus, files=files))
    assert problems == []


def test_too_many_faults_stop_the_build(tmp_path: Path, text_model: Path) -> None:
    texts = faulty(document_records(9, 40), {2: {"text": ""}})
    written = fixtures.jsonl(tmp_path / "input", texts, shards=1)
    config = {
        "vocabulary": {"text_model": str(text_model)},
        "datasets": [dataset_of("text", written)],
    }
    with pytest.raises(GatoDataError, match="1 of 40 records"):
        build(write_config(tmp_path, config), tmp_path / "out")
    [row] = quarantine(tmp_path / "out", "text")
    assert (row["file"], row["record"]) == ("part-0.jsonl", 2)
    assert "text" in row["reason"]


def plain_build(folder: Path, model: Path, kind: str, written: Written, **settings: Any) -> Any:
    config = {
        "vocabulary": {"text_model": str(model)},
        "sequence": {"length": 64},
        "datasets": [dataset_of(kind, written, **{"validation": 0, **settings})],
    }
    build(write_config(folder, config), folder / "out")
    return members(records(folder / "out"))


def test_a_run_has_so_many_image_tokens_at_most(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text_model: Path
) -> None:
    """Images of one patch; with 12 to a run there are three, each counted anew."""
    assert corpus_plan._IMAGE_TOKENS * (768 + 4) == 101_187_584
    monkeypatch.setattr(corpus_plan, "_IMAGE_TOKENS", 12)
    pairs = [{"id": f"{number}", "image": PICTURE, "text": "go"} for number in range(36)]
    written = fixtures.webdataset(tmp_path / "input", pairs, shards=1)
    found = plain_build(tmp_path, text_model, "image_text", written, image_size=None)
    runs = [{int(name.split("/")[-1]) // 12 for name in names} for names in found]
    assert sorted(runs, key=min) == [{0}] * 3 + [{1}] * 3 + [{2}] * 3


def test_each_run_counts_its_bytes_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text_model: Path
) -> None:
    texts = [{"id": f"{number}", "text": "go to the red ball"} for number in range(9)]
    written = fixtures.jsonl(tmp_path / "input", texts, shards=1)
    [file] = (tmp_path / "input").rglob("*.jsonl")
    line = file.stat().st_size // 9
    monkeypatch.setattr(corpus_plan, "LARGEST_PIECE", 3 * line)
    found = plain_build(tmp_path, text_model, "text", written, pack=True)
    assert sorted(map(sorted, found)) == [["0", "1", "2"], ["3", "4", "5"], ["6", "7", "8"]]
