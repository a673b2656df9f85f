"""Publishing a unit: first its shard, then the sidecar that says it is done.

A unit is done when its sidecar matches. A worker killed between the two leaves a shard that the
next run replaces with the same bytes; a unit that runs twice writes the same bytes twice.
"""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gato_data.records import shards
from gato_data.storage import files
from gato_data.storage.at_once import at_once

# The folders that a build keeps in its output directory.
FOLDERS = ("_units", "data", "index", "plan", "quarantine")
_NAME = re.compile(r"(\d+)\.json")


@dataclass(frozen=True)
class Sidecar:
    """What one finished unit says of itself; `_units/N.json`.

    Attributes:
      unit: its number.
      fingerprint: of the plan that it belongs to.
      dataset, split, shard: which shard it made.
      file: path of the shard in the output directory.
      size, crc32c: of the shard file.
      digest: of the sequences in their order; content: of the set of them. Equal for both formats.
      sequences: number of records.
      pass_number, image_tokens, task_names, sequence_tasks: see `records.row_facts`.
      counts: tokens by kind and others, see `unit.count`.
      tasks: by task, sequences, tokens and padding.
      quarantined: records that could not be used after all.
    """

    unit: int
    fingerprint: str
    dataset: str
    split: str
    shard: int
    file: str
    size: int
    crc32c: str
    digest: str
    content: str
    sequences: int
    pass_number: int
    image_tokens: list[int] | None
    task_names: list[str]
    sequence_tasks: list[int] | None
    counts: Mapping[str, int]
    tasks: Mapping[str, Mapping[str, int]]
    quarantined: list[dict[str, Any]] = field(default_factory=list)


def sidecar_path(output: str, unit: int) -> str:
    return files.join(output, "_units", f"{unit}.json")


def publish_sidecar(output: str, sidecar: Sidecar) -> None:
    text = json.dumps(vars(sidecar), sort_keys=True, ensure_ascii=False, indent=1)
    files.publish_bytes(sidecar_path(output, sidecar.unit), text.encode())


def read_sidecar(output: str, unit: int, fingerprint: str) -> Sidecar | None:
    """The sidecar of a unit, if it is there, whole, and of this build."""
    try:
        stored = json.loads(files.read_bytes(sidecar_path(output, unit)))
        json.dumps(stored, ensure_ascii=False).encode()  # no half of a surrogate pair, as in a path
        sidecar = Sidecar(**stored)
    except (FileNotFoundError, ValueError, TypeError, RecursionError):
        return None
    return sidecar if (sidecar.unit, sidecar.fingerprint) == (unit, fingerprint) else None


def finished_unit(output: str, unit: int, fingerprint: str) -> Sidecar | None:
    """The sidecar of a unit that is done: it matches, and its shard has the size it states."""
    sidecar = read_sidecar(output, unit, fingerprint)
    return sidecar if sidecar and _has_shard(output, sidecar) else None


def finished_units(output: str, fingerprint: str) -> dict[int, Sidecar]:
    """All units that are done, by number."""
    return {sidecar.unit: sidecar for sidecar in _finished(output, fingerprint)}


def finished_numbers(output: str, fingerprint: str) -> set[int]:
    """The numbers of all units that are done, without what their sidecars say."""
    return {sidecar.unit for sidecar in _finished(output, fingerprint)}


def _finished(output: str, fingerprint: str) -> Iterator[Sidecar]:
    names = files.list_names(files.join(output, "_units"), "*.json")
    units = [int(match[1]) for match in map(_NAME.fullmatch, names) if match]
    found = at_once(lambda unit: finished_unit(output, unit, fingerprint), units, output)
    return (sidecar for sidecar in found if sidecar)


def _has_shard(output: str, sidecar: Sidecar) -> bool:
    path = files.join(output, sidecar.file)
    try:
        is_whole = files.size_of(path) == sidecar.size
    except FileNotFoundError:
        return False
    needs_offsets = not path.endswith(".arrow")
    return is_whole and (not needs_offsets or files.exists(shards.offsets_path(path)))


def remove_temporary_files(output: str) -> int:
    """Removes what killed writers left behind; returns how many files that were."""
    # Only where a build writes: the output directory may be somebody's home.
    folders = [files.join(output, name) for name in FOLDERS]
    stray = [path for folder in folders for path in files.temporary_files(folder)]
    stray += files.temporary_files(output, is_deep=False)
    for path in stray:
        # Another run may do the same.
        with contextlib.suppress(FileNotFoundError):
            files.remove(path)
    return len(stray)
