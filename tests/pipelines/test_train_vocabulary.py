"""The vocabulary: its pieces, its sizes, and that equal text gives equal bytes."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.errors import UsageError
from gato_data.tokenizers.text import TextTokenizer
from pipelines.cli import main
from pipelines.sentence_sample import SentenceSample
from pipelines.train_vocabulary import (
    MAX_TEXT_BYTES,
    describe,
    possible_sizes,
    train_vocabulary,
)
from tests.pipelines.test_corpora import EPISODE, episode, sentences, write_dataset

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "../shared/data"
BOTCHAN = SHARED / "text/botchan.txt"
BRIDGE = SHARED / "bridge_dataset"

needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="the shared test data are not there")


def missions(count=300, seed=0):
    """Lines of a made-up instruction language."""
    draw = random.Random(seed)
    verbs = ("go to", "pick up", "put next to", "open", "look behind")
    colours = ("red", "green", "blue", "purple", "yellow", "grey")
    things = ("ball", "box", "key", "door", "flowerpot", "wheelbarrow", "lighthouse")
    return [
        f"{draw.choice(verbs)} the {draw.choice(colours)} {draw.choice(things)}, "
        f"then {draw.choice(verbs)} a {draw.choice(colours)} {draw.choice(things)}"
        for _ in range(count)
    ]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "missions.txt"
    path.write_text("\n".join(missions()))
    return path


def train(output, size, *corpora):
    summary = train_vocabulary([str(corpus) for corpus in corpora], str(output), size)
    return summary, output.read_bytes()


def sample(sentences, max_bytes):
    found = SentenceSample(max_bytes)
    for sentence in sentences:
        found.add(sentence)
    return found


def possible(path):
    return possible_sizes(sample(sentences(path), 1 << 30).chosen())


# The model.


def test_summary_and_model_agree(corpus, tmp_path):
    summary, model = train(tmp_path / "m.model", 300, corpus)
    tokenizer = TextTokenizer.from_bytes(model)
    assert (summary.pieces, tokenizer.size) == (300, 300)
    assert summary.digest == tokenizer.digest
    assert summary.sentences == summary.trained_sentences == 300
    assert summary.bytes == corpus.stat().st_size - 299  # without the ends of lines
    assert describe(summary, "m.model").startswith(
        "m.model: 300 pieces from 300 sentences (0.0 MB)"
    )
    assert "chosen" not in describe(summary, "m.model")


def test_special_pieces_come_first_and_no_other_exists(corpus, tmp_path):
    _, model = train(tmp_path / "m.model", 300, corpus)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [processor.id_to_piece(i) for i in range(300)]
    assert pieces[:2] == ["<unk>", "</s>"]
    assert pieces[2:258] == [f"<0x{value:02X}>" for value in range(256)]
    assert not any(processor.is_control(i) or processor.is_byte(i) for i in range(258, 300))
    assert processor.eos_id() == 1
    assert processor.bos_id() == processor.pad_id() == -1


def test_frequent_words_are_pieces(corpus, tmp_path):
    _, model = train(tmp_path / "m.model", 300, corpus)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    for word in ("the", "ball", "key", "wheelbarrow", "lighthouse"):
        assert not processor.is_unknown(processor.piece_to_id(f"▁{word}")), word
    assert processor.encode("the wheelbarrow", return_type=str)[-1] == "▁wheelbarrow"


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_text_of_any_kind_round_trips(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabulary")
    text = "\n".join(
        [*missions(), "    def f():", "\t\ttab  ", "naïve café 日本語 \u2581 </s> <unk>"]
    )
    (folder / "text.txt").write_text(text, encoding="utf-8")
    train_vocabulary([str(folder)], str(folder / "m.model"), 300)
    return TextTokenizer.load(str(folder / "m.model"))


# The same text gives the same bytes.


def test_order_of_corpora_and_cuts_into_files_do_not_matter(corpus, tmp_path):
    lines = corpus.read_text().splitlines()
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("\n".join(lines[170:]) + "\n")
    second.write_text("\n".join(reversed(lines[:170])))
    models = {
        train(tmp_path / name, 300, *corpora)[1]
        for name, corpora in {
            "whole": [corpus],
            "again": [corpus],
            "parts": [first, second],
            "other order": [second, first],
        }.items()
    }
    assert len(models) == 1


def test_more_or_other_text_gives_another_model(corpus, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("\n".join(missions(seed=1)))
    assert train(tmp_path / "a", 300, corpus)[1] != train(tmp_path / "b", 300, other)[1]
    twice = tmp_path / "twice.txt"
    twice.write_text(corpus.read_text() + "\ngo to the red ball" * 200)
    assert train(tmp_path / "a", 300, corpus)[1] != train(tmp_path / "c", 300, twice)[1]


def test_repeated_steps_of_an_episode_do_not_change_the_model(tmp_path):
    texts = missions(100)
    short = write_dataset(tmp_path / "short", EPISODE, [episode([text]) for text in texts])
    # The first episode is long, and the records lie in other files.
    records = [episode([text] * (500 if text is texts[0] else 2)) for text in texts]
    long = write_dataset(tmp_path / "long", EPISODE, records[::-1], shards=3)
    assert train(tmp_path / "a", 300, short)[1] == train(tmp_path / "b", 300, long)[1]
    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(texts))
    assert train(tmp_path / "a", 300, short)[1] == train(tmp_path / "c", 300, lines)[1]


def test_no_path_of_this_machine_is_in_the_model(corpus, tmp_path):
    _, model = train(tmp_path / "m.model", 300, corpus)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.copy(corpus, moved / "renamed.txt")
    assert train(moved / "n.model", 300, moved / "renamed.txt")[1] == model
    for trace in (str(tmp_path), "missions", "m.model", "tmp"):
        assert trace.encode() not in model


def test_the_number_of_cores_does_not_change_the_model(corpus, tmp_path):
    if not shutil.which("taskset"):
        pytest.skip("taskset is not there")
    _, model = train(tmp_path / "many.model", 300, corpus)
    command = [sys.executable, "-m", "pipelines.train_vocabulary", str(corpus), "--size", "300"]
    output = tmp_path / "one.model"
    subprocess.run(
        ["taskset", "-c", "0", *command, "--output", str(output)], check=True, cwd=ROOT, timeout=60
    )
    assert output.read_bytes() == model


# Sizes.


def assert_limits_hold(path, tmp_path):
    smallest, largest = possible(path)
    for size in (smallest, largest):
        summary, model = train(tmp_path / "limit.model", size, path)
        assert summary.pieces == TextTokenizer.from_bytes(model).size == size
    with pytest.raises(
        UsageError, match=f"too small for a vocabulary .* size is {largest}. Use --s"
    ):
        train_vocabulary([str(path)], str(tmp_path / "no.model"), largest + 1)
    with pytest.raises(UsageError, match=f"largest possible size is {largest}. Use --s"):
        train_vocabulary([str(path)], str(tmp_path / "no.model"), 32_000)
    assert train(tmp_path / "most.model", None, path)[0].pieces == largest
    with pytest.raises(UsageError, match=f"smallest possible size is {smallest}, which is 256"):
        train_vocabulary([str(path)], str(tmp_path / "no.model"), smallest - 1)
    assert not (tmp_path / "no.model").exists()
    return smallest, largest


def test_the_sizes_that_messages_name_are_the_limits(corpus, tmp_path):
    smallest, largest = assert_limits_hold(corpus, tmp_path)
    letters = set(corpus.read_text()) - {"\n"}
    assert 258 + len(letters) - 2 <= smallest <= 258 + len(letters)  # the rarest may be bytes
    assert largest > smallest


def test_every_size_between_the_limits_can_be_trained(corpus, tmp_path):
    smallest, largest = possible(corpus)
    for size in range(smallest, largest + 1, 7):
        assert train(tmp_path / "m.model", size, corpus)[0].pieces == size


@pytest.mark.parametrize("text", ["a", "ab", " ", "aa", "abab abab\nab", "é", "<", "日本語\n日本"])
def test_limits_of_tiny_corpora(text, tmp_path):
    path = tmp_path / "tiny.txt"
    path.write_text(text, encoding="utf-8")
    assert_limits_hold(path, tmp_path)


@pytest.mark.parametrize("text", ["</s>", "<unk>\n</s>", "aaaaaaaa"])
def test_text_from_which_nothing_can_be_trained_is_refused(text, tmp_path):
    path = tmp_path / "tiny.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match="too little text to train on"):
        train_vocabulary([str(path)], str(tmp_path / "no.model"), 300)


@pytest.mark.parametrize("size", [-1, 0, 32_001])
def test_sizes_beyond_the_range_of_ids_are_refused(corpus, tmp_path, size):
    with pytest.raises(UsageError, match=f"--size {size}: .*1 to 32000"):
        train_vocabulary([str(corpus)], str(tmp_path / "no.model"), size)


@pytest.mark.parametrize("data", [b"", b"\n\r\n\n", b"\0\t\n", b"\xef\xbb\xbf"])
def test_an_empty_corpus_is_refused(tmp_path, data):
    path = tmp_path / "empty.txt"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"empty\.txt: no text in it"):
        train_vocabulary([str(path)], str(tmp_path / "no.model"), 300)


def test_a_directory_as_output_is_refused(corpus, tmp_path):
    with pytest.raises(UsageError, match="is a directory"):
        train_vocabulary([str(corpus)], str(tmp_path), 300)


# Real text.


@needs_shared
def test_sizes_and_round_trip_of_english_prose(tmp_path):
    _, largest = assert_limits_hold(BOTCHAN, tmp_path)
    assert 5_000 < largest < 7_000
    summary, model = train(tmp_path / "m.model", 2_000, BOTCHAN)
    tokenizer = TextTokenizer.from_bytes(model)
    lines = BOTCHAN.read_bytes().decode().split("\n")
    encoded = tokenizer.encode_many(lines)
    assert [tokenizer.decode(ids) for ids in encoded] == lines
    # Sub-words, not letters: the ids are few beside the bytes that they stand for.
    assert sum(map(len, encoded)) < summary.bytes / 3


@needs_shared
def test_prose_and_robot_instructions_together(tmp_path):
    _, model = train(tmp_path / "a.model", 1_000, BOTCHAN, BRIDGE)
    assert train(tmp_path / "b.model", 1_000, BRIDGE, BOTCHAN)[1] == model
    assert train(tmp_path / "c.model", 1_000, BOTCHAN)[1] != model
    instructions, _ = train(tmp_path / "d.model", 290, BRIDGE)
    assert instructions.sentences == 25


# Too much text.


def test_a_sampled_corpus_says_so(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.train_vocabulary.MAX_TEXT_BYTES", 1 << 13)
    assert MAX_TEXT_BYTES > 1 << 13
    lines = corpus.read_text().splitlines()
    summary, model = train(tmp_path / "a.model", 300, corpus)
    assert summary.sentences == 300
    (pool,) = summary.pools
    longest = max(map(len, lines))
    assert (1 << 13) - longest < pool.sampled <= 1 << 13
    assert summary.trained_sentences == sum(copies for _, copies in pool.chosen) < 160
    said = describe(summary, "")
    assert f"Trained on {summary.trained_sentences} of them, chosen by hash" in said
    assert said.endswith("the corpora hold more than 8 KiB.")
    corpus.write_text("\n".join(reversed(lines)))
    assert train(tmp_path / "b.model", 300, corpus)[1] == model


def test_the_seed_changes_a_sample_and_nothing_else(corpus, tmp_path):
    def trained(name, **options):
        output = tmp_path / name
        train_vocabulary([str(corpus)], str(output), 290, **options)
        return output.read_bytes()

    assert trained("a", seed=1) == trained("b", seed=2)
    first = trained("c", seed=1, sample=9_000)
    assert first == trained("d", seed=1, sample=9_000) != trained("e", seed=2, sample=9_000)


def test_a_sample_without_room_for_a_sentence_is_refused(corpus, tmp_path):
    with pytest.raises(UsageError, match=r"--sample 4191: .* 4192 bytes or more"):
        train_vocabulary([str(corpus)], str(tmp_path / "no.model"), sample=4191)


# The command.


def test_the_command_trains_quietly(corpus, tmp_path):
    output = tmp_path / "deep" / "m.model"
    command = [sys.executable, "-m", "pipelines.train_vocabulary", str(corpus), "--size", "300"]
    done = subprocess.run(
        [*command, "--output", str(output)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{output}: 300 pieces from 300 sentences")
    assert TextTokenizer.load(str(output)).size == 300
    assert [path.name for path in output.parent.iterdir()] == ["m.model"]


def test_the_command_fails_with_one_paragraph(corpus, tmp_path, capfd):
    assert (
        main(["vocab", str(corpus), "--output", str(tmp_path / "no.model"), "--size", "32000"]) == 2
    )
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("gato-data: The corpora are too small for a vocabulary of 32000")
    assert printed.err.count("\n") == 1


def test_the_command_tells_damage_from_wrong_usage(tmp_path, capfd):
    dataset = write_dataset(tmp_path / "d", EPISODE, [episode(["one"])])
    (path,) = dataset.glob("*.tfrecord*")
    path.write_bytes(path.read_bytes()[:-3])
    assert main(["vocab", str(dataset), "--output", str(tmp_path / "no.model")]) == 1
    assert "file ends within the record" in capfd.readouterr().err
