"""A vocabulary from a config: of every kind of data set, by weight, of training alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from gato_data.building.context import Job
from gato_data.config import load_config
from gato_data.errors import ContentError, GatoDataError, UsageError
from gato_data.sequencing import draws
from gato_data.storage import files, framing
from gato_data.tokenizers.text import TextTokenizer
from pipelines.cli import main
from pipelines.config_texts import ConfiguredTexts, has_text
from pipelines.train_vocabulary import train_vocabulary
from tests.building.builds import write_config
from tests.oracle import corpus_fixtures, rlds_fixtures
from tests.oracle.corpora_records import picture

IMAGE = picture("png", 16, 16)
TEXTS = [{"id": f"t{n}", "text": f"document {n}\nits second line"} for n in range(20)]
CAPTIONS = [
    {"id": f"c{n}", "image": IMAGE, "text": [f"caption {n}", f"another of {n}"]} for n in range(20)
]
QUESTIONS = [
    {"id": f"q{n}", "image": IMAGE, "question": f"what is {n}?", "answer": [f"yes {n}", f"no {n}"]}
    for n in range(20)
]
PAGES = [
    {"id": f"p{n}", "text": [f"before {n}", None, f"after {n}"], "image": [None, IMAGE, None]}
    for n in range(20)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of each kind, and episodes with and without text."""
    folder = tmp_path_factory.mktemp("kinds")
    episodes = rlds_fixtures.random_episodes(3, count=20)
    features = rlds_fixtures.random_features()
    rlds_fixtures.write_rlds(folder / "robot", features, episodes, shards=2)
    corpus_fixtures.jsonl(folder / "texts", TEXTS, packed="gz")
    corpus_fixtures.coco(folder / "captions", CAPTIONS)
    corpus_fixtures.parquet(folder / "questions", QUESTIONS)
    corpus_fixtures.jsonl(folder / "pages", PAGES)
    return folder


def robot(**settings: Any) -> dict[str, Any]:
    return {"name": "robot", "kind": "rlds", "path": "robot", "filter": "off", **settings}


def corpora(**settings: Any) -> list[dict[str, Any]]:
    return [
        {"name": "texts", "kind": "text", "path": "texts", **settings},
        {
            "name": "captions",
            "kind": "image_text",
            "path": "captions",
            "fields": {"id": "image/filename"},
            **settings,
        },
        {
            "name": "questions",
            "kind": "question_answer",
            "path": "questions",
            "fields": {"id": "id"},
            "loss": "answer",
            **settings,
        },
        {
            "name": "pages",
            "kind": "interleaved",
            "path": "pages",
            "fields": {"id": "id"},
            **settings,
        },
    ]


def job_of(folder: Path, *datasets: dict[str, Any], **settings: Any) -> Job:
    path = write_config(folder, {"datasets": list(datasets), **settings})
    return Job(load_config(str(path)), str(folder), "")


def sentences(folder: Path, dataset: dict[str, Any], **settings: Any) -> list[str]:
    texts = ConfiguredTexts(job_of(folder, dataset, **settings), dataset["name"]).open()
    found = []
    for file in texts.files:
        for said in texts.records(file):
            if said.fault:
                raise ContentError(f"{said.place}: {said.fault}")
            found += said.sentences
    return found


def kind(name: str, **settings: Any) -> dict[str, Any]:
    return next(one for one in corpora(**settings) if one["name"] == name)


# What the sentences of each kind are.


def test_lines_of_documents(folder):
    assert sentences(folder, kind("texts")) == [
        line for record in TEXTS for line in record["text"].split("\n")
    ]


def test_all_captions(folder):
    expected = [text for record in CAPTIONS for text in record["text"]]
    assert sentences(folder, kind("captions")) == expected


@pytest.mark.parametrize(
    ("template", "written"),
    [(None, "Q: what is {0}? A: {1} {0}"), ("<{question}|  {answer}>", "<what is {0}?|  {1} {0}>")],
)
def test_questions_and_answers_as_the_template_writes_them(folder, template, written):
    settings = {} if template is None else {"template": template}
    expected = [written.format(n, word) for n in range(20) for word in ("yes", "no")]
    assert sentences(folder, kind("questions", **settings)) == expected


def test_the_texts_of_pages_as_lists_and_with_marks(folder, tmp_path):
    expected = [text for n in range(20) for text in (f"before {n}", f"after {n}")]
    assert sentences(folder, kind("pages")) == expected
    marked = [{"id": "p", "text": "before (here) after", "image": [IMAGE]}]
    corpus_fixtures.jsonl(tmp_path / "pages", marked)
    found = sentences(tmp_path, kind("pages", image_mark="(here)"))
    assert found == ["before ", " after"]


def test_images_are_not_read(tmp_path):
    written = corpus_fixtures.jsonl(tmp_path / "captions", CAPTIONS)
    for image in (tmp_path / "captions" / "pictures").iterdir():
        image.unlink()
    dataset = kind("captions") | {"format": "jsonl", "fields": written.settings["fields"]}
    assert len(sentences(tmp_path, dataset)) == 40


def test_the_texts_that_a_step_of_the_config_has_once_in_an_episode(folder):
    episodes = rlds_fixtures.random_episodes(3, count=20)
    missions = [
        {step["observation"]["mission"] for step in episode["steps"][:-1]} for episode in episodes
    ]
    expected = [text for texts in missions for text in sorted(texts) if text]
    assert sentences(folder, robot()) == expected


def test_the_text_of_a_last_step_counts_where_it_is_kept(tmp_path):
    features = rlds_fixtures.random_features()
    episodes = rlds_fixtures.random_episodes(3, count=2)
    episodes[1]["steps"][-1]["observation"]["mission"] = "only here"
    rlds_fixtures.write_rlds(tmp_path / "robot", features, episodes)
    dropped = sentences(tmp_path, robot())
    assert "only here" not in dropped
    assert sorted(sentences(tmp_path, robot(last_step="keep"))) == sorted([*dropped, "only here"])


def test_data_sets_without_text_have_none(folder):
    arm = robot(observation=["steps/observation/arm"])
    assert not has_text(job_of(folder, arm), "robot")
    assert has_text(job_of(folder, robot()), "robot")


def test_minari(tmp_path):
    from tests.oracle.minari import write_minari
    from tests.readers import minari_zoo

    episodes = minari_zoo.episodes(1, 3)
    spaces = minari_zoo.observation_space(), minari_zoo.action_space()
    path = write_minari(tmp_path / "in", episodes, *spaces)
    dataset = {
        "name": "toy",
        "kind": "minari",
        "path": str(path),
        "filter": "off",
        "observation": ["steps/observation/mission"],
        "action": ["steps/action/_index_1"],
    }
    observed = [{step["observation"]["mission"] for step in x["steps"][:-1]} for x in episodes]
    assert sentences(tmp_path, dataset) == [text for texts in observed for text in sorted(texts)]


# Records that are held out.


@pytest.mark.parametrize("seed", [0, 5])
def test_validation_records_are_not_sampled(folder, seed):
    records = {"texts": TEXTS, "captions": CAPTIONS, "questions": QUESTIONS, "pages": PAGES}
    for dataset in corpora(validation=0.5):
        name = dataset["name"]
        is_train = {
            record["id"]: draws.uniform(seed, "split", name, record["id"]) >= 0.5
            for record in records[name]
        }
        if name == "texts":  # which states no id, in two files
            is_train = {
                f"t{n}": draws.uniform(seed, "split", name, f"part-{n // 10}.jsonl.gz#{n % 10}")
                >= 0.5
                for n in range(20)
            }
        assert 3 < sum(is_train.values()) < 17
        found = " ".join(sentences(folder, dataset, seed=seed)).replace("?", "") + " "
        for number, is_kept in enumerate(is_train.values()):
            assert (f" {number} " in found) == is_kept, (name, number)


def test_validation_episodes_and_tasks_are_not_sampled(folder):
    episodes = rlds_fixtures.random_episodes(3, count=20)
    common = {"episode_id": "episode_metadata/id", "task": "episode_metadata/task"}

    def expected(is_kept):
        chosen = [episode for episode in episodes if is_kept(episode["episode_metadata"])]
        texts = [{step["observation"]["mission"] for step in x["steps"][:-1]} for x in chosen]
        return [text for found in texts for text in sorted(found) if text]

    by_share = sentences(folder, robot(validation=0.5, **common), seed=2)
    assert by_share == expected(lambda x: draws.uniform(2, "split", "robot", x["id"]) >= 0.5)
    by_task = sentences(folder, robot(validation=["push"], **common))
    assert by_task == expected(lambda x: x["task"] != "push")
    assert 0 < len(by_task) < len(sentences(folder, robot()))


# The whole command.


def test_a_config_of_all_kinds(folder, tmp_path, capsys):
    datasets = [robot(weight=3), *corpora(weight=0.5)]
    path = write_config(folder, {"datasets": datasets}, "all.yaml")
    output = tmp_path / "m.model"
    command = ["vocab", str(path), "--output", str(output), "--size", "300"]
    assert main(command) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == [
        *("data", "set", "sentences", "text", "sampled", "share", "wanted", "share", "got", "bad"),
    ]
    rows = {line.split()[0]: line.split() for line in printed[1:6]}
    assert set(rows) == {"robot", "texts", "captions", "questions", "pages"}
    assert rows["robot"][-5:-3] == ["60.0", "%"]
    assert rows["captions"][1] == rows["questions"][1] == rows["pages"][1] == "40"
    assert rows["pages"][-5:-3] == ["10.0", "%"]
    assert {row[-1] for row in rows.values()} == {"0"}
    tokenizer = TextTokenizer.load(str(output))
    text = "Q: what is 3? A: yes 3"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert printed[-1].startswith(f"{output}: 300 pieces from ")
    assert not (tmp_path / "m.model.sampling").exists()
    # The same again, by other processes, in another order.
    again = write_config(folder, {"datasets": datasets[::-1]}, "again.yaml")
    other = tmp_path / "n.model"
    assert main(["vocab", str(again), "--output", str(other), *command[4:], "--workers", "2"]) == 0
    assert other.read_bytes() == output.read_bytes()


@pytest.mark.parametrize(("count", "workers"), [(300, 1), (300, 2), (3_000, 2)])
def test_shares_of_a_sample_that_cannot_hold_all(tmp_path, count, workers):
    for name, records in (("few", count), ("many", 3_000)):
        texts = [{"text": f"{name} text {n:05d}"} for n in range(records)]
        corpus_fixtures.jsonl(tmp_path / name, texts, shards=3)
    datasets = [
        {"name": "few", "kind": "text", "path": "few", "weight": 3},
        {"name": "many", "kind": "text", "path": "many", "weight": 1},
    ]
    path = write_config(tmp_path, {"datasets": datasets})
    summary = train_vocabulary(
        [str(path)], str(tmp_path / "m.model"), 280, sample=20_000, workers=workers
    )
    few, many = summary.pools
    assert (few.bytes, many.bytes) == (count * 14, 3_000 * 15)
    wanted = min(15_000, count * 14)
    assert wanted - 14 < few.sampled <= wanted
    assert 20_000 - wanted - 15 < many.sampled <= 20_000 - wanted
    assert (few.share, many.share) == (0.75, 0.25)


# Wrong requests.


def test_a_config_is_given_alone(folder):
    path = write_config(folder, {"datasets": corpora()}, "alone.yaml")
    with pytest.raises(UsageError, match=r"alone\.yaml: a config says .* Give it alone"):
        train_vocabulary([str(folder / "texts"), str(path)], str(folder / "no.model"))


def test_a_config_without_text_is_refused(folder):
    arm = robot(observation=["steps/observation/arm"])
    path = write_config(folder, {"datasets": [arm]}, "silent.yaml")
    with pytest.raises(UsageError, match=r"silent\.yaml: none of its data sets has text"):
        train_vocabulary([str(path)], str(folder / "no.model"))


def test_a_wrong_config_is_refused_with_its_line(folder, capsys):
    path = folder / "wrong.yaml"
    path.write_text("datasets:\n  - {name: a, kind: text, pathh: texts}\n")
    assert main(["vocab", str(path), "--output", str(folder / "no.model")]) == 2
    assert f"{path}:2: datasets[0].pathh: this key is unknown" in capsys.readouterr().err
    assert main(["vocab", str(folder / "none.yaml"), "--output", "no.model"]) == 2
    assert "there is no such file" in capsys.readouterr().err


def test_a_missing_data_set_is_named(folder):
    path = write_config(folder, {"datasets": [kind("texts") | {"path": "away"}]}, "away.yaml")
    with pytest.raises(UsageError, match=r"data set 'texts': .*away: no such file or folder"):
        train_vocabulary([str(path)], str(folder / "no.model"))


def test_a_missing_field_stops_with_the_share_that_the_config_allows(tmp_path):
    lines = [json.dumps({"text": f"line {n}"} if n % 10 else {"words": "a"}) for n in range(100)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    dataset = {"name": "a", "kind": "text", "path": "a.jsonl"}
    path = write_config(tmp_path, {"datasets": [dataset]})
    with pytest.raises(GatoDataError, match=r"data set 'a': 10 of 100 records .*it has no text"):
        train_vocabulary([str(path)], str(tmp_path / "m.model"), 280)
    allowed = {"limits": {"quarantine_share": 0.1}}
    path = write_config(tmp_path, {"datasets": [dataset], **allowed})
    summary = train_vocabulary([str(path)], str(tmp_path / "m.model"), 280)
    assert summary.sentences == 90
    assert "a: 10 of 100 records" in summary.warnings[0]


def test_records_that_should_be_there_and_are_not_count_as_unusable(tmp_path):
    texts = [{"text": f"line {n:03d}"} for n in range(300)]
    corpus_fixtures.c4(tmp_path / "texts", texts)
    # The first file ends after 146 of its 150 records.
    path = min((tmp_path / "texts").glob("*.tfrecord-00000*"))
    with files.open_read(str(path)) as file:
        kept = list(framing.scan(file, 1 << 20))[:146]
    path.write_bytes(b"".join(framing.frame(record.payload) for record in kept))
    datasets = {"datasets": [kind("texts")]}
    config = write_config(tmp_path, datasets)
    with pytest.raises(GatoDataError, match=r"4 of 300 records .* should have 150 .* and has 146"):
        train_vocabulary([str(config)], str(tmp_path / "m.model"), 280)
    config = write_config(tmp_path, datasets | {"limits": {"quarantine_share": 0.02}})
    summary = train_vocabulary([str(config)], str(tmp_path / "m.model"), 280)
    assert (summary.sentences, summary.pools[0].faults) == (296, 4)


@pytest.mark.parametrize("name", ["texts", "robot"])
def test_a_record_over_the_limit_is_a_fault(folder, tmp_path, name):
    corpus_fixtures.jsonl(tmp_path / "texts", [{"text": "x" * 3_000}, {"text": "short"}])
    where, dataset = (folder, robot()) if name == "robot" else (tmp_path, kind("texts"))
    job = job_of(where, dataset, limits={"record_bytes": 1_000})
    texts = ConfiguredTexts(job, name).open()
    faults = [x.fault for file in texts.files for x in texts.records(file) if x.fault]
    assert len(faults) == (20 if name == "robot" else 1)
    assert all("1000" in fault for fault in faults)
