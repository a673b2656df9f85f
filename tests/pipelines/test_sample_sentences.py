"""The job that samples: any number of workers, crashes, and files of all sizes change nothing."""

import io
import json
import os
import random
from pathlib import Path

import pytest

from gato_data.errors import GatoDataError, UsageError
from gato_data.storage import files
from gato_data.tokenizers.text import TextTokenizer
from pipelines import sample_sentences as job
from pipelines import sampling as sampling_module
from pipelines.cli import main
from pipelines.corpora import find_sources
from pipelines.sampling import Pool, Sampling
from pipelines.sentence_sample import SentenceSample
from pipelines.train_vocabulary import train_vocabulary
from tests.pipelines.test_corpora import EPISODE, episode, write_dataset
from tests.pipelines.test_train_vocabulary import missions


def pool(name, path, **settings):
    return Pool(name, {source.path: source for source in find_sources([str(path)])}, **settings)


def sampled(folder, size, *pools, **options):
    sampling = Sampling(pools, size, options.pop("seed", 0), str(folder / "samples"))
    return job.sample_sentences(sampling, **options)


def write(path: Path, sentences) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{sentence}\n" for sentence in sentences))
    return path


def numbered(count, kind="sentence"):
    return [f"{kind} {n:06d}" for n in range(count)]


# Nothing but the sentences decides.


def test_workers_and_cuts_do_not_change_the_model(tmp_path):
    texts = missions(900)
    whole = write(tmp_path / "whole" / "a.txt", texts)
    random.Random(1).shuffle(texts)
    for number in range(5):
        write(tmp_path / "parts" / f"{number}.txt", texts[number::5])
    models = {}
    for name, corpus, workers in (
        ("one", whole, 1),
        ("parts", tmp_path / "parts", 1),
        ("two", tmp_path / "parts", 2),
    ):
        output = tmp_path / f"{name}.model"
        train_vocabulary([str(corpus)], str(output), 300, sample=20_000, seed=4, workers=workers)
        models[name] = output.read_bytes()
    assert models["one"] == models["parts"] == models["two"]
    other = tmp_path / "other.model"
    train_vocabulary([str(whole)], str(other), 300, sample=20_000, seed=5)
    assert other.read_bytes() != models["one"]


def test_beam_runs_the_same_job(tmp_path):
    corpus = write(tmp_path / "a.txt", missions())
    arguments = ("--runner=DirectRunner", "--direct_running_mode=in_memory")
    found = sampled(tmp_path / "1", 6_000, pool("a", corpus), arguments=arguments)
    assert found == sampled(tmp_path / "2", 6_000, pool("a", corpus))


def test_shares_go_by_weight_and_who_has_less_gives_all(tmp_path):
    small = write(tmp_path / "small.txt", numbered(50, "little"))
    large = write(tmp_path / "large.txt", numbered(4_000))
    wide = write(tmp_path / "wide.txt", numbered(9_000, "another"))
    found = sampled(
        tmp_path,
        40_000,
        pool("small", small, weight=2.0),
        pool("large", large, weight=1.0),
        pool("wide", wide, weight=3.0),
    )
    assert [one.share for one in found] == pytest.approx([2 / 6, 1 / 6, 3 / 6])
    shares = {one.name: one.sampled for one in found}
    assert shares["small"] == 50 * 13
    rest = 40_000 - 650
    # Each within a sentence of what the weights say.
    assert 0 <= rest / 4 - shares["large"] < 16
    assert 0 <= rest * 3 / 4 - shares["wide"] < 15
    assert [one.sentences for one in found] == [50, 4_000, 9_000]
    assert [one.bytes for one in found] == [50 * 13, 4_000 * 15, 9_000 * 14]


def test_files_with_more_text_than_their_size_tells_are_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling_module, "DENSITY", 1)
    monkeypatch.setattr(sampling_module, "_LEAST_ROOM", 100)
    folder = tmp_path / "corpus"
    folder.mkdir()
    padded = [json.dumps({"text": x, "noise": "x" * 2_000}) + "\n" for x in numbered(300, "rare")]
    (folder / "padded.jsonl").write_text("".join(padded))
    dense = numbered(2_000) + numbered(50)
    write(folder / "dense.txt", dense)
    rooms = []
    monkeypatch.setattr(
        job,
        "sample_file",
        lambda s, x, t: (rooms.append(x), sampling_module.sample_file(s, x, t))[1],
    )
    (found,) = sampled(tmp_path, 20_000, pool("all", folder), workers=1)
    assert [Path(x.file).name for x in rooms] == ["dense.txt", "padded.jsonl", *["dense.txt"] * 2]
    # Its share by size; 16 times that, which is not enough for 60 % of it; all there is.
    assert rooms[0].room < 1_100 < 16 * rooms[0].room == rooms[2].room < 18_000
    assert rooms[3].room == 20_000
    whole = SentenceSample(20_000)
    for sentence in [*dense, *numbered(300, "rare")]:
        whole.add(sentence)
    assert found.chosen == whole.chosen()


# What is left of a run, and taken up.


def test_sample_files_are_deleted_when_the_model_is_there(tmp_path):
    corpus = write(tmp_path / "a.txt", missions())
    with pytest.raises(UsageError, match="--size"):
        train_vocabulary([str(corpus)], str(tmp_path / "m.model"), 32_000)
    assert len(list((tmp_path / "m.model.sampling").iterdir())) == 1
    train_vocabulary([str(corpus)], str(tmp_path / "m.model"), 300)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "m.model"]


def test_another_file_system_takes_model_and_sample_files():
    files.publish_bytes("memory://far/in/a.txt", "\n".join(missions()).encode())
    with pytest.raises(UsageError, match="--size"):
        train_vocabulary(["memory://far/in"], "memory://far/out/m.model", 32_000)
    assert len(files.list_names("memory://far/out/m.model.sampling")) == 1
    train_vocabulary(["memory://far/in"], "memory://far/out/m.model", 300)
    assert files.list_names("memory://far/out/m.model.sampling") == []
    assert TextTokenizer.from_bytes(files.read_bytes("memory://far/out/m.model")).size == 300


def test_what_an_earlier_run_sampled_is_taken_up_unless_it_changed(tmp_path, monkeypatch):
    first = write(tmp_path / "in" / "a.txt", numbered(30))
    second = write(tmp_path / "in" / "b.txt", numbered(30, "other"))
    read = []
    monkeypatch.setattr(
        job,
        "sample_file",
        lambda s, x, t: (read.append(Path(x.file).name), sampling_module.sample_file(s, x, t))[1],
    )

    def run(**options):
        read.clear()
        (found,) = sampled(tmp_path, 5_000, pool("all", tmp_path / "in"), **options)
        return [text for text, _ in found.chosen]

    assert run() == sorted(numbered(30) + numbered(30, "other"))
    assert read == ["a.txt", "b.txt"]
    run()
    assert read == []
    # As long as before, but written now.
    write(second, numbered(30, "newer"))
    later = first.stat().st_mtime + 60
    os.utime(second, (later, later))
    assert run() == sorted(numbered(30) + numbered(30, "newer"))
    assert read == ["b.txt"]
    run(seed=1)
    assert read == ["a.txt", "b.txt"]


def test_more_room_than_an_earlier_run_had_and_faults_are_looked_for_anew(tmp_path):
    corpus = json_lines(tmp_path / "a.jsonl", 400, 4)
    sampled(tmp_path / "old", 4_500, pool("all", corpus))
    (path,) = (tmp_path / "old" / "samples").iterdir()
    before = path.stat().st_mtime_ns
    (wider,) = sampled(tmp_path / "old", 5_000, pool("all", corpus))
    assert [wider] == sampled(tmp_path / "new", 5_000, pool("all", corpus))
    assert 5_000 - 15 < wider.sampled <= 5_000
    assert path.stat().st_mtime_ns > before
    before = path.stat().st_mtime_ns
    sampled(tmp_path / "old", 5_000, pool("all", corpus))
    assert path.stat().st_mtime_ns > before  # because of the four
    json_lines(corpus, 400, 0)
    sampled(tmp_path / "old", 4_500, pool("all", corpus))
    before = path.stat().st_mtime_ns
    sampled(tmp_path / "old", 4_500, pool("all", corpus))
    assert path.stat().st_mtime_ns == before
    assert sampled(tmp_path / "old", 5_500, pool("all", corpus)) == sampled(
        tmp_path / "other", 5_500, pool("all", corpus)
    )


def test_a_sample_file_that_broke_is_made_again(tmp_path):
    corpus = write(tmp_path / "a.txt", numbered(30) * 2)
    found = sampled(tmp_path, 5_000, pool("all", corpus))
    assert found[0].chosen == [(text, 2) for text in numbered(30)]
    (path,) = (tmp_path / "samples").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert sampled(tmp_path, 5_000, pool("all", corpus)) == found


# Records that cannot be used.


def json_lines(path, good, bad):
    path.write_text(
        "".join(json.dumps({"text": x}) + "\n" for x in numbered(good)) + "broken\n" * bad
    )
    return path


def test_a_few_unusable_records_are_counted_and_said(tmp_path, capsys):
    corpus = json_lines(tmp_path / "a.jsonl", 297, 3)
    output = tmp_path / "m.model"
    assert main(["vocab", str(corpus), "--output", str(output), "--size", "280"]) == 0
    printed = capsys.readouterr()
    assert "280 pieces from 297 sentences" in printed.out
    assert printed.err.startswith(
        f"warning: the corpora: 3 of 300 records cannot be used and were left out. First: {corpus}"
        ", record 297: line 298: it is no JSON"
    )


def test_more_than_one_percent_stops_with_the_first_reasons(tmp_path):
    corpus = json_lines(tmp_path / "a.jsonl", 296, 4)
    with pytest.raises(GatoDataError, match="4 of 300 records cannot be used") as caught:
        train_vocabulary([str(corpus)], str(tmp_path / "m.model"), 300)
    message = str(caught.value)
    assert not isinstance(caught.value, UsageError)
    assert message.startswith(f"{corpus}: ")
    assert all(f"record {number}: " in message for number in (296, 297, 298))
    assert "record 299" not in message
    # Mended, the same command goes through.
    json_lines(corpus, 300, 0)
    assert train_vocabulary([str(corpus)], str(tmp_path / "m.model"), 280).sentences == 300


def test_each_data_set_is_held_to_its_own_records(tmp_path):
    """Ten thousand good lines do not hide a data set of which half is damaged."""
    write(tmp_path / "in" / "a.txt", numbered(10_000))
    dataset = write_dataset(tmp_path / "in" / "d", EPISODE, [episode(["one"]), episode(["two"])])
    (path,) = dataset.glob("*.tfrecord*")
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    with pytest.raises(GatoDataError, match=f"{dataset}: 1 of 2 records .*byte .*: checksum"):
        train_vocabulary([str(tmp_path / "in")], str(tmp_path / "m.model"), 300)


def test_what_a_second_read_does_not_find_again_is_no_fault(tmp_path, monkeypatch):
    corpus = json_lines(tmp_path / "a.jsonl", 20, 0)
    calm = sampled(tmp_path / "calm", 1 << 20, pool("all", corpus))
    first, open_read = [True], files.open_read

    def flaky(path):
        """Storage that gives a wrong byte at first."""
        if path == str(corpus) and first:
            first.clear()
            return io.BytesIO(b"x" + corpus.read_bytes()[1:])
        return open_read(path)

    source = Sampling([pool("all", corpus)], 1 << 20, 0, str(tmp_path / "samples"))
    (opened,) = (x.open() for x in source.pools[0].corpora.values())
    elements = sampling_module.elements_of(source, 0, {str(corpus): opened})
    monkeypatch.setattr(files, "open_read", flaky)
    found = sampling_module.sample_file(source, elements[0], opened)
    assert not first
    assert (found.records, found.faults, found.sentences) == (20, 0, 20)
    monkeypatch.undo()
    # What is published is that of the second read, and is taken up.
    monkeypatch.setattr(job, "sample_file", None)
    assert job.sample_sentences(source) == calm


# Wrong requests.


def test_an_unknown_option_is_refused_with_the_one_that_was_meant(tmp_path, capsys):
    corpus = write(tmp_path / "a.txt", missions())
    arguments = ["vocab", str(corpus), "--output", str(tmp_path / "m.model")]
    assert main([*arguments, "--sampel=1MiB"]) == 2
    assert "--sampel is no option of this verb" in (said := capsys.readouterr().err)
    assert "Did you mean --sample?" in said
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--sample", "1 gallon"])
    assert stop.value.code == 2
    assert "'1 gallon' is no size such as 128MiB" in capsys.readouterr().err


def test_a_worker_says_what_is_wrong_with_a_corpus(tmp_path):
    for number in range(3):
        write(tmp_path / "in" / f"{number}.txt", missions())
    (tmp_path / "in" / "4.txt").write_bytes(b"fine\ncaf\xe9\n")
    with pytest.raises(UsageError, match=r"4\.txt, line 2: not UTF-8 .*iconv"):
        train_vocabulary([str(tmp_path / "in")], str(tmp_path / "m.model"), 300, workers=2)
