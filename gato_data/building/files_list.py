"""The list of files of a finished build: size and SHA-256 of each, in `files.parquet`.

With the checksums of shards in `shards.parquet`, and those that the manifest and `run.json` hold of
themselves, no byte of the output is without a witness. The manifest holds the SHA-256 of the list.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.building.index import index_path
from gato_data.building.plan import PLAN_FILE, PLAN_TABLES, Plan
from gato_data.building.publish import Sidecar, sidecar_path
from gato_data.building.unit import dataset_folder
from gato_data.building.units import UNITS_PER_FILE, plan_file
from gato_data.records import shards, tfds_info
from gato_data.records.manifest import FILES_FILE, SHARDS_FILE
from gato_data.storage import checksums, files
from gato_data.storage.at_once import at_once

FILES_SCHEMA = pa.schema([("file", pa.string()), ("size", pa.int64()), ("sha256", pa.string())])


class FilesListError(Exception):
    """The list is missing, or not the one of which the manifest holds the digest."""


@dataclass(frozen=True)
class ListedFile:
    """A file as it was when the build was completed.

    Attributes:
      file: its path in the output directory.
      size: in bytes.
      sha256: 64 hexadecimal digits.
    """

    file: str
    size: int
    sha256: str

    def fault(self, output: str) -> str | None:
        """What is wrong with it now; None if it is what it was.

        Raises:
          OSError: of the file system, but for a file that is not there.
        """
        path = files.join(output, self.file)
        try:
            size = files.size_of(path)
            if size != self.size:
                return f"its size is {size}, {FILES_FILE} says {self.size}"
            found = checksums.sha256_of(path)[1]
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return "missing"
        if found != self.sha256:
            return f"sha256 is {found}, {FILES_FILE} says {self.sha256}"
        return None


def names_of_build(
    plan: Plan, sidecars: Sequence[Sidecar], more: Iterable[str] = ()
) -> Iterator[str]:
    """Every file that a build leaves, but for its shards, the manifest, the list and `run.json`.

    Args:
      plan: of the build.
      sidecars: of all units, in their order.
      more: files that only some builds have, such as the text model.
    """
    yield SHARDS_FILE
    yield from more
    yield PLAN_FILE
    yield from PLAN_TABLES.values()
    yield from (plan_file("", first)[0] for first in range(0, plan.units, UNITS_PER_FILE))
    for dataset, inputs in plan.inputs.items():
        yield f"quarantine/{dataset}.jsonl"
        yield from (index_path("", dataset, str(found["file"])) for found in inputs)
    for sidecar in sidecars:
        yield sidecar_path("", sidecar.unit)
        if not sidecar.file.endswith(".arrow"):
            yield shards.offsets_path(sidecar.file)


def tfds_names(datasets: Iterable[str]) -> list[str]:
    """The files by which TensorFlow Datasets opens the shards of some data sets."""
    return [f"{dataset_folder(dataset)}/{name}" for dataset in datasets for name in tfds_info.FILES]


def publish_list(output: str, names: Iterable[str]) -> dict[str, Any]:
    """Reads the files and writes the list; returns what the manifest says of it.

    Raises:
      OSError: of the file system, also where one of the files is missing.
    """

    def measured(name: str) -> ListedFile:
        return ListedFile(name, *checksums.sha256_of(files.join(output, name)))

    rows = [vars(found) for found in at_once(measured, sorted(names), output)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=FILES_SCHEMA), sink)
    files.publish_bytes(files.join(output, FILES_FILE), sink.getvalue())
    return {"file": FILES_FILE, "sha256": hashlib.sha256(sink.getvalue()).hexdigest()}


def read_list(output: str, manifest: Mapping[str, Any]) -> list[ListedFile] | None:
    """The list of a finished build; None where its manifest, an older one, knows of none.

    Raises:
      FilesListError: the list is missing, or not what the manifest says.
      OSError: of the file system.
    """
    if "files" not in manifest:
        return None
    path = files.join(output, FILES_FILE)
    try:
        found = checksums.sha256_of(path)[1]
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise FilesListError("missing") from None
    stated = manifest["files"]["sha256"]
    if found != stated:
        raise FilesListError(f"sha256 is {found}, manifest.json says {stated}")
    try:
        table = pq.ParquetFile(io.BytesIO(files.read_bytes(path))).read()
        rows = table.cast(FILES_SCHEMA).drop_null().to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FilesListError(f"no list of files: {str(error).strip():.200}") from None
    listed = [ListedFile(**row) for row in rows]
    for one in listed:
        if not _is_inside(one.file):
            raise FilesListError(f"it names a file outside the build: {one.file!r:.200}")
    return listed


def _is_inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and "://" not in name and ".." not in parts


def faults(output: str, listed: Sequence[ListedFile]) -> Iterator[tuple[str, str]]:
    """The listed files that are not what they were, with what is wrong with each.

    Raises:
      OSError: of the file system.
    """
    found = at_once(lambda one: one.fault(output), listed, output)
    for one, fault in zip(listed, found, strict=True):
        if fault is not None:
            yield one.file, fault
