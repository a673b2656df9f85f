"""Mutations are drawn by the seed alone; repaired inputs pass the checksums they failed."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pytest

from gato_data.readers.picture_headers import check_crc, read_header
from gato_data.records.manifest import encode_manifest
from gato_data.storage import framing
from tests.fuzzing.mutations import MOST_BYTES, mutate
from tests.fuzzing.targets import TARGETS, builds, corpora, training, values

DATA = bytes(range(256)) * 3 + b'{"size": 12, "name": "x"}'
WORDS = (b"<word>",)
OTHERS = (b"spliced " * 20,)


def mutants(seed: int, count: int = 4000) -> list[bytes]:
    random = np.random.default_rng(seed)
    return [mutate(DATA, random, WORDS, OTHERS) for _ in range(count)]


def test_the_seed_decides() -> None:
    assert mutants(1, 200) == mutants(1, 200)
    assert mutants(1, 200) != mutants(2, 200)


def test_all_kinds_occur() -> None:
    found = mutants(0)
    assert max(map(len, found)) <= MOST_BYTES
    assert sum(one == DATA for one in found) < len(found) / 10
    same_size = [one for one in found if len(one) == len(DATA)]
    changed = [sum(a != b for a, b in zip(one, DATA, strict=True)) for one in same_size]
    assert changed.count(1) > 100
    kinds = {
        "truncated": lambda one: len(one) < len(DATA) and DATA.startswith(one),
        "word": lambda one: b"<word>" in one,
        "spliced": lambda one: b"spliced spliced" in one or b"d splice" in one,
        "dropped": lambda one: len(one) < len(DATA) and one.endswith(DATA[-40:]),
        "grown": lambda one: len(one) > len(DATA) + 100,
        "number in text": lambda one: b'"name": "x"}' in one and b'"size": 12,' not in one,
        "largest number": lambda one: b"\xff" * 8 in one,
    }
    counts = {name: sum(map(test, found)) for name, test in kinds.items()}
    assert min(counts.values()) >= 5, counts


def test_of_nothing() -> None:
    random = np.random.default_rng(0)
    assert len({mutate(b"", random, (), (b"",)) for _ in range(500)}) > 20


@pytest.mark.parametrize("name", [name for name, one in TARGETS.items() if one.repair])
def test_what_is_sound_needs_no_repair(name: str) -> None:
    repair = TARGETS[name].repair
    assert repair is not None
    for seed in TARGETS[name].seeds():
        assert repair(seed) == seed
        assert repair(b"\0" * 40 + seed[:9]) is not None


def test_repaired_records() -> None:
    data = bytearray(values.records()[0])
    data[500] ^= 1
    [before] = framing.scan(io.BytesIO(data), 1 << 20)
    [after] = framing.scan(io.BytesIO(values.framed(bytes(data))), 1 << 20)
    assert (before.fault, after.fault) == ("checksum of the record is wrong", None)
    assert after.payload == bytes(data[12:-4])


def test_a_repaired_manifest() -> None:
    seed = TARGETS["manifest"].seeds()[0]
    changed = seed.replace(b'"seed": 3', b'"seed": 4')
    assert changed != seed
    assert builds._sealed(changed) not in (seed, changed)
    assert encode_manifest(json.loads(builds._sealed(changed))) == builds._sealed(changed)


def test_a_repaired_archive() -> None:
    data = bytearray(TARGETS["checkpoint"].seeds()[0])
    at = data.index(b"\x93NUMPY") + 140
    data[at] ^= 1
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is not None
    with zipfile.ZipFile(io.BytesIO(training._mended_zip(bytes(data)))) as archive:
        assert archive.testzip() is None


def test_a_repaired_tar() -> None:
    data = bytearray(TARGETS["tar"].seeds()[0])
    data[0:6] = b"SAMPLE"
    with pytest.raises(tarfile.ReadError), tarfile.open(fileobj=io.BytesIO(data)):
        pass
    with tarfile.open(fileobj=io.BytesIO(corpora._mended_tar(bytes(data)))) as archive:
        assert archive.getnames()[0].startswith("SAMPLE")


def test_a_repaired_picture() -> None:
    pngs = [one for one in TARGETS["pictures"].seeds() if one.startswith(b"\x89PNG")]
    data = bytearray(pngs[0])
    at = data.index(b"IDAT") + 10
    data[at] ^= 1
    mended = values._mended_png(bytes(data))
    _check_all(mended)
    with pytest.raises(ValueError, match="does not match its checksum"):
        _check_all(bytes(data))


def _check_all(png: bytes) -> None:
    for chunk in read_header(png).parts[1:]:
        check_crc(png, chunk)
