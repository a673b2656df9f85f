"""Corpora: text, JSON, tars, tables and TFDS records, packed or not."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from gato_data.storage import example, framing
from tests.fuzzing.target import Target
from tests.fuzzing.targets.data_sets import reader
from tests.fuzzing.targets.values import EXAMPLE_WORDS, framed

_TEXT = {"kind": "text"}
_PAIRS = {"kind": "image_text", "image_size": [16, 16], "image_fit": "resize_up"}
_QUESTIONS = _PAIRS | {"kind": "question_answer"}
_JSON_WORDS = (
    *(b"[" * 200, b'{"a":' * 120, b"\\ud800", b"\\udc00", b"1e400", b"NaN", b"-Infinity", b"\x00"),
    *(b'"text"', b'"image"', b'"../../etc/passwd"', b'"/etc/passwd"', b"9" * 5000),
)
_TABLE_WORDS = (
    b"PAR1",
    b"ARROW1",
    b"\xff\xff\xff\xff",
    b"\x15\x02",
    b"\x19\x1c",
    b"text",
    b"image",
)


def _png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def _lines() -> bytes:
    found = [{"text": "go to the ball"}, {"text": "ünï", "other": [1, {"a": None}]}]
    return b"".join(json.dumps(one).encode() + b"\n" for one in found)


def _named_images() -> bytes:
    found = [{"text": "a ball", "image": "0.png"}, {"text": "a box", "image": "in/1.png"}]
    return b"".join(json.dumps(one).encode() + b"\n" for one in found)


def _image_files(place: Path) -> None:
    (place / "in").mkdir(parents=True, exist_ok=True)
    (place / "0.png").write_bytes(_png(0))
    (place / "in/1.png").write_bytes(_png(1))


def _zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def _tar(form: int) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form) as archive:
        for number in range(2):
            name = f"{'long/' * 30 * number}sample-{number}-ü"
            for ending, data in (("png", _png(number)), ("txt", b"a ball"), ("json", b"{}")):
                member = tarfile.TarInfo(f"{name}.{ending}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return sink.getvalue()


def _tars() -> list[bytes]:
    return [_tar(form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)]


def _mended_tar(data: bytes) -> bytes:
    """Right checksums in all blocks that look like headers."""
    found = bytearray(data)
    for place in range(0, len(found) - 511, 512):
        block = found[place : place + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            found[place + 148 : place + 156] = b"%06o\0 " % sum(block)
    return bytes(found)


def _table() -> pa.Table:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table(
        {
            "image": pa.array([{"bytes": _png(x), "path": None} for x in range(3)], image),
            "question": ["what is it?", "and this?", "ünï?"],
            "answers": pa.array([["a ball"], ["a box", "it"], ["no"]], pa.list_(pa.string())),
            "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
            "number": pa.array([1, None, 3], pa.int64()),
        }
    )


def _arrow(opened: Callable[..., Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    wanted = pa.ipc.IpcWriteOptions(**options)
    with opened(sink, _table().schema, options=wanted) as out:
        out.write_table(_table(), max_chunksize=2)
    return sink.getvalue()


def _arrows() -> list[bytes]:
    return [
        _arrow(pa.ipc.new_stream),
        _arrow(pa.ipc.new_file),
        _arrow(pa.ipc.new_stream, compression="lz4"),
        _arrow(pa.ipc.new_file, compression="zstd"),
    ]


def _parquet(**options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(_table(), sink, row_group_size=2, **options)
    return sink.getvalue()


def _parquets() -> list[bytes]:
    return [
        _parquet(),
        _parquet(use_dictionary=False, compression="zstd", write_page_checksum=True),
        _parquet(data_page_version="2.0", compression="gzip", data_page_size=64),
        _parquet(use_dictionary=False, column_encoding={"question": "DELTA_BYTE_ARRAY"}),
    ]


def _tfds_features(place: Path) -> None:
    text, image = {"text": {}}, {"image": {"shape": {"dimensions": ["-1", "-1", "3"]}}}
    inner = {"featuresDict": {"features": {"text": text}}}
    features = {"image": image, "captions": {"sequence": {"feature": inner}}}
    tree = {"featuresDict": {"features": features}}
    (place / "features.json").write_text(json.dumps(tree))


def _tfds_records() -> list[bytes]:
    records = [{"image": [_png(x)], "captions/text": [b"a ball", b"it"]} for x in range(2)]
    return [b"".join(framing.frame(example.serialise(x)) for x in records)]


TARGETS = (
    Target(
        "json-lines",
        lambda: [_lines()],
        reader(_TEXT, "a.jsonl"),
        _JSON_WORDS,
    ),
    Target(
        "json-images",
        lambda: [_named_images()],
        reader(_PAIRS, "a.jsonl", _image_files),
        _JSON_WORDS,
    ),
    Target("text-gzip", lambda: [_gzip(b"go to the ball\n" * 9)], reader(_TEXT, "a.txt.gz")),
    Target(
        "json-zstd", lambda: [_zstd(_lines()), _zstd(_lines() * 99)], reader(_TEXT, "a.jsonl.zst")
    ),
    Target(
        "tar",
        _tars,
        reader(_PAIRS, "a.tar"),
        (
            *(b"GNU.sparse.map=", b"GNU.sparse.major=1", b"GNU.sparse.realsize=", b"path=../../x"),
            *(
                b"ustar\0",
                b"ustar  \0",
                b"\x80\0\0\0",
                b"././@LongLink",
                b"size=99999999",
                b"x",
                b"g",
            ),
            *(b"L", b"K", b"S", b"1", b"2", b"5", b"/etc/passwd", b"../../x.png"),
        ),
        _mended_tar,
    ),
    Target("tar-gzip", lambda: [_gzip(one) for one in _tars()], reader(_PAIRS, "a.tar.gz")),
    Target("arrow", _arrows, reader(_QUESTIONS, "a.arrow"), _TABLE_WORDS),
    Target("parquet", _parquets, reader(_QUESTIONS, "a.parquet"), _TABLE_WORDS),
    Target(
        "tfds-records",
        _tfds_records,
        reader(_PAIRS, "toy-train.tfrecord-00000-of-00001", _tfds_features),
        EXAMPLE_WORDS,
        framed,
    ),
)
