"""An id that stands twice: refused with both places, or the first is kept and the rest counted."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gato_data.errors import UsageError
from gato_data.storage import framing
from tests.building.builds import build_here, write_config
from tests.conftest import tiny_config

FIRST, SECOND = (f"toy-train.tfrecord-0000{number}-of-00002" for number in range(2))


def payloads(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return [record.payload for record in framing.scan(file, 1 << 30)]


def write(path: Path, records: list[bytes]) -> None:
    path.write_bytes(b"".join(map(framing.frame, records)))


def config_of(data: Path, text_model: Path, **changes: Any) -> dict[str, Any]:
    """A data set with prompts and both splits, so that a second copy would change sequences."""
    config = tiny_config("arrow")
    del config["datasets"][1]
    config["datasets"][0] |= {"path": str(data)} | changes
    config["vocabulary"] = {"text_model": str(text_model)}
    return config


@pytest.fixture
def twice(tiny_input: Path, tmp_path: Path) -> Path:
    """The input, in which record 2 of the first file stands also at the end of the second one."""
    data = tmp_path / "twice/1.0.0"
    data.mkdir(parents=True)
    for source in (tiny_input / "1.0.0").iterdir():
        (data / source.name).write_bytes(source.read_bytes())
    write(data / SECOND, [*payloads(data / SECOND), payloads(data / FIRST)[2]])
    return data


def build_of(folder: Path, data: Path, model: Path, **changes: Any) -> Path:
    return build_here(write_config(folder, config_of(data, model, **changes)), folder / "out")


def test_refused_before_the_build_with_both_places(
    twice: Path, tiny_input: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as refusal:
        build_of(tmp_path, twice, tiny_input / "text.model")
    for words in (
        "1 id stands more than once, such as 'episode-002'",
        f"in {FIRST} record 2 and {SECOND} record 6",
        "Set `duplicates: keep_first`",
    ):
        assert words in str(refusal.value)
    assert not (tmp_path / "out/_units").exists()


@pytest.mark.parametrize("is_behind", [True, False])
def test_the_first_is_kept(is_behind: bool, twice: Path, tiny_input: Path, tmp_path: Path) -> None:
    """The sequences are those of the data set without the copy, wherever that lies."""
    if not is_behind:
        # The copy comes first, and the original is the one to be dropped.
        write(twice / SECOND, payloads(tiny_input / "1.0.0" / SECOND))
        originals = payloads(tiny_input / "1.0.0" / FIRST)
        write(twice / FIRST, [originals[2], *originals])
    output = build_of(tmp_path, twice, tiny_input / "text.model", duplicates="keep_first")
    plain = build_of(tmp_path / "plain", tiny_input / "1.0.0", tiny_input / "text.model")
    manifests = [json.loads((out / "manifest.json").read_text()) for out in (output, plain)]
    assert manifests[0]["content"] == manifests[1]["content"]
    table = pq.read_table(output / "plan/episodes.parquet").to_pylist()
    assert [row["episode_id"] for row in table if row["decision"] == "duplicate"] == ["episode-002"]
    assert sum(row["decision"] == "kept" for row in table) == 12
    places = (f"{SECOND} record 6", f"{FIRST} record 2")
    if not is_behind:
        places = (f"{FIRST} record 3", f"{FIRST} record 0")
    assert manifests[0]["warnings"][0] == (
        "data set 'toy': 1 record with the id of an earlier one is dropped, as `duplicates: "
        f"keep_first` says, such as 'episode-002' in {places[0]}, which stands in {places[1]} "
        "already."
    )
    assert manifests[0]["datasets"]["toy"]["quarantined"] == 0


def test_a_first_one_that_cannot_be_used_gives_way(
    twice: Path, tiny_input: Path, tmp_path: Path
) -> None:
    records = payloads(twice / FIRST)
    data = bytearray((twice / FIRST).read_bytes())
    data[sum(len(record) + framing.OVERHEAD for record in records[:2]) + 50] ^= 1
    (twice / FIRST).write_bytes(data)
    config = config_of(twice, tiny_input / "text.model", duplicates="keep_first")
    config["limits"] = {"quarantine_share": 0.2}
    output = build_here(write_config(tmp_path, config), tmp_path / "out")
    manifest = json.loads((output / "manifest.json").read_text())
    plain = build_of(tmp_path / "plain", tiny_input / "1.0.0", tiny_input / "text.model")
    assert manifest["content"] == json.loads((plain / "manifest.json").read_text())["content"]
    assert manifest["datasets"]["toy"]["quarantined"] == 1
    decisions = pq.read_table(output / "plan/episodes.parquet")["decision"].to_pylist()
    assert "duplicate" not in decisions


def test_records_of_a_corpus(tiny_input: Path, tmp_path: Path) -> None:
    lines = [{"id": f"d{n}", "text": f"the red ball {n} " * 9} for n in range(6)]
    found = {}
    for name, content in {"plain": lines, "twice": [*lines, lines[4], lines[1]]}.items():
        path = tmp_path / name / "a.jsonl"
        path.parent.mkdir()
        path.write_text("".join(json.dumps(line) + "\n" for line in content))
        config = {
            "vocabulary": {"text_model": str(tiny_input / "text.model")},
            "sequence": {"length": 32},
            "datasets": [
                {
                    "name": "corpus",
                    "kind": "text",
                    "path": str(path),
                    "fields": {"id": "id"},
                    "duplicates": "keep_first",
                }
            ],
        }
        output = build_here(write_config(tmp_path / name, config), tmp_path / name / "out")
        found[name] = json.loads((output / "manifest.json").read_text())
    assert found["twice"]["content"] == found["plain"]["content"]
    assert found["plain"]["warnings"] == []
    assert "2 records with the id of an earlier one are dropped" in found["twice"]["warnings"][0]
    assert (
        "'d4' in a.jsonl record 6, which stands in a.jsonl record 4"
        in found["twice"]["warnings"][0]
    )
