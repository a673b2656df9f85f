"""What counts as a sentence, and where it is looked for."""

import json
import re
from pathlib import Path

import pytest

from gato_data.errors import ContentError, UsageError
from gato_data.storage import files
from gato_data.storage.example import serialise
from gato_data.storage.framing import frame
from pipelines.corpora import Source, find_sources
from pipelines.sentences import MAX_SENTENCE_BYTES, sentences_of

BRIDGE = Path(__file__).parents[2] / "../shared/data/bridge_dataset"
_PREFIX = "tensorflow_datasets.core.features."
TEXT = {"pythonClassName": _PREFIX + "text_feature.Text", "text": {}}
STATE = {
    "pythonClassName": _PREFIX + "tensor_feature.Tensor",
    "tensor": {"shape": {"dimensions": ["2"]}, "dtype": "float32", "encoding": "none"},
}


def group(**features):
    return {
        "pythonClassName": _PREFIX + "features_dict.FeaturesDict",
        "featuresDict": {"features": features},
    }


def sequence(feature):
    return {
        "pythonClassName": _PREFIX + "sequence_feature.Sequence",
        "sequence": {"feature": feature, "length": "-1"},
    }


EPISODE = group(
    steps=sequence(group(observation=group(mission=TEXT, hints=sequence(TEXT), state=STATE))),
    metadata=group(file=TEXT),
)


def write_dataset(folder, features, records, shards=1, name="toy"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "features.json").write_text(json.dumps(features))
    for shard in range(shards):
        path = folder / f"{name}-train.tfrecord-{shard:05d}-of-{shards:05d}"
        mine = records[len(records) * shard // shards : len(records) * (shard + 1) // shards]
        path.write_bytes(b"".join(frame(serialise(record)) for record in mine))
    return folder


def episode(missions, file="/data/run_1.npz", hints=()):
    return {
        "steps/observation/mission": [mission.encode() for mission in missions],
        "steps/observation/hints/ragged_flat_values": [hint.encode() for hint in hints],
        "steps/observation/hints/ragged_row_lengths_0": [len(hints)] + [0] * (len(missions) - 1),
        "steps/observation/state": [0.5] * (2 * len(missions)),
        "metadata/file": [file.encode()],
    }


def said(*corpora):
    opened = [source.open() for source in find_sources(map(str, corpora))]
    return [one for texts in opened for file in texts.files for one in texts.records(file)]


def sentences(*corpora):
    found = said(*corpora)
    assert not [one.fault for one in found if one.fault]
    return [sentence for one in found for sentence in one.sentences]


def faults(*corpora):
    return [f"{one.place}: {one.fault}" for one in said(*corpora) if one.fault]


def text_file(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


# Text files.


def test_a_sentence_is_a_line_with_its_spaces_and_without_its_end(tmp_path):
    path = text_file(tmp_path / "a.txt", "one\r\n\n  two  spaces \n\nlast, unended é😀")
    assert sentences(path) == ["one", "  two  spaces ", "last, unended é😀"]


def test_a_byte_order_mark_is_no_text(tmp_path):
    assert sentences(text_file(tmp_path / "a.txt", "\ufefffirst\nsecond\n")) == ["first", "second"]


def test_characters_that_the_trainer_reserves_end_a_sentence(tmp_path):
    path = text_file(tmp_path / "a.txt", "a\0b\tc\u2581\u2581d\u2585e\n\t\n")
    assert sentences(path) == ["a", "b", "c", "d", "e"]


def test_a_long_line_is_cut_before_its_last_space_that_fits(tmp_path):
    words = [f"word{i:05d}" for i in range(40_000)]  # 400 kB, several reads
    cut = sentences(text_file(tmp_path / "a.txt", "short\n" + " ".join(words) + "\nshort"))
    assert cut[0] == cut[-1] == "short"
    assert "".join(cut[1:-1]) == " ".join(words)
    assert len(cut[1]) == 4189  # 419 words of 9 letters, 418 spaces; the next would end at 4199
    assert all(sentence.startswith(" word") for sentence in cut[2:-1])
    assert max(len(sentence) for sentence in cut) <= MAX_SENTENCE_BYTES


@pytest.mark.parametrize("letter", ["x", "é", "語", "😀"])
@pytest.mark.parametrize("shift", ["", "a", "ab", "abc"])
def test_a_long_line_without_spaces_is_cut_between_characters(tmp_path, letter, shift):
    text = shift + letter * (100_000 // len(letter.encode()))
    cut = sentences(text_file(tmp_path / "a.txt", text))
    assert "".join(cut) == text
    lengths = [len(sentence.encode()) for sentence in cut[:-1]]
    assert min(lengths) > MAX_SENTENCE_BYTES - len(letter.encode())
    assert max(lengths) <= MAX_SENTENCE_BYTES


def test_a_line_as_long_as_allowed_stays_whole(tmp_path):
    text = "x" * (MAX_SENTENCE_BYTES - 2) + " y"
    assert sentences(text_file(tmp_path / "a.txt", text + "\n" + text)) == [text, text]
    assert len(sentences(text_file(tmp_path / "b.txt", text + "z"))) == 2


@pytest.mark.parametrize(
    "data", [b"fine\nalso \xff not\nfine\n", b"fine\n\xe2\x96", b"a\n\xed\xa0\x80"]
)
def test_a_file_that_is_no_utf8_is_refused_with_its_line(tmp_path, data):
    path = text_file(tmp_path / "latin.txt", data)
    with pytest.raises(UsageError, match=r"latin\.txt, line 2: not UTF-8 .*iconv"):
        sentences(path)


def test_a_long_run_of_bytes_that_are_no_utf8_is_refused_too(tmp_path):
    with pytest.raises(UsageError, match="line 1: not UTF-8"):
        sentences(text_file(tmp_path / "a.txt", b"\x80" * 10_000))


@pytest.mark.parametrize("text", [b"caf\xe9", "half \ud800 a pair"])
def test_what_is_no_text_has_no_sentences(text):
    with pytest.raises(ContentError, match="its text is not UTF-8"):
        list(sentences_of(text))


def test_sentences_of_a_text_are_those_of_a_file_of_it(tmp_path):
    text = "one\r\n\n two \ttab \n" + "é" * 3_000 + " " + "ü" * 3_000 + "\nlast"
    assert list(sentences_of(text)) == sentences(text_file(tmp_path / "a.txt", text))
    assert list(sentences_of(text.encode())) == list(sentences_of(text))


# What names what.


def test_a_folder_stands_for_the_txt_files_and_datasets_below_it(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    text_file(tmp_path / "b.txt", "b")
    text_file(tmp_path / "deep" / "er" / "a.txt", "a")
    text_file(tmp_path / "notes.md", "no")
    dataset = write_dataset(tmp_path / "toy" / "1.0.0", EPISODE, [episode(["go left"])])
    text_file(dataset / "license.txt", "no")
    assert sorted(sentences(tmp_path)) == ["a", "b", "go left"]
    assert find_sources([str(tmp_path)])[-1] == Source(str(dataset), is_dataset=True)


def test_a_glob_names_files_of_any_ending(tmp_path):
    for name in ("a.md", "b.md", "c.rst"):
        text_file(tmp_path / name, name)
    assert sentences(tmp_path / "*.md") == ["a.md", "b.md"]


def test_what_is_named_twice_counts_once(tmp_path):
    path = text_file(tmp_path / "a.txt", "once")
    assert sentences(
        path, tmp_path, tmp_path / "*.txt", f"{tmp_path}/../{tmp_path.name}/a.txt"
    ) == ["once"]


def test_corpora_of_another_file_system():
    files.publish_bytes("memory://corpora/deep/a.txt", b"far away")
    files.publish_bytes("memory://corpora/b.txt", b"farther")
    files.publish_bytes("memory://corpora/c.md", b"no")
    assert sorted(sentences("memory://corpora")) == ["far away", "farther"]
    assert sentences("memory://corpora/*.md") == ["no"]
    assert sentences("memory://corpora/b.txt") == ["farther"]


@pytest.mark.parametrize("corpus", ["missing.txt", "missing/*.txt", "memory://missing.txt"])
def test_a_corpus_that_is_not_there_is_refused(tmp_path, corpus):
    corpus = corpus if "://" in corpus else str(tmp_path / corpus)
    with pytest.raises(UsageError, match="no such file or directory") as caught:
        find_sources([corpus])
    assert str(caught.value).startswith(corpus)


def test_a_folder_without_text_is_refused(tmp_path):
    text_file(tmp_path / "notes.md", "no")
    with pytest.raises(UsageError, match=r"no \*\.txt file and no features\.json.*/\*\.md"):
        find_sources([str(tmp_path)])


# Data sets.


def test_a_text_counts_once_in_an_episode_and_again_in_the_next(tmp_path):
    long = episode(["go left"] * 50 + ["go right"] * 50, hints=["go left", "look"])
    dataset = write_dataset(tmp_path / "d", EPISODE, [long, episode(["go left"] * 3)], shards=2)
    assert sorted(sentences(dataset)) == ["go left", "go left", "go right", "look"]


def test_text_of_the_episode_counts_only_where_no_step_has_text(tmp_path):
    captions = group(image=STATE, captions=sequence(TEXT), file=TEXT)
    record = {
        "image": [0.5, 0.5],
        "captions": [b"a cat", b"a cat", b"one\nmat"],
        "file": [b"x.jpg"],
    }
    dataset = write_dataset(tmp_path / "d", captions, [record])
    assert sentences(dataset) == ["a cat", "one", "mat", "x.jpg"]


def test_every_split_is_read(tmp_path):
    write_dataset(tmp_path / "d", EPISODE, [episode(["one"])])
    dataset = write_dataset(tmp_path / "d", EPISODE, [episode(["two"])])
    for name in files.list_names(str(dataset), "*.tfrecord*"):
        (dataset / name).rename(dataset / name.replace("train", "test"))
    write_dataset(tmp_path / "d", EPISODE, [episode(["one"])])
    assert sorted(sentences(dataset)) == ["one", "two"]


def test_a_missing_shard_is_refused(tmp_path):
    dataset = write_dataset(tmp_path / "d", EPISODE, [episode(["a"]), episode(["b"])], shards=2)
    (dataset / "toy-train.tfrecord-00001-of-00002").unlink()
    with pytest.raises(UsageError, match="1 of 2 files"):
        sentences(dataset)


def test_a_damaged_record_is_named(tmp_path):
    dataset = write_dataset(tmp_path / "d", EPISODE, [episode(["one"]), episode(["two"])])
    (path,) = dataset.glob("*.tfrecord*")
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    (fault,) = faults(dataset)
    assert re.search(r"00001, record 1 at byte \d+: checksum", fault)


def test_text_that_is_no_utf8_names_its_record(tmp_path):
    bad = episode(["x"]) | {"steps/observation/mission": [b"caf\xe9"]}
    dataset = write_dataset(tmp_path / "d", EPISODE, [episode(["one"]), bad])
    (fault,) = faults(dataset)
    assert re.search(r"00001, record 1 at byte \d+: its text is not UTF-8", fault)


def test_a_dataset_without_text_or_without_records_is_refused(tmp_path):
    silent = write_dataset(tmp_path / "a", group(state=STATE), [{"state": [0.5, 0.5]}])
    with pytest.raises(UsageError, match="none of its features is a Text"):
        sentences(silent)
    empty = write_dataset(tmp_path / "b", EPISODE, [], shards=0)
    with pytest.raises(UsageError, match="no TFRecord files"):
        sentences(empty)


@pytest.mark.skipif(not BRIDGE.exists(), reason="the shared test data are not there")
def test_instructions_of_real_robot_episodes():
    found = sentences(BRIDGE)
    assert len(found) == 25  # one for each episode, not ten, and no file names
    assert not any("/" in sentence for sentence in found)


@pytest.mark.parametrize("form", ["hdf5", "arrow"])
def test_texts_of_minari(form, tmp_path):
    from tests.oracle.minari import write_minari
    from tests.readers import minari_zoo

    episodes = minari_zoo.episodes(1, 3)
    spaces = minari_zoo.observation_space(), minari_zoo.action_space()
    folder = write_minari(tmp_path, episodes, *spaces, form)
    (source,) = find_sources([str(tmp_path)])
    assert source == Source(str(folder), is_dataset=True)
    # The last observation belongs to no action, as the last step of RLDS.
    observed = [{step["observation"]["mission"] for step in x["steps"][:-1]} for x in episodes]
    assert sentences(tmp_path) == [text for texts in observed for text in sorted(texts)]
    places = [f"{folder}, episodes-00000000, record {number}" for number in range(3)]
    assert [one.place for one in said(tmp_path)] == places


def test_minari_without_texts(tmp_path):
    from gymnasium.spaces import Box

    from tests.oracle.minari import write_minari

    steps = [
        {"observation": [0.5], "action": [0.5], "reward": 0, "terminated": 0, "truncated": 0}
        for _ in range(3)
    ]
    folder = write_minari(tmp_path, [{"steps": steps}], Box(-1, 1, (1,)), Box(-1, 1, (1,)))
    with pytest.raises(UsageError, match="none of its spaces is a Text"):
        sentences(folder)
