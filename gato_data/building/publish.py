"""Publishing a unit: first its shard, then the sidecar that says it is done.

A unit is done when its sidecar matches. A worker killed between the two leaves a shard that the
next run replaces with the same bytes; a unit that runs twice writes the same bytes twice.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gato_data.storage import files

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
        sidecar = Sidecar(**stored)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return sidecar if (sidecar.unit, sidecar.fingerprint) == (unit, fingerprint) else None


def finished_units(output: str, fingerprint: str) -> dict[int, Sidecar]:
    """All units that are done: their sidecar matches and their shard has the size it states."""
    done = {}
    for name in files.list_names(files.join(output, "_units"), "*.json"):
        match = _NAME.fullmatch(name)
        sidecar = read_sidecar(output, int(match[1]), fingerprint) if match else None
        if sidecar and _has_shard(output, sidecar):
            done[sidecar.unit] = sidecar
    return done


def _has_shard(output: str, sidecar: Sidecar) -> bool:
    try:
        return files.size_of(files.join(output, sidecar.file)) == sidecar.size
    except FileNotFoundError:
        return False


def remove_temporary_files(output: str) -> int:
    """Removes what killed workers left behind; returns how many files that were."""
    stray = list(files.temporary_files(output))
    for path in stray:
        files.remove(path)
    return len(stray)
