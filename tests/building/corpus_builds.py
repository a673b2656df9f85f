"""Builds of small corpora, held against the oracle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gato_data.records.shards import read_shard
from tests.building.builds import quarantine, shard_paths
from tests.oracle.corpora import TRAIN, VALIDATION, Corpus, check_corpus
from tests.oracle.corpus_fixtures import Written

# As small as images go that have several patches: 4 tokens of a sequence.
SMALL = [32, 32]


def dataset_of(kind: str, written: Written, **settings: Any) -> dict[str, Any]:
    """An entry of the config, called by its kind."""
    size = {} if kind == "text" else {"image_size": SMALL}
    return {"name": kind, "kind": kind, "validation": 0.3, **size, **written.settings, **settings}


def corpus_of(config: Mapping[str, Any], name: str, written: Written) -> Corpus:
    """What the oracle needs to know of one corpus of a build."""
    [dataset] = [one for one in config["datasets"] if one["name"] == name]
    sequence = config.get("sequence", {})
    offset = config["vocabulary"].get("discrete_offset", 0)
    return Corpus(
        dataset,
        written.files,
        config["vocabulary"]["text_model"],
        length=sequence.get("length", 1024),
        seed=config.get("seed", 0),
        sequence=sequence,
        largest_id=max(33_026, offset + 1023),
    )


def split_records(output: Path, dataset: str, split: str) -> list[dict[str, Any]]:
    """The records of one data set and split, in the order of the shards."""
    return [
        batch.record(number)
        for path in shard_paths(output)
        if path.name.startswith(f"{dataset}-{split}")
        for batch in read_shard(str(path))
        for number in range(len(batch))
    ]


def judge(output: Path, corpus: Corpus) -> tuple[list[str], dict[str, int]]:
    """Every difference between a build and the oracle, and the sequences of each split."""
    name = corpus.config["name"]
    problems, counts = [], {}
    for split in (TRAIN, VALIDATION):
        built = split_records(output, name, split)
        counts[split] = len(built)
        problems += check_corpus(built, corpus, split)
    found = {(row["file"], row["record"]) for row in quarantine(output, name)}
    for place in sorted(found - corpus.refused.keys()):
        problems.append(f"{place} is in quarantine")
    for place in sorted(corpus.refused.keys() - found):
        problems.append(f"{place} is not in quarantine: {corpus.refused[place]}")
    return problems, counts
