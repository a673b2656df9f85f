"""What a list of shards says of each sequence is what the records hold."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gato_data.records.row_facts import RowFacts
from gato_data.records.shards import read_shard
from gato_data.sequencing.sequences import SCALAR_FIELDS, TEXT_FIELDS, TokenSequences


def sequences(images: list[int], tasks: list[str], passes: list[int]) -> TokenSequences:
    count = len(images)
    return TokenSequences(
        fields={},
        patch_offsets=np.concatenate(([0], np.cumsum(images))).astype(np.int64),
        patch_fields={},
        scalars=dict.fromkeys(SCALAR_FIELDS, np.zeros(count, np.int32))
        | {"pass": np.array(passes, np.int32)},
        texts=dict.fromkeys(TEXT_FIELDS, [""] * count) | {"task": tasks},
    )


def test_facts_follow_the_order_of_the_batches() -> None:
    facts = RowFacts()
    facts.add(sequences([0, 3], ["walk", "fly"], [2, 2]))
    facts.add(sequences([1], ["walk"], [2]))
    assert facts.stated() == {
        "pass_number": 2,
        "image_tokens": [0, 3, 1],
        "task_names": ["fly", "walk"],
        "sequence_tasks": [1, 0, 1],
    }


def test_what_all_have_in_common_is_not_listed() -> None:
    facts = RowFacts()
    facts.add(sequences([0, 0], ["walk", "walk"], [0, 0]))
    assert facts.stated() == {
        "pass_number": 0,
        "image_tokens": None,
        "task_names": ["walk"],
        "sequence_tasks": None,
    }


@pytest.mark.parametrize("passes", [[], [0, 1]])
def test_no_single_pass(passes: list[int]) -> None:
    facts = RowFacts()
    facts.add(sequences([0] * len(passes), [""] * len(passes), passes))
    assert facts.stated()["pass_number"] == -1


@pytest.mark.parametrize("format", ["arrow", "tfrecord"])
def test_a_build_states_what_its_records_hold(format: str, request: pytest.FixtureRequest) -> None:
    build: Path = request.getfixturevalue(f"tiny_build_{format}")
    rows = pq.read_table(build / "shards.parquet").to_pylist()
    for number, row in enumerate(rows):
        sidecar = json.loads((build / f"_units/{number}.json").read_text())
        records = [
            batch.record(place)
            for batch in read_shard(str(build / row["file"]))
            for place in range(len(batch))
        ]
        images = [len(record["patches"]) for record in records]
        names = sorted({record["task"] for record in records})
        tasks = [names.index(record["task"]) for record in records]
        expected = {
            "pass_number": 0,
            "image_tokens": images if sum(images) else None,
            "task_names": names,
            "sequence_tasks": tasks if len(names) > 1 else None,
        }
        assert {key: row[key] for key in expected} == expected
        assert {key: sidecar[key] for key in expected} == expected
    assert any(row["image_tokens"] for row in rows)
    assert any(row["sequence_tasks"] for row in rows)
