"""`gato-data verify`: re-reads a build and says where it is not what its manifest says.

Everything that readers of the data use is held against two witnesses: what is in the shards, and
what the manifest, `shards.parquet` and the sidecars of the units say, each against the others. All
other files are held to the digests in `files.parquet`; that list to the manifest; and the manifest
and `run.json` to the checksums that they hold of themselves. So a changed byte is found wherever it
is. Builds of releases that wrote no such list are not re-read in `index/`, the tables and estimates
of `plan/`, the words of `quarantine/`, and `run.json`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema
import numpy as np

from gato_data.building.files_list import (
    FilesListError,
    ListedFile,
    faults,
    read_list,
    tfds_names,
)
from gato_data.building.publish import FOLDERS, Sidecar, sidecar_path
from gato_data.errors import UsageError
from gato_data.records import shards, tfds_info, tfrecord
from gato_data.records.manifest import (
    FILES_FILE,
    MANIFEST,
    MODEL_FILE,
    RUN_FILE,
    encode_manifest,
    read_manifest,
)
from gato_data.records.sealed import is_sealed
from gato_data.report.affected import Affected, affected_of, lost_shard
from gato_data.report.manifest_check import (
    MissingPlanError,
    derived_manifest,
    differences,
    shard_table,
)
from gato_data.report.record_rules import RecordRules
from gato_data.report.shard_check import ShardFacts, mismatches, read_facts
from gato_data.schema_files import read_schema
from gato_data.storage import files
from gato_data.wording import counted

_UNITS = "_units"


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
      problems: a sentence for each, naming file, record and byte where they are known; none if
        all is as the manifest says.
      shards, sequences: how many were read.
      affected: the sequences of damaged shards, by shard.
    """

    problems: tuple[str, ...]
    shards: int
    sequences: int
    affected: tuple[Affected, ...] = ()


@dataclass(frozen=True)
class _Unit:
    """What the manifest says of a unit, by the order in which units are numbered."""

    number: int
    dataset: str
    split: str
    shard: int
    file: str


def verify(directory: str, on_shard: Callable[[], object] = lambda: None) -> Verification:
    """Re-reads a build, a batch of records at a time.

    Args:
      directory: of a finished build, local or any fsspec URL.
      on_shard: called after each shard, for progress.

    Raises:
      UsageError: there is no finished build.
      OSError: of the file system.
    """
    try:
        manifest = read_manifest(directory, check=False)
    except UsageError as error:
        if not files.exists(files.join(directory, MANIFEST)):
            raise
        return Verification((str(error),), 0, 0)
    invalid = [f"{MANIFEST}: {problem}" for problem in _schema_problems(manifest)]
    if invalid:
        return Verification(tuple(invalid), 0, 0)
    check = _Check(directory, manifest)
    problems = [*check.run(on_shard), *_manifest_changed(directory, manifest)]
    return Verification(tuple(problems), check.shards, check.sequences, tuple(check.affected))


def _manifest_changed(directory: str, manifest: dict[str, Any]) -> Iterator[str]:
    if files.read_bytes(files.join(directory, MANIFEST)) != encode_manifest(manifest):
        yield f"{MANIFEST}: its checksum is wrong: it was changed after it was written."


def _schema_problems(manifest: dict[str, Any]) -> Iterator[str]:
    validator = jsonschema.Draft202012Validator(read_schema("manifest.json"))
    for error in validator.iter_errors(manifest):
        place = ".".join(map(str, error.absolute_path)) or "the document"
        yield f"{place} is not as schemas/manifest.json demands: {error.message:.200}"


class _Check:
    """One verification."""

    def __init__(self, directory: str, manifest: dict[str, Any]) -> None:
        self._directory = directory
        self._manifest = manifest
        self.shards = 0
        self.sequences = 0
        self.affected: list[Affected] = []
        self._listed: list[ListedFile] | None = None
        self._list_fault: str | None = None
        try:
            self._listed = read_list(directory, manifest)
        except FilesListError as error:
            self._list_fault = str(error)

    def run(self, on_shard: Callable[[], object]) -> Iterator[str]:
        """All problems, the shards first."""
        told = set()
        for problem in self._of_contents(on_shard):
            told.add(problem.partition(": ")[0])
            yield problem
        for name, fault in self._files():
            # Of most files something more telling was said already.
            if name not in told:
                yield f"{name}: {fault}."

    def _of_contents(self, on_shard: Callable[[], object]) -> Iterator[str]:
        """What is wrong by what shards and documents say of each other."""
        table, problems = shard_table(self._directory, self._manifest)
        yield from problems
        named = files.list_names(files.join(self._directory, _UNITS), "*.json")
        # Not more than there is any sign of, whatever a damaged manifest says.
        units = list(self._units(most=max(len(table or ()), len(named))))
        stated = self._shards_stated()
        if table is not None and len(table) != stated:
            yield f"shards.parquet: {counted(len(table), 'shard')}, {MANIFEST} says {stated}."
        sidecars: list[Sidecar] = []
        for unit in units:
            sidecar, problems = self._sidecar(unit)
            yield from problems
            sidecars += [sidecar] if sidecar else []
            row = table[unit.number] if table and unit.number < len(table) else {}
            yield from self._shard(unit, row, sidecar)
            on_shard()
        yield from self._text_model()
        if len(sidecars) == len(units) == stated:
            yield from self._against_units(sidecars, table or ())
        yield from self._strays(units)

    def _shards_stated(self) -> int:
        return sum(
            split["shards"]
            for dataset in self._manifest["datasets"].values()
            for split in dataset["splits"].values()
        )

    def _units(self, most: int) -> Iterator[_Unit]:
        """The units in their order: data sets as in the config, then splits, then shards."""
        number = 0
        for dataset in self._manifest["config"]["datasets"]:
            name = dataset["name"]
            described = self._manifest["datasets"].get(name, {"splits": {}})
            for split in ("train", "validation"):
                count = described["splits"].get(split, {"shards": 0})["shards"]
                for shard in range(min(count, most - number)):
                    file = shards.shard_name(name, split, shard, count, self._manifest["format"])
                    yield _Unit(number, name, split, shard, f"{described['folder']}/{file}")
                    number += 1

    def _sidecar(self, unit: _Unit) -> tuple[Sidecar | None, list[str]]:
        name = f"{_UNITS}/{unit.number}.json"
        try:
            data = files.read_bytes(sidecar_path(self._directory, unit.number))
            stored = json.loads(data)
            as_written = json.dumps(stored, sort_keys=True, ensure_ascii=False, indent=1).encode()
            sidecar = Sidecar(**stored)
        except FileNotFoundError:
            return None, [f"{name}: missing."]
        except (ValueError, TypeError, RecursionError):
            return None, [f"{name}: damaged; no sidecar of a unit."]
        problems = [
            f"{name}: {key} is {getattr(sidecar, key)!r}, {MANIFEST} says {stated!r}."
            for key, stated in {
                "unit": unit.number,
                "fingerprint": self._manifest["fingerprint"],
                "dataset": unit.dataset,
                "split": unit.split,
                "shard": unit.shard,
                "file": unit.file,
            }.items()
            if getattr(sidecar, key) != stated
        ]
        if as_written != data:
            problems.append(f"{name}: its text was changed, though not its values.")
        if not isinstance(sidecar.counts, dict) or not isinstance(sidecar.tasks, dict):
            return None, [*problems, f"{name}: damaged; no sidecar of a unit."]
        return sidecar, problems

    def _shard(self, unit: _Unit, row: Mapping[str, Any], sidecar: Sidecar | None) -> Iterator[str]:
        path = files.join(self._directory, unit.file)
        witnesses = [("shards.parquet", dict(row))] if row else []
        if sidecar:
            witnesses.append((f"{_UNITS}/{unit.number}.json", vars(sidecar)))
        counts = [stated["sequences"] for _, stated in witnesses]
        stated_count = next((x for x in counts if isinstance(x, int) and x >= 0), None)
        try:
            facts = read_facts(path, unit.file, RecordRules.of(self._manifest, unit.dataset))
        except FileNotFoundError:
            self.affected.append(lost_shard(unit.file, unit.number, stated_count))
            yield f"{unit.file}: missing."
            return
        self.shards += 1
        self.sequences += facts.sequences
        found = {witness: list(mismatches(facts, stated)) for witness, stated in witnesses}
        # Where a witness agrees with the shard, it is something else that is damaged.
        if all(found.values()) if found else facts.problems:
            named = (path, unit.file, unit.number)
            self.affected.append(affected_of(*named, stated_count, facts))
        yield from facts.problems
        for witness, phrases in found.items():
            for phrase in phrases:
                yield f"{unit.file}: {phrase} in {witness}."
        if self._manifest["format"] == "tfrecord":
            yield from self._offsets(unit, facts)

    def _offsets(self, unit: _Unit, facts: ShardFacts) -> Iterator[str]:
        name = shards.offsets_path(unit.file)
        try:
            data = files.read_bytes(files.join(self._directory, name))
        except FileNotFoundError:
            yield f"{name}: missing."
            return
        expected = tfrecord.offsets_bytes(np.array(facts.offsets, np.uint64))
        if facts.readable and data != expected:
            pairs = zip(data, expected, strict=False)
            at = next(
                (i for i, (a, b) in enumerate(pairs) if a != b), min(len(data), len(expected))
            )
            yield (
                f"{name}: byte {at}, in the offset of record {at // 8}, is not where that record "
                f"begins in {unit.file}."
            )

    def _files(self) -> Iterator[tuple[str, str]]:
        """Files that are not what the list says, each with what is wrong with it."""
        if self._list_fault:
            yield FILES_FILE, self._list_fault
        if self._listed is None:
            return
        yield from faults(self._directory, self._listed)
        try:
            data = files.read_bytes(files.join(self._directory, RUN_FILE))
        except FileNotFoundError:
            yield RUN_FILE, "missing"
            return
        if not is_sealed(data):
            yield RUN_FILE, "its checksum is wrong: it was changed after it was written"

    def _strays(self, units: Sequence[_Unit]) -> Iterator[str]:
        """Files in the folders of the build that are no part of it."""
        if self._listed is None:
            # Nobody knows how many papers the build had.
            folders, known = {"data", _UNITS}, self._by_name(units)
        else:
            folders, known = set(FOLDERS), {one.file for one in self._listed}
        known |= {unit.file for unit in units}
        for folder in sorted(folders):
            for name in files.list_tree(files.join(self._directory, folder)):
                if f"{folder}/{name}" not in known:
                    yield f"{folder}/{name}: not part of this build."

    def _by_name(self, units: Sequence[_Unit]) -> set[str]:
        """The files beside the shards of some units, by the names that builds give them."""
        known = {f"{_UNITS}/{unit.number}.json" for unit in units}
        if self._manifest["format"] == "tfrecord":
            known |= {shards.offsets_path(unit.file) for unit in units}
            known |= set(tfds_names(self._manifest["datasets"]))
        return known

    def _text_model(self) -> Iterator[str]:
        model = self._manifest["vocabulary"]["text_model"]
        path = files.join(self._directory, MODEL_FILE)
        if model is None:
            if files.exists(path):
                yield f"{MODEL_FILE}: not part of this build."
            return
        try:
            found = hashlib.sha256(files.read_bytes(path)).hexdigest()
        except FileNotFoundError:
            yield f"{MODEL_FILE}: missing."
            return
        if found != model["sha256"]:
            yield f"{MODEL_FILE}: sha256 is {found}, {MANIFEST} says {model['sha256']}."

    def _against_units(
        self, sidecars: Sequence[Sidecar], table: Sequence[Mapping[str, Any]]
    ) -> Iterator[str]:
        """Holds the documents against what the build would write of these units."""
        for number, (row, sidecar) in enumerate(zip(table, sidecars, strict=False)):
            for key, value in row.items():
                if value != getattr(sidecar, key):
                    yield (
                        f"shards.parquet: row {number}: {key} is {value!r}, "
                        f"{_UNITS}/{number}.json says {getattr(sidecar, key)!r}."
                    )
        if self._manifest["format"] == "tfrecord":
            yield from self._tfds(sidecars)
        try:
            expected, problems = derived_manifest(self._directory, self._manifest, sidecars)
        except MissingPlanError as error:
            yield str(error)
            return
        yield from problems
        yield from differences(self._manifest, expected)
        data = files.read_bytes(files.join(self._directory, MANIFEST))
        written = json.dumps(self._manifest, sort_keys=True, ensure_ascii=False, indent=1)
        if data != written.encode():
            yield f"{MANIFEST}: its text was changed, though not its values."

    def _tfds(self, sidecars: Sequence[Sidecar]) -> Iterator[str]:
        dtype = np.dtype(self._manifest["vocabulary"]["dtype"])
        for name, dataset in self._manifest["datasets"].items():
            splits: dict[str, list[Sidecar]] = {}
            for sidecar in sidecars:
                if sidecar.dataset == name:
                    splits.setdefault(sidecar.split, []).append(sidecar)
            if not splits:
                continue
            described = [
                (split, sum(x.size for x in found), [x.sequences for x in found])
                for split, found in sorted(splits.items())
            ]
            contents = {
                "features.json": tfds_info.features_json(self._manifest["sequence_length"], dtype),
                "dataset_info.json": tfds_info.dataset_info_json(name, described),
            }
            for file, content in contents.items():
                path = f"{dataset['folder']}/{file}"
                try:
                    data = files.read_bytes(files.join(self._directory, path))
                except FileNotFoundError:
                    yield f"{path}: missing."
                    continue
                if data != json.dumps(content, indent=1, sort_keys=True).encode():
                    yield f"{path}: not what the build writes for these shards."
