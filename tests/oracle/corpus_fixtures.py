"""Small corpora in every format, each written by the format's own library from plain records.

    written = webdataset(tmp_path, caption_records(seed=1, count=20), shards=2)
    config = {"name": "toy", "kind": "image_text", **written.settings}
    corpus = Corpus(config, written.files, text_model)

The oracle takes the records as they were given here; the library reads the files.
"""

import gzip
import io
import itertools
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.oracle.corpora import InputFile
from tests.oracle.corpora_records import Records
from tests.oracle.rlds_fixtures import write_tfds


@dataclass(frozen=True)
class Written:
    """A corpus on disk.

    Attributes:
      settings: what its entry of the config says of where and how it lies.
      files: what the oracle takes.
    """

    settings: dict[str, Any]
    files: tuple[InputFile, ...]


def cut(records: Records, shards: int) -> list[Records]:
    """Records in runs of about the same length, one for each file."""
    ends = [len(records) * number // shards for number in range(shards + 1)]
    return [records[first:last] for first, last in itertools.pairwise(ends)]


def jsonl(
    folder: Path,
    records: Records,
    shards: int = 2,
    packed: str = "",
    images: Path | None = None,
    names: dict[str, str] | None = None,
) -> Written:
    """JSON lines; images beside them in a folder, which the config names if it is another one.

    Args:
      folder: made if needed.
      packed: "", "gz" or "zst".
      images: the folder of images; default: one inside the folder of the lines.
      names: of the fields, by role.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = names or {}
    home, prefix = (images, "") if images else (folder, "pictures/")
    (home / prefix).mkdir(parents=True, exist_ok=True)

    def written(record: dict[str, Any]) -> dict[str, Any]:
        plain = {names.get(role, role): value for role, value in record.items()}
        if "image" in record:
            name = prefix + record["id"].replace("/", "-")
            plain[names.get("image", "image")] = _in_files(record["image"], home, name)
        return plain

    files = []
    for number, part in enumerate(cut(records, shards)):
        lines = [json.dumps(written(one), ensure_ascii=number % 2 == 0) + "\n" for one in part]
        data = "".join(lines).encode()
        name = f"part-{number}.jsonl" + (f".{packed}" if packed else "")
        (folder / name).write_bytes(_packed(data, packed))
        files.append(InputFile(name, tuple(part), whole=bool(packed)))
    roles = sorted({role for record in records for role in record})
    fields = {role: names.get(role, role) for role in roles}
    settings: dict[str, Any] = {"path": str(folder), "format": "jsonl", "fields": fields}
    return Written(settings | ({"images": str(images)} if images else {}), tuple(files))


def _in_files(value: Any, folder: Path, name: str) -> Any:
    """Names of the files in which images were written."""
    if isinstance(value, list):
        return [_in_files(one, folder, f"{name}-{place}") for place, one in enumerate(value)]
    if value is None:
        return None
    (folder / f"{name}.{ending(value)}").write_bytes(value)
    return f"{name}.{ending(value)}"


def ending(image: bytes) -> str:
    """Of a file with such an image."""
    known = {b"\x89PNG": "png", b"RIFF": "webp"}
    return known.get(image[:4], "jpg")


def _packed(data: bytes, packed: str) -> bytes:
    import zstandard

    ways: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        "gz": lambda plain: gzip.compress(plain, mtime=0),
        "zst": zstandard.ZstdCompressor().compress,
    }
    return ways[packed](data)


def text_files(folder: Path, records: Records) -> Written:
    """A file for each text, which is called by its file."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, record in enumerate(records):
        name = f"book-{number:03d}.txt"
        (folder / name).write_bytes(record["text"].encode())
        files.append(InputFile(name, ({"text": record["text"]},)))
    return Written({"path": str(folder)}, tuple(files))


def text_lines(folder: Path, records: Records, shards: int = 2, packed: str = "") -> Written:
    """A line for each text."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, part in enumerate(cut(records, shards)):
        name = f"lines-{number}.txt" + (f".{packed}" if packed else "")
        data = "".join(record["text"] + "\n" for record in part).encode()
        (folder / name).write_bytes(_packed(data, packed))
        texts = tuple({"text": record["text"]} for record in part)
        files.append(InputFile(name, texts, whole=bool(packed)))
    return Written({"path": str(folder), "documents": "line"}, tuple(files))


def _dataset(records: Records) -> Any:
    """The records as 🤗 Datasets holds them: images as its `Image` feature."""
    import datasets

    rows = []
    for record in records:
        rows.append({role: _in_structs(value) for role, value in record.items()})
    kinds = {role: _feature(role, value, datasets) for role, value in records[0].items()}
    return datasets.Dataset.from_list(rows, features=datasets.Features(kinds))


def _in_structs(value: Any) -> Any:
    if isinstance(value, list):
        return [_in_structs(one) for one in value]
    return {"bytes": value, "path": None} if isinstance(value, bytes) else value


def _feature(role: str, value: Any, datasets: Any) -> Any:
    one = datasets.Image() if role == "image" else datasets.Value("string")
    return datasets.List(one) if isinstance(value, list) else one


def parquet(folder: Path, records: Records, shards: int = 2, rows_in_group: int = 5) -> Written:
    """Parquet as 🤗 Datasets writes it, in small row groups."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, part in enumerate(cut(records, shards)):
        name = f"train-{number:05d}-of-{shards:05d}.parquet"
        _dataset(part).to_parquet(str(folder / name), batch_size=rows_in_group)
        files.append(InputFile(name, tuple(part)))
    return Written({"path": str(folder), "fields": {"id": "id"}}, tuple(files))


def arrow(folder: Path, records: Records, shards: int = 2) -> Written:
    """The Arrow files of `save_to_disk`."""
    _dataset(records).save_to_disk(str(folder), num_shards=shards)
    files = []
    # 🤗 Datasets gives the first files one record more where they are not equal.
    lengths = [len(records) // shards + (n < len(records) % shards) for n in range(shards)]
    for number, length in enumerate(lengths):
        first = sum(lengths[:number])
        name = f"data-{number:05d}-of-{shards:05d}.arrow"
        files.append(InputFile(name, tuple(records[first : first + length])))
    return Written({"path": str(folder), "fields": {"id": "id"}}, tuple(files))


def webdataset(folder: Path, records: Records, shards: int = 2, as_json: bool = False) -> Written:
    """Tar files: for each record an image, and a text or JSON with everything else."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, part in enumerate(cut(records, shards)):
        name = f"shard-{number:06d}.tar"
        kept = []
        with tarfile.open(folder / name, "w") as tar:
            for place, record in enumerate(part):
                # A folder belongs to the key.
                key = f"sub.folder/{record['id']}" if place % 3 == 0 else record["id"]
                texts = {role: record[role] for role in record if role not in ("id", "image")}
                _member(tar, f"{key}.{ending(record['image'])}", record["image"])
                if as_json:
                    _member(tar, f"{key}.json", json.dumps(texts).encode())
                else:
                    _member(tar, f"{key}.txt", record["text"].encode())
                kept.append(record | {"id": key})
        files.append(InputFile(name, tuple(kept)))
    fields = {"image": "jpg;png;webp", "id": "__key__"}
    return Written({"path": str(folder), "fields": fields}, tuple(files))


def _member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def coco(folder: Path, records: Records, shards: int = 2) -> Written:
    """A TFDS directory with the features of `coco_captions`."""
    import tensorflow_datasets as tfds

    text = tfds.features.Text()
    captions = tfds.features.Sequence({"id": tfds.features.Scalar(np.int64), "text": text})
    image = tfds.features.Image(shape=(None, None, None))
    features = {"image": image, "image/filename": text, "captions": captions}
    examples = [
        {
            "image": record["image"],
            "image/filename": record["id"],
            "captions": [{"id": n, "text": one} for n, one in enumerate(record["text"])],
        }
        for record in records
    ]
    return _tfds(folder, features, examples, records, shards, {"id": "image/filename"})


def vqa(folder: Path, records: Records, shards: int = 2) -> Written:
    """A TFDS directory of questions with several answers."""
    import tensorflow_datasets as tfds

    text = tfds.features.Text()
    image = tfds.features.Image(shape=(None, None, None))
    answers = tfds.features.Sequence({"answer": text})
    features = {"image": image, "question": text, "question_id": text, "answers": answers}
    examples = [
        {
            "image": record["image"],
            "question": record["question"],
            "question_id": record["id"],
            "answers": [{"answer": one} for one in record["answer"]],
        }
        for record in records
    ]
    return _tfds(folder, features, examples, records, shards, {"id": "question_id"})


def c4(folder: Path, records: Records, shards: int = 2) -> Written:
    """A TFDS directory with the features of `c4`."""
    import tensorflow_datasets as tfds

    names = ("text", "url", "timestamp", "content-length")
    features = {name: tfds.features.Text() for name in names}
    examples = [dict.fromkeys(names, "-") | {"text": record["text"]} for record in records]
    nameless = [{"text": record["text"]} for record in records]
    return _tfds(folder, features, examples, nameless, shards, {})


def _tfds(
    folder: Path,
    features: dict[str, Any],
    examples: list[dict[str, Any]],
    records: Records,
    shards: int,
    fields: dict[str, str],
) -> Written:
    write_tfds(folder, features, examples, shards)
    files = [
        InputFile(f"toy-train.tfrecord-{number:05d}-of-{shards:05d}", tuple(part))
        for number, part in enumerate(cut(records, shards))
    ]
    return Written({"path": str(folder), "fields": fields}, tuple(files))
