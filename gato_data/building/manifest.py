"""The manifest: what was built. It is written last, so its presence means complete."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gato_data import __version__
from gato_data.building.context import Job
from gato_data.building.files_list import names_of_build, publish_list, tfds_names
from gato_data.building.mixture import mixture
from gato_data.building.plan import Plan
from gato_data.building.publish import Sidecar
from gato_data.building.selection import TRAIN
from gato_data.building.statistics import describe, without_bins
from gato_data.building.unit import dataset_folder
from gato_data.config import Config
from gato_data.errors import GatoDataError
from gato_data.records import digest, tfds_info
from gato_data.records.manifest import (
    MANIFEST,
    MODEL_FILE,
    SHARDS_FILE,
    encode_manifest,
    seal_manifest,
)
from gato_data.records.schema import SCHEMA_VERSION
from gato_data.storage import files
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import Vocabulary
from gato_data.wording import counted

SHARDS_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("shard", pa.int64()),
        ("file", pa.string()),
        ("size", pa.int64()),
        ("sequences", pa.int64()),
        ("crc32c", pa.string()),
        ("digest", pa.string()),
        ("content", pa.string()),
        ("pass_number", pa.int64()),
        ("image_tokens", pa.list_(pa.int32())),
        ("task_names", pa.list_(pa.string())),
        ("sequence_tasks", pa.list_(pa.int32())),
    ]
)


def quarantine_rows(dataset: str, index: pa.Table) -> list[dict[str, Any]]:
    """The records that the index found unusable."""
    rows = index.filter(pa.compute.is_valid(index["fault"])).to_pylist()
    return [
        {
            "dataset": dataset,
            "file": row["file"],
            "record": row["record"],
            "offset": row["offset"],
            "episode_id": row["episode_id"],
            "reason": row["fault"],
        }
        for row in rows
    ]


def write_quarantine(output: str, dataset: str, rows: Iterable[Mapping[str, Any]]) -> int:
    """Lists unusable records, each once, in the order of files and records."""
    distinct = {(row["file"], row["record"]): row for row in rows}
    lines = [
        json.dumps(distinct[key], sort_keys=True, ensure_ascii=False) + "\n"
        for key in sorted(distinct)
    ]
    path = files.join(output, "quarantine", f"{dataset}.jsonl")
    files.publish_bytes(path, "".join(lines).encode())
    return len(lines)


def finish(
    job: Job,
    plan: Plan,
    sidecars: Sequence[Sidecar],
    indexes: Mapping[str, pa.Table],
    text: TextTokenizer | None,
) -> dict[str, Any]:
    """Checks the end result and writes the TFDS files, both lists of files and the manifest.

    Args:
      sidecars: of all units, in their order.
      indexes: of each data set.

    Raises:
      GatoDataError: too large a share of the episodes could not be used after all, or none of a
        data set.
    """
    quarantined = _write_quarantines(job, sidecars, indexes)
    _check_sequences(sidecars, indexes)
    shards = [{name: getattr(x, name) for name in SHARDS_SCHEMA.names} for x in sidecars]
    table = pa.Table.from_pylist(shards, schema=SHARDS_SCHEMA)
    files.publish(files.join(job.output, SHARDS_FILE), lambda s: pq.write_table(table, s))
    more = []
    if job.config.output.format == "tfrecord":
        more += tfds_names(_write_tfds(job, sidecars))
    if text:
        files.publish_bytes(files.join(job.output, MODEL_FILE), text.model)
        more.append(MODEL_FILE)
    listed = publish_list(job.output, names_of_build(plan, sidecars, more))
    described = describe_build(job, plan, sidecars, quarantined, text)
    manifest = seal_manifest(described | {"files": listed})
    files.publish_bytes(files.join(job.output, MANIFEST), encode_manifest(manifest))
    return manifest


def _write_quarantines(
    job: Job, sidecars: Sequence[Sidecar], indexes: Mapping[str, pa.Table]
) -> dict[str, int]:
    late: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for sidecar in sidecars:
        late[sidecar.dataset] += sidecar.quarantined
    counts = {}
    for dataset, index in indexes.items():
        rows = quarantine_rows(dataset, index) + late[dataset]
        counts[dataset] = write_quarantine(job.output, dataset, rows)
        limit = job.config.limits.quarantine_share
        if counts[dataset] > limit * len(index):
            first = (late[dataset] or rows)[0]
            raise GatoDataError(
                f"data set '{dataset}': {counts[dataset]} of {counted(len(index), 'record')} "
                f"cannot be used, more than the share {limit:g} that `limits.quarantine_share` "
                f"allows. First: {first['file']} record {first['record']}: {first['reason']}. All "
                "of them are listed in quarantine/. Mend the data, or raise the limit."
            )
    return counts


def _check_sequences(sidecars: Sequence[Sidecar], datasets: Iterable[str]) -> None:
    """Refuses a data set of which nothing was left, however large a share may be lost.

    Raises:
      GatoDataError: every record that the plan took proved unusable when it was built.
    """
    for dataset in datasets:
        found = [sidecar for sidecar in sidecars if sidecar.dataset == dataset]
        if not any(sidecar.sequences for sidecar in found):
            first = next(row for sidecar in found for row in sidecar.quarantined)
            raise GatoDataError(
                f"data set '{dataset}': none of its records could be used when it was built. "
                f"First: {first['file']} record {first['record']}: {first['reason']}. All of them "
                "are listed in quarantine/. Mend the data."
            )


def _write_tfds(job: Job, sidecars: Sequence[Sidecar]) -> list[str]:
    """`features.json` and `dataset_info.json`, so that TFDS opens the directory; for which sets."""
    length = job.config.sequence.length
    dtype = Vocabulary(job.config.vocabulary.discrete_offset).dtype
    datasets = sorted({sidecar.dataset for sidecar in sidecars})
    for dataset in datasets:
        folder = files.join(job.output, dataset_folder(dataset))
        splits: dict[str, list[Sidecar]] = defaultdict(list)
        for sidecar in sidecars:
            if sidecar.dataset == dataset:
                splits[sidecar.split].append(sidecar)
        described = [
            (split, sum(x.size for x in found), [x.sequences for x in found])
            for split, found in sorted(splits.items())
        ]
        contents = {
            "features.json": tfds_info.features_json(length, dtype),
            "dataset_info.json": tfds_info.dataset_info_json(dataset, described),
        }
        for name, content in contents.items():
            encoded = json.dumps(content, indent=1, sort_keys=True).encode()
            files.publish_bytes(files.join(folder, name), encoded)
    return datasets


def describe_build(
    job: Job,
    plan: Plan,
    sidecars: Sequence[Sidecar],
    quarantined: Mapping[str, int],
    text: TextTokenizer | None,
) -> dict[str, Any]:
    """The manifest's content: nothing in it may differ between equal builds."""
    config = job.config
    vocabulary = Vocabulary(config.vocabulary.discrete_offset)
    by_dataset: dict[str, list[Sidecar]] = defaultdict(list)
    for sidecar in sidecars:
        by_dataset[sidecar.dataset].append(sidecar)
    return {
        "schema": SCHEMA_VERSION,
        "gato_data": __version__,
        "fingerprint": plan.fingerprint,
        "content": digest.combine(sidecar.content for sidecar in sidecars),
        "config": config.to_json(),
        "limit": job.limit,
        "vocabulary": vocabulary.to_json()
        | {"text_model": {"file": MODEL_FILE, "sha256": text.digest} if text else None},
        "sequence_length": config.sequence.length,
        "format": config.output.format,
        **_counts(config, sidecars),
        "datasets": {
            dataset.name: {
                "weight": dataset.weight,
                "folder": dataset_folder(dataset.name),
                "layout": plan.layouts[dataset.name],
                "inputs": plan.inputs[dataset.name],
                "splits": {
                    split: {
                        "shards": sum(x.split == split for x in by_dataset[dataset.name]),
                        "sequences": sum(
                            x.sequences for x in by_dataset[dataset.name] if x.split == split
                        ),
                    }
                    for split in sorted({x.split for x in by_dataset[dataset.name]})
                },
                "content": digest.combine(x.content for x in by_dataset[dataset.name]),
                **_counts(config, by_dataset[dataset.name]),
                "quarantined": quarantined[dataset.name],
            }
            for dataset in config.datasets
        },
        "mixture": mixture(config, _train_sequences(config, by_dataset)),
        "tasks": _tasks(plan, sidecars),
        "versions": plan.versions,
        "warnings": list(plan.warnings),
    }


def _train_sequences(config: Config, by_dataset: Mapping[str, Sequence[Sidecar]]) -> dict[str, int]:
    return {
        dataset.name: sum(x.sequences for x in by_dataset.get(dataset.name, ()) if x.split == TRAIN)
        for dataset in config.datasets
    }


def _tasks(plan: Plan, sidecars: Sequence[Sidecar]) -> list[dict[str, Any]]:
    """The plan's rows with what was really written."""
    built: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for sidecar in sidecars:
        for task, values in sidecar.tasks.items():
            built[sidecar.dataset, task].update(values)
    empty = {"sequences": 0, "tokens": 0, "padding": 0}
    return [{**row, **empty, **built[row["dataset"], row["task"]]} for row in plan.tasks]


def _counts(config: Config, sidecars: Iterable[Sidecar]) -> dict[str, Any]:
    """The sums over some units, and what they say of the shares that were asked for."""
    total: Counter[str] = Counter()
    for sidecar in sidecars:
        total.update(sidecar.counts)
    return {
        "counts": without_bins(dict(sorted(total.items()))),
        "statistics": describe(total, config.sequence.length, config.prompt),
    }
