"""Small real builds for the tests: write a config, run the Beam job, read the records back."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from gato_data.building.context import Job
from gato_data.building.index import index_file
from gato_data.building.steps import complete, open_datasets, open_planned, plan
from gato_data.building.unit import build_unit
from gato_data.config import load_config
from gato_data.records import digest
from gato_data.records.shards import read_shard

SHARED = Path(__file__).parents[2] / "../shared/data"


def write_config(folder: Path, config: Mapping[str, Any], name: str = "config.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(yaml.safe_dump(dict(config)))
    return path


def job_of(path: Path, output: Path, limit: int | None = None) -> Job:
    return Job(load_config(str(path)), str(path.parent), str(output), limit)


def build(path: Path, output: Path, *beam: str, workers: int | None = 1) -> dict[str, Any]:
    """Builds in this process (or with Beam's workers) and returns the manifest."""
    from pipelines.build_sequences import build as run

    return run(job_of(path, output), beam, workers)


def build_here(path: Path, output: Path) -> Path:
    """The same in this process by the plain functions, without Beam and what it needs."""
    job = job_of(path, output)
    contexts = open_datasets(job)
    indexed = {
        name: [index_file(context, file) for file in context.source.files]
        for name, context in contexts.items()
    }
    planned = plan(job, contexts, indexed)
    for unit in range(planned.units):
        build_unit(open_planned(job), job, planned.fingerprint, unit)
    complete(job, contexts, indexed, planned)
    return output


def shard_paths(output: Path) -> list[Path]:
    return sorted(p for p in (output / "data").rglob("*-of-*") if p.suffix != ".offsets")


def batches(output: Path) -> Iterator[Any]:
    for path in shard_paths(output):
        yield from read_shard(str(path))


def records(output: Path, dataset: str | None = None) -> list[dict[str, Any]]:
    found = [batch.record(i) for batch in batches(output) for i in range(len(batch))]
    return [r for r in found if dataset is None or r["dataset"] == dataset]


def sequence_digests(output: Path) -> set[bytes]:
    return {d for batch in batches(output) for d in digest.sequence_digests(batch)}


def file_bytes(output: Path) -> dict[str, bytes]:
    """All files that equal builds must have in common: everything but run.json."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }


def quarantine(output: Path, dataset: str) -> list[dict[str, Any]]:
    text = (output / "quarantine" / f"{dataset}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]
