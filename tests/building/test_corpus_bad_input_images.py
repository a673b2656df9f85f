"""Images of corpora that cannot be used: bombs, damage that only decoding finds, and sizes."""

import resource
import struct
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.building.builds import records, shard_paths
from tests.building.corpus_bad_input_runs import (
    Runner,
    captions,
    jsonl,
    names,
    picture_files,
)
from tests.oracle.corpora_records import picture

WHOLE = picture("jpeg", 64, 64, 3)
# Its header is whole, so that only decoding finds what is missing.
CUT = WHOLE[: len(WHOLE) * 2 // 3]
BROKEN = {"image": "cut.png", "text": "half of a square"}
REASON = "its image cannot be read: Premature end of JPEG file"


@pytest.fixture
def run(tmp_path: Path, text_model: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(tmp_path, text_model, capsys)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _bomb(side: int) -> bytes:
    """A PNG with a right header that declares a square, of which the pixels unpack to zeros."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(64 << 20), 9)
    chunks = [_chunk(b"IHDR", header), _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _mapped() -> int:
    """Bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def test_a_bomb_is_refused_before_it_takes_memory(run: Runner, tmp_path: Path) -> None:
    """60,000 x 60,000 pixels are 10.8 GB; a file of 65 KB declares them."""
    folder = picture_files(tmp_path / "input", bomb=_bomb(60_000))
    bomb = {"image": "bomb.png", "text": "a large square"}
    jsonl(folder, [*captions(2), bomb, *captions(1)])
    # What is imported on the way takes more than the images do.
    assert run("image_text", folder, format="jsonl", output="first").status == 0
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_mapped() + (1 << 30), before[1]))
    try:
        outcome = run("image_text", folder, format="jsonl", image_size=None)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert (outcome.status, outcome.used) == (0, names("a.jsonl", [0, 1, 3]))
    assert outcome.refused == {
        "a.jsonl#2": "its image cannot be read: it declares 60000 x 60000 (height x width), more "
        "than the 67108864 pixels, or 65535 a side, that are decoded"
    }


def test_an_image_that_proves_broken_leaves_its_group_to_others(
    run: Runner, tmp_path: Path
) -> None:
    folder = picture_files(tmp_path / "input", cut=CUT)
    jsonl(folder, [*captions(9), BROKEN, *captions(10)])

    planned = run("image_text", folder, "plan", format="jsonl", share=0.05)
    assert (planned.status, planned.refused) == (0, {})
    assert "10 sequences" in planned.shown
    outcome = run("image_text", folder, format="jsonl", share=0.05)

    assert outcome.status == 0
    assert outcome.refused == {"a.jsonl#9": REASON}
    assert outcome.offsets == {"a.jsonl#9": sum(len(str(x)) + 1 for x in captions(9))}
    # Nineteen pairs in twos: one stands twice, to fill the last group.
    assert [len(group) for group in outcome.groups] == [2] * 10
    counts = Counter(name for group in outcome.groups for name in group)
    assert counts.keys() == names("a.jsonl", set(range(20)) - {9})
    assert sorted(counts.values()) == [1] * 18 + [2]


def test_too_many_images_that_prove_broken(run: Runner, tmp_path: Path) -> None:
    folder = picture_files(tmp_path / "input", cut=CUT)
    jsonl(folder, [*captions(9), BROKEN, *captions(10)])
    outcome = run("image_text", folder, format="jsonl", share=0.01)
    assert outcome.status == 1
    for words in ("1 of 20 records cannot be used", f"a.jsonl record 9: {REASON}", "quarantine/"):
        assert words in outcome.shown
    assert outcome.refused == {"a.jsonl#9": REASON}
    assert not (outcome.output / "manifest.json").exists()
    # Once the limit is raised, the same units do.
    assert run("image_text", folder, format="jsonl", share=0.05).status == 0


def test_a_corpus_of_which_nothing_is_left(run: Runner, tmp_path: Path) -> None:
    folder = jsonl(picture_files(tmp_path / "input", cut=CUT), [BROKEN] * 4)
    outcome = run("image_text", folder, format="jsonl", share=1.0)
    assert outcome.status == 1
    assert "data set 'corpus': none of its records could be used when it was built" in outcome.shown
    assert f"a.jsonl record 0: {REASON}" in outcome.shown
    assert outcome.refused == dict.fromkeys(names("a.jsonl", range(4)), REASON)
    assert not (outcome.output / "manifest.json").exists()


def test_a_shard_of_which_nothing_is_left(run: Runner, tmp_path: Path) -> None:
    """Its file is there, and the build as good as any."""
    folder = picture_files(tmp_path / "input", cut=CUT)
    jsonl(folder, [BROKEN] * 5, "a.jsonl")
    jsonl(folder, captions(5), "b.jsonl")
    small = {"output": {"shard_size": "1kB"}}
    outcome = run("image_text", folder, format="jsonl", config=small)
    assert (outcome.status, outcome.used) == (0, names("b.jsonl", range(5)))
    assert outcome.refused == dict.fromkeys(names("a.jsonl", range(5)), REASON)
    assert len(shard_paths(outcome.output)) == 2
    verified = run.run("verify", str(outcome.output), output=outcome.output)
    assert (verified.status, "2 shards, 3 sequences" in verified.shown) == (0, True)
    shown = run.run("inspect", str(outcome.output), "--count", "5", output=outcome.output)
    assert (shown.status, shown.shown.count("a red square")) == (0, 6)


def test_an_image_of_more_tokens_than_a_sequence(run: Runner, tmp_path: Path) -> None:
    """As stored, one of 144 x 112 has 63 patches, and its text goes beyond the sequence."""
    files = {"fits": picture("png", 144, 112), "large": picture("png", 144, 128)}
    folder = picture_files(tmp_path / "input", **files)
    jsonl(folder, [*captions(2), *({"image": f"{x}.png", "text": x} for x in files)])
    settings: dict[str, Any] = {"format": "jsonl", "image_size": None, "sequence": {"length": 63}}
    outcome = run("image_text", folder, **settings)
    assert (outcome.status, outcome.used) == (0, names("a.jsonl", range(3)))
    assert outcome.refused == {
        "a.jsonl#3": "an image of 144 x 128 (height x width) has 9 x 8 patches, more than the 63 "
        "tokens of a sequence: set image_size"
    }
    largest = max(records(outcome.output), key=lambda record: record["length"])
    assert largest["length"] == 63


def test_an_image_that_changes_between_plan_and_build(run: Runner, tmp_path: Path) -> None:
    """Only the index holds the checksum of an image in a folder."""
    folder = jsonl(picture_files(tmp_path / "input"), captions(6))
    for number, change in enumerate((picture("png", 16, 16, 9), None)):
        output = f"{number}"
        picture_files(folder)
        assert run("image_text", folder, "plan", format="jsonl", output=output).status == 0
        if change is None:
            (folder / "red.png").unlink()
        else:
            (folder / "red.png").write_bytes(change)
        outcome = run("image_text", folder, format="jsonl", output=output)
        assert outcome.status == 1
        assert "a.jsonl: record 0 is no longer what was indexed" in outcome.shown
        assert "or an image that it names, changed" in outcome.shown
        assert not (outcome.output / "manifest.json").exists()
