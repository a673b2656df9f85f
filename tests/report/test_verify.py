"""`verify` finds every kind of damage in small real builds, and says where it is."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gato_data.errors import UsageError
from gato_data.records import shards, tfrecord
from gato_data.report.record_rules import RecordRules
from gato_data.report.verify import verify
from pipelines import cli
from tests.report.damage import flip


@pytest.fixture(params=["arrow", "tfrecord"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a small build, to be damaged."""
    source = request.getfixturevalue(f"tiny_build_{request.param}")
    return Path(shutil.copytree(source, tmp_path / "build"))


@pytest.fixture
def arrow(tiny_build_arrow: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_build_arrow, tmp_path / "build"))


@pytest.fixture
def records(tiny_build_tfrecord: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_build_tfrecord, tmp_path / "build"))


def problems(build: Path) -> tuple[str, ...]:
    return verify(str(build)).problems


def edit(path: Path, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1))


def test_a_whole_build_has_no_problems(build: Path) -> None:
    seen: list[None] = []
    found = verify(str(build), on_shard=lambda: seen.append(None))
    manifest = json.loads((build / "manifest.json").read_text())
    assert found.problems == ()
    assert found.shards == len(seen) == len(list((build / "_units").iterdir())) > 4
    assert found.sequences == manifest["counts"]["sequences"] == 38


def test_a_damaged_tfrecord_is_named_by_record_and_offset(records: Path) -> None:
    path = next(p for p in sorted(records.rglob("*.tfrecord-*")) if "toy-train" in p.name)
    offsets = tfrecord.read_offsets(shards.offsets_path(str(path)))
    assert len(offsets) > 2
    flip(path, int(offsets[1]) + 200)
    name = path.relative_to(records)
    expected = f"{name}: record 1 at byte {offsets[1]}: checksum of the record is wrong."
    assert problems(records)[0] == expected
    assert any(text.startswith(f"{name}: crc32c is ") for text in problems(records))


def test_an_offset_that_is_not_the_record_s(records: Path) -> None:
    path = sorted(records.rglob("*.offsets"))[0]
    flip(path, 9)
    name = path.relative_to(records)
    (problem,) = problems(records)
    assert problem.startswith(f"{name}: byte 9, in the offset of record 1, is not where")


def test_a_truncated_shard(build: Path) -> None:
    path = shard_files(build)[0]
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    name = str(path.relative_to(build))
    found = [text for text in problems(build) if name in text]
    assert any(f"size is {len(data) - 100}, stated is {len(data)}" in text for text in found)
    assert any("cut off at byte" in text or "ends within the record" in text for text in found)


def shard_files(build: Path) -> list[Path]:
    return [p for p in sorted((build / "data").rglob("*-of-*")) if p.suffix != ".offsets"]


def test_a_missing_and_a_stray_shard(build: Path) -> None:
    missing, other = shard_files(build)[:2]
    missing.unlink()
    name = other.name.replace("0000", "0009", 1)
    shutil.copy(other, other.with_name(name))
    assert set(problems(build)) == {
        f"{missing.relative_to(build)}: missing.",
        f"{other.with_name(name).relative_to(build)}: not part of this build.",
    }


def test_swapped_shards(build: Path) -> None:
    one, other = [p for p in shard_files(build) if "toy-train" in p.name][:2]
    one.rename(one.with_name("aside"))
    other.rename(one)
    one.with_name("aside").rename(other)
    found = problems(build)
    for path in (one, other):
        name = path.relative_to(build)
        assert any(text.startswith(f"{name}: digest is ") for text in found)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m.update(content="0" * 32), 'manifest.json: content is "000'),
        (lambda m: m["counts"].update(tokens=1), "manifest.json: counts.tokens is 1; by plan"),
        (
            lambda m: m["datasets"]["toy"]["splits"]["train"].update(sequences=7),
            "manifest.json: datasets.toy.splits.train.sequences is 7;",
        ),
        (lambda m: m["config"].update(seed=4), "manifest.json: its checksum is wrong"),
        (lambda m: m.update(limit=4), "manifest.json: its checksum is wrong"),
        (lambda m: m["datasets"]["toy"].update(weight=2), "manifest.json: datasets.toy.weight is"),
        (lambda m: m["tasks"][0].update(expert=2), "manifest.json: tasks.0.expert is 2"),
        (
            lambda m: m["datasets"]["toy"]["statistics"]["prompts"].update(share=0.25),
            "manifest.json: datasets.toy.statistics.prompts.share is 0.25; by plan",
        ),
        (
            lambda m: m["statistics"]["token_share"].update(image=0.5),
            "manifest.json: statistics.token_share.image is 0.5; by plan",
        ),
        (
            lambda m: m["statistics"]["window_starts"].update(bins=[1] * 17),
            "manifest.json: statistics.window_starts.bins.3 is 1; by plan and units it is 0.",
        ),
        (lambda m: m["warnings"].append("x"), 'manifest.json: warnings is ["'),
        (lambda m: m.update(extra=1), "manifest.json: extra does not belong there."),
        (lambda m: m.pop("versions"), "manifest.json: the document is not as"),
        (lambda m: m.update(sequence_length="96"), "manifest.json: sequence_length is not as"),
        (lambda m: m["vocabulary"].update(separator=33023), "record 0"),
        (
            lambda m: m["datasets"]["toy"]["splits"]["train"].update(shards=10**12),
            "shards.parquet: 12 shards, manifest.json says 1000000000005.",
        ),
    ],
)
def test_an_edited_manifest(arrow: Path, change: Callable[[dict], object], expected: str) -> None:  # type: ignore[type-arg]
    edit(arrow / "manifest.json", change)
    assert any(expected in text for text in problems(arrow)), problems(arrow)


def test_a_sidecar_that_disagrees(arrow: Path) -> None:
    edit(arrow / "_units/2.json", lambda sidecar: sidecar["counts"].update(tokens=1))
    found = problems(arrow)
    assert any("counts.tokens is " in text and "_units/2.json" in text for text in found)
    edit(arrow / "_units/2.json", lambda sidecar: sidecar["counts"].update(prompts_uniform=99))
    assert any(
        "from the end and 99 from a uniform start in _units/2.json" in text
        for text in problems(arrow)
    )
    edit(arrow / "_units/2.json", lambda sidecar: sidecar["counts"].update(prompts_uniform="x"))
    assert any("from the end and x from" in text for text in problems(arrow))
    (arrow / "_units/2.json").unlink()
    assert "_units/2.json: missing." in problems(arrow)


def test_damaged_lists_of_shards_do_not_hide_the_rest(arrow: Path) -> None:
    (arrow / "shards.parquet").write_bytes(b"PAR1 no table PAR1")
    shard = shard_files(arrow)[0]
    flip(shard, shard.stat().st_size // 2)
    found = problems(arrow)
    assert found[0].startswith("shards.parquet: damaged: ")
    assert any(text.startswith(f"{shard.relative_to(arrow)}: crc32c is ") for text in found)


def test_a_vocabulary_that_was_replaced(arrow: Path) -> None:
    flip(arrow / "vocabulary.model", 100)
    (problem,) = problems(arrow)
    assert problem.startswith("vocabulary.model: sha256 is ")


def test_files_of_tensorflow_datasets(records: Path) -> None:
    folder = records / "data/toy/1.0.0"
    edit(folder / "dataset_info.json", lambda info: info.update(name="boy"))
    (folder / "features.json").unlink()
    assert set(problems(records)) == {
        "data/toy/1.0.0/dataset_info.json: not what the build writes for these shards.",
        "data/toy/1.0.0/features.json: missing.",
    }


def test_no_build(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no manifest\.json"):
        verify(str(tmp_path))


def test_the_command(arrow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(arrow)]) == 0
    assert "12 shards, 38 sequences, all as the manifest says" in capsys.readouterr().out
    lost = shard_files(arrow)[0]
    lost.unlink()
    assert cli.main(["verify", str(arrow)]) == 1
    shown = capsys.readouterr().out
    name = lost.relative_to(arrow)
    assert f"{name}: missing.\n" in shown
    assert f"affected: {name}: records 0 to 8 of 9\n" in shown
    assert "1 problem, 11 shards read. The same `gato-data build` again" in shown


def rules_and_batch(build: Path):  # type: ignore[no-untyped-def]
    manifest = json.loads((build / "manifest.json").read_text())
    path = next(p for p in shard_files(build) if "toy-train" in p.name)
    batch = next(shards.read_shard(str(path)))
    copied = {name: values.copy() for name, values in batch.fields.items()}
    scalars = {name: values.copy() for name, values in batch.scalars.items()}
    patches = {name: values.copy() for name, values in batch.patch_fields.items()}
    batch = replace(batch, fields=copied, scalars=scalars, patch_fields=patches)
    return RecordRules.of(manifest, "toy"), batch


@pytest.mark.parametrize(
    ("field", "value", "kind", "expected"),
    [
        (
            "tokens",
            33_024,
            "continuous",
            "id 33024 is none of modality continuous, which has 32000",
        ),
        ("tokens", 31_999, "continuous", "id 31999 is none of modality continuous"),
        ("tokens", 1_024, "discrete", "id 1024 is none of modality discrete, which has 0 to 1023"),
        ("tokens", 32_000, "text", "id 32000 is none of modality text, which has 0 to 31999"),
        ("loss_mask", 1, "separator", "loss_mask 1 on a token of modality separator"),
        ("loss_mask", 1, "image", "loss_mask 1 on a token of modality image"),
        ("loss_mask", 2, "text", "loss_mask 2 on a token of modality text"),
        ("local_position", 513, "text", "local_position 513 of modality text"),
        ("local_position", 3, "separator", "local_position 3 of modality separator"),
        ("timestep", -2, "text", "timestep -2"),
        ("segment", -1, "text", "segment -1"),
        ("modality", 0, "text", "is none of modality padding, which has 33025 to 33025"),
        ("modality", 6, "text", "there is no modality 6"),
    ],
)
def test_rules_of_tokens(
    tiny_build_arrow: Path, field: str, value: int, kind: str, expected: str
) -> None:
    rules, batch = rules_and_batch(tiny_build_arrow)
    assert list(rules.faults(batch)) == []
    kinds = ("padding", "text", "image", "discrete", "continuous", "separator")
    wanted = (batch.fields["modality"] == kinds.index(kind)) & (batch.fields["loss_mask"] == 0)
    if kind == "text":
        wanted = batch.fields["modality"] == 1
    row, position = np.argwhere(wanted)[-1].tolist()
    batch.fields[field][row, position] = value
    found = dict(rules.faults(batch))
    assert found[row].startswith(f"token {position}: ")
    texts = [text for _, text in rules.faults(batch)]
    assert any(expected in text for text in texts), texts


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("length", 0),
        ("length", 97),
        ("prompt_length", 96),
        ("prompt_length", -1),
        ("window_start", -2),
        ("pass", -1),
        ("prompt_start", -2),
    ],
)
def test_rules_of_scalars(tiny_build_arrow: Path, field: str, value: int) -> None:
    rules, batch = rules_and_batch(tiny_build_arrow)
    batch.scalars[field][-1] = value
    expected = (len(batch) - 1, f"{field} is {value} with a length of")
    assert any(
        text.startswith(expected[1]) and row == expected[0] for row, text in rules.faults(batch)
    )


def test_rules_of_patches(tiny_build_arrow: Path) -> None:
    rules, batch = rules_and_batch(tiny_build_arrow)
    batch.patch_fields["patch_rows"][-1] = (128, 0)
    batch.patch_fields["patch_columns"][0] = (0, 129)
    assert list(rules.faults(batch)) == [
        (len(batch) - 1, "patch_rows has the interval [128, 0]"),
        (0, "patch_columns has the interval [0, 129]"),
    ]
